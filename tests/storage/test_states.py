"""A job changes its state along the table, and every change is told by an event."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from speechmill.errors import Conflict
from speechmill.lines import Line
from storage.catalog import Catalog, JobState
from storage.catalog.states import MOVES

POSSIBLE = """
queued                > running failed cancelled
running               > running queued completed completed_with_review failed cancelled
completed             > stale queued
completed_with_review > stale queued
stale                 > running queued
failed                > running queued
cancelled             > running queued
"""


def test_the_table_is_what_users_were_told() -> None:
    told = {}
    for row in POSSIBLE.strip().splitlines():
        old, new = row.split(">")
        told[old.strip()] = set(new.split())
    assert {str(old): {str(state) for state in new} for old, new in MOVES.items()} == told


def test_every_state_can_be_left_and_reached() -> None:
    assert set(MOVES) == set(JobState)
    assert all(MOVES.values())
    assert set().union(*MOVES.values()) == set(JobState)


@pytest.mark.parametrize("old", JobState)
def test_from_anywhere_a_job_can_be_run_again(old: JobState) -> None:
    assert JobState.RUNNING in MOVES[old] or any(JobState.RUNNING in MOVES[via] for via in MOVES[old])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("states") / "catalog.db"
    Catalog.open(f"sqlite:///{path}").close()
    return path


class JobLife(RuleBasedStateMachine):
    """Anybody may try anything with a few jobs at any time."""

    jobs = Bundle("jobs")
    path: Path

    def __init__(self) -> None:
        super().__init__()
        self.catalog = Catalog.open(f"sqlite:///{self.path}")
        self.states: dict[str, list[JobState]] = {}
        self.cancel: dict[str, bool] = {}

    def teardown(self) -> None:
        self.catalog.close()

    @initialize(target=jobs)
    def begin(self) -> str:
        return self.added()

    @rule(target=jobs)
    def another(self) -> str:
        return self.added()

    def added(self) -> str:
        job = self.catalog.add_job("dub", {}, "f")
        self.catalog.put_lines(job.id, "es", [Line("L1", "A", "es", "hola")])
        self.states[job.id] = [JobState.QUEUED]
        self.cancel[job.id] = False
        return job.id

    @rule(job=jobs, state=st.sampled_from(JobState))
    def move(self, job: str, state: JobState) -> None:
        if state in MOVES[self.states[job][-1]]:
            assert self.catalog.move_job(job, state).state is state
            self.states[job].append(state)
            self.cancel[job] = self.cancel[job] and state not in (JobState.RUNNING, JobState.QUEUED)
        else:
            with pytest.raises(Conflict, match=job):
                self.catalog.move_job(job, state)

    @rule(job=jobs)
    def edit(self, job: str) -> None:
        now = self.states[job][-1]
        if now is JobState.RUNNING:
            with pytest.raises(Conflict):
                self.catalog.edit_line(job, "es", "L1", "x")
            return
        self.catalog.edit_line(job, "es", "L1", "x")
        if now in (JobState.COMPLETED, JobState.COMPLETED_WITH_REVIEW):
            self.states[job].append(JobState.STALE)

    @rule(job=jobs)
    def stop(self, job: str) -> None:
        if self.states[job][-1] in (JobState.QUEUED, JobState.RUNNING):
            self.catalog.request_cancel(job)
            self.cancel[job] = True
        else:
            with pytest.raises(Conflict):
                self.catalog.request_cancel(job)

    @invariant()
    def the_events_tell_the_states(self) -> None:
        for job, states in self.states.items():
            moves = [event.detail for event in self.catalog.events(job) if event.kind == "state"]
            assert [move["to"] for move in moves] == states
            assert [move["from"] for move in moves] == [None, *states[:-1]]
            assert self.catalog.job(job).state is states[-1]
            assert self.catalog.cancel_requested(job) == self.cancel[job]


def test_whatever_is_tried_events_and_states_agree(shared: Path) -> None:
    JobLife.path = shared
    run_state_machine_as_test(JobLife, settings=settings(max_examples=15, stateful_step_count=15, deadline=None))


def test_of_two_who_move_a_job_at_once_one_is_refused(catalog: Catalog) -> None:
    job = catalog.add_job("dub", {}, "f")
    catalog.move_job(job.id, JobState.RUNNING)

    def finish(state: JobState) -> bool:
        try:
            catalog.move_job(job.id, state)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        states = [JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.COMPLETED_WITH_REVIEW]
        assert list(pool.map(finish, states)).count(True) == 1
    assert len(catalog.events(job.id)) == 3
