"""What the thread beside the working threads does."""

from __future__ import annotations

import time

import pytest

from model_worker.keeper import EXIT_STUCK, MOST_STALLED_S, Keeper
from speechmill.abilities import Ability
from speechmill.recipes import digest_of_bytes
from storage.catalog import Lease, Order, OrderKey, OrderState
from tests.queueing.conftest import Studio

ROUND = "round"


def lease(studio: Studio, item: str, seconds: float = 60) -> Lease:
    """A lease on work of its own."""
    key = OrderKey(studio.job.id, Ability.TRANSCRIBE, item, 1, digest_of_bytes(item.encode()))
    studio.catalog.order(ROUND, studio.job.id, Ability.TRANSCRIBE, "es", [Order(key, "es", {})])
    found = studio.catalog.lease(key, "me", seconds)
    assert found is not None
    return found


def test_leases_are_renewed_before_they_run_out(studio: Studio) -> None:
    keeper = Keeper(0.6, 60)
    keeper.start()
    with keeper.holding(lease(studio, "a", 0.6)):
        time.sleep(1.5)
        assert studio.catalog.due(ROUND).keys == ()
        assert keeper.busy == 1
    keeper.stop()
    assert keeper.busy == 0


def test_a_stalled_engine_ends_the_worker_and_counts_an_attempt(studio: Studio) -> None:
    left: list[int] = []
    stalled = [0.0]
    keeper = Keeper(60, 600, lambda: stalled[0], leave=left.append)
    with keeper.holding(lease(studio, "a")), keeper.holding(lease(studio, "b")):
        keeper.look()
        assert left == []
        stalled[0] = MOST_STALLED_S + 1
        keeper.look()
    assert left == [EXIT_STUCK]
    assert studio.catalog.counts(ROUND)[OrderState.ORDERED] == 2
    with studio.catalog._database.reading() as session:
        rows = session.connection().exec_driver_sql("SELECT attempts, error FROM orders").all()
    assert {row.attempts for row in rows} == {1}
    assert all("did not get on" in row.error for row in rows)


def test_an_engine_that_broke_ends_the_worker_before_it_spoils_other_lines() -> None:
    left: list[int] = []
    Keeper(60, 600, lambda: float("inf"), leave=left.append).look()  # even where no line is at work just now
    assert left == [EXIT_STUCK]


def test_only_what_took_too_long_is_to_blame(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    keeper = Keeper(60, 600, leave=left.append)
    now = time.monotonic()
    with keeper.holding(lease(studio, "late")):
        monkeypatch.setattr(time, "monotonic", lambda: now + 599)
        with keeper.holding(lease(studio, "young")):
            monkeypatch.setattr(time, "monotonic", lambda: now + 601)
            keeper.look()
    assert left == [EXIT_STUCK]
    with studio.catalog._database.reading() as session:
        rows = session.connection().exec_driver_sql("SELECT item, attempts FROM orders ORDER BY item").all()
    assert [tuple(row) for row in rows] == [("late", 1), ("young", 0)]
