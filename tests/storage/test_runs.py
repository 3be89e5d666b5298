"""A job is run by one process at a time, on both databases; who has lost it writes nothing any more."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from speechmill.errors import Conflict, LeaseLost
from storage.catalog import RUN, Catalog, Job, JobState

SECONDS = 60.0


def silent(catalog: Catalog) -> None:
    """As after a minute without a sign of life."""
    with catalog._database.writing() as session:
        session.execute(sa.text("UPDATE runs SET lease_until_s = 0 WHERE owner IS NOT NULL"))


def states(catalog: Catalog, job: Job) -> list[str]:
    return [event.detail["to"] for event in catalog.events(job.id) if event.kind == "state"]


def test_a_second_run_is_refused_in_one_sentence_while_the_first_lives(catalog: Catalog, job: Job) -> None:
    hold = catalog.begin_run(job.id, "mill-1:4711:a", SECONDS)
    with pytest.raises(Conflict, match="is running already, in process mill-1:4711"):
        catalog.begin_run(job.id, "mill-2:1:b", SECONDS)
    catalog.renew_run(hold, SECONDS)
    catalog.end_run(hold, JobState.COMPLETED)
    assert states(catalog, job) == ["queued", "running", "completed"]


def test_of_many_who_begin_at_once_one_does(catalog: Catalog, job: Job) -> None:
    def begin(number: int) -> bool:
        try:
            catalog.begin_run(job.id, f"mill:{number}:a", SECONDS)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(begin, range(8))) == 1
    assert states(catalog, job) == ["queued", "running"]


def test_whoever_has_lost_a_job_writes_nothing(catalog: Catalog, job: Job) -> None:
    first = catalog.begin_run(job.id, "a", SECONDS)
    silent(catalog)
    second = catalog.begin_run(job.id, "b", SECONDS)
    with pytest.raises(LeaseLost):
        catalog.renew_run(first, SECONDS)
    for state in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.QUEUED):
        with pytest.raises(LeaseLost):
            catalog.end_run(first, state)
    catalog.leave_run(first)
    assert catalog.is_held(job.id)
    catalog.end_run(second, JobState.COMPLETED)
    assert states(catalog, job) == ["queued", "running", "running", "completed"]


def test_one_that_was_only_slow_goes_on_where_nobody_took_its_job(catalog: Catalog, job: Job) -> None:
    hold = catalog.begin_run(job.id, "a", SECONDS)
    silent(catalog)
    assert not catalog.is_held(job.id)
    catalog.renew_run(hold, SECONDS)
    assert catalog.is_held(job.id)
    catalog.end_run(hold, JobState.COMPLETED)


def test_who_is_known_to_be_dead_need_not_be_waited_for(catalog: Catalog, job: Job) -> None:
    catalog.begin_run(job.id, "mill:1:a", SECONDS)
    with pytest.raises(Conflict):
        catalog.begin_run(job.id, "mill:2:b", SECONDS, dead=["mill:1:b"])
    hold = catalog.begin_run(job.id, "mill:2:b", SECONDS, dead=["mill:1:a"])
    catalog.end_run(hold, JobState.COMPLETED)


def test_a_job_is_held_until_what_it_made_is_published(catalog: Catalog, job: Job) -> None:
    hold = catalog.begin_run(job.id, "a", SECONDS)
    catalog.end_run(hold, JobState.COMPLETED)
    catalog.end_run(hold, JobState.COMPLETED)  # where the answer to the first was lost
    assert catalog.is_held(job.id)
    catalog.leave_run(hold)
    assert not catalog.is_held(job.id)
    assert states(catalog, job) == ["queued", "running", "completed"]


@pytest.mark.parametrize("dead", [True, False])
def test_a_run_that_was_lost_ends_its_job_once_there_is_no_sign_of_life(
    catalog: Catalog, job: Job, *, dead: bool
) -> None:
    hold = catalog.begin_run(job.id, "a", SECONDS, run="one")
    assert not catalog.run_was_lost(job.id, "another", JobState.FAILED, dead=True)
    if not dead:
        assert not catalog.run_was_lost(job.id, "one", JobState.FAILED, dead=False)
        silent(catalog)
    assert catalog.run_was_lost(job.id, "one", JobState.FAILED, dead=dead, code="crashed")
    assert not catalog.run_was_lost(job.id, "one", JobState.FAILED, dead=dead)  # hooks may run twice
    with pytest.raises(LeaseLost):  # one that was thought dead
        catalog.end_run(hold, JobState.COMPLETED)
    assert catalog.job(job.id).state is JobState.FAILED


def test_a_job_that_was_given_back_keeps_its_run_until_somebody_else_begins(catalog: Catalog, job: Job) -> None:
    hold = catalog.begin_run(job.id, "a", SECONDS, run="one")
    catalog.request_cancel(job.id)
    catalog.end_run(hold, JobState.QUEUED, reason="its process was stopped")
    catalog.leave_run(hold)
    assert catalog.job(job.id).facts == {RUN: "one"}
    assert not catalog.cancel_requested(job.id)
    assert [(each.job.id, each.handed_s_ago) for each in catalog.unsure()] == [(job.id, None)]
    catalog.begin_run(job.id, "b", SECONDS, run="two")
    assert catalog.job(job.id).facts == {RUN: "two"}
    assert catalog.unsure() == []
    silent(catalog)
    assert [each.job.id for each in catalog.unsure()] == [job.id]
