"""An engine that had to run less at once runs as much as before when nothing went wrong for a while."""

from __future__ import annotations

from collections.abc import Callable

from model_worker.mimo.caution import GOOD_STEPS, MOST_GOOD_STEPS, Caution
from model_worker.mimo.graphs import Graphs, Recording


def record(_: Callable[[], None]) -> Recording:
    raise AssertionError("nothing is recorded here")


def recovered(caution: Caution, graphs: Graphs, most: int) -> int:
    """After how many steps without failure it is as before."""
    steps = 0
    while caution.width < most or not graphs.on:
        caution.went_well()
        steps += 1
    return steps


def test_it_gets_as_wide_as_it_was_however_often_it_was_narrowed() -> None:
    graphs = Graphs("steps", lambda: record)
    caution = Caution(32, graphs, steady=True)
    longest = (1 + 5) * MOST_GOOD_STEPS  # graphs, and five doublings of one row
    for _ in range(4):
        while caution.step_back(caution.width, out_of_memory=True):
            pass
        assert (caution.width, graphs.on) == (1, False)
        assert recovered(caution, graphs, 32) <= longest


def test_what_was_wrong_once_is_forgotten_when_all_went_well_for_as_long() -> None:
    graphs = Graphs("steps", lambda: record)
    caution = Caution(4, graphs, steady=True)
    assert caution.step_back(4, out_of_memory=True)
    first = recovered(caution, graphs, 4)
    assert first == 2 * GOOD_STEPS
    for _ in range(first):
        caution.went_well()
    assert caution.step_back(4, out_of_memory=True)
    assert recovered(caution, graphs, 4) == first


def test_what_fails_again_at_once_is_tried_more_and_more_seldom() -> None:
    graphs = Graphs("steps", lambda: record)
    caution = Caution(4, graphs, steady=True)
    waited = []
    for _ in range(3):
        assert caution.step_back(4, out_of_memory=True)
        waited.append(recovered(caution, graphs, 4))
    assert waited == [2 * GOOD_STEPS, 4 * GOOD_STEPS, 8 * GOOD_STEPS]
