"""What the catalog keeps of jobs and what happened to them, on every database."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from speechmill.abilities import Ability
from speechmill.errors import Conflict, UnknownName
from storage.catalog import Catalog, Job, JobState, new_job_id
from tests.storage.facts import completed


def test_a_job_is_what_was_asked(catalog: Catalog, job: Job) -> None:
    assert catalog.job(job.id) == job
    assert (job.state, job.request, job.facts, job.out) == (
        JobState.QUEUED, {"source": "talk.mp4", "targets": ["es"]}, {}, "out/talk",
    )  # fmt: skip
    assert job.created_at.tzinfo == UTC
    assert abs(datetime.now(UTC) - job.created_at) < timedelta(minutes=1)


def test_a_job_that_does_not_exist_is_told_by_those_that_do(catalog: Catalog) -> None:
    with pytest.raises(UnknownName, match="none was started"):
        catalog.job("nothing")
    ids = [catalog.add_job("dub", {}, "f").id for _ in range(7)]
    with pytest.raises(UnknownName) as caught:
        catalog.job("nothing")
    assert all(known in str(caught.value) for known in ids[2:])
    assert ids[0] not in str(caught.value)
    for ask in (
        lambda: catalog.move_job("nothing", JobState.RUNNING),
        lambda: catalog.set_job_facts("nothing", a=1),
        lambda: catalog.request_cancel("nothing"),
        lambda: catalog.add_event("nothing", "x"),
        lambda: catalog.put_lines("nothing", "es", []),
        lambda: catalog.put_cast("nothing", "es", {}),
        lambda: catalog.order("round", "nothing", Ability.SPEAK, "es", []),
        lambda: catalog.put_delivery("nothing", "es", {}, [], "completed"),
        lambda: catalog.edit_line("nothing", "es", "L0001", "x"),
    ):
        with pytest.raises(UnknownName):
            ask()


def test_the_latest_jobs_come_first(catalog: Catalog) -> None:
    ids = [catalog.add_job("dub", {}, "f").id for _ in range(4)]
    assert [found.id for found in catalog.jobs()] == ids[::-1]
    assert [found.id for found in catalog.jobs(2)] == ids[:1:-1]


def test_job_ids_are_short_sortable_and_safe_in_file_names() -> None:
    ids = []
    for _ in range(50):
        ids.append(new_job_id())
        time.sleep(0.002)
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert all(len(found) <= 26 and found.replace("-", "").isalnum() and found == found.lower() for found in ids)


def test_a_job_may_be_named_before_it_is_added(catalog: Catalog) -> None:
    name = new_job_id()
    assert catalog.add_job("dub", {}, "f", f"out/{name}", job_id=name).id == name
    assert catalog.job(name).out == f"out/{name}"


def test_facts_are_merged(catalog: Catalog, job: Job) -> None:
    catalog.set_job_facts(job.id, sha256="abc", duration_s=61.5)
    catalog.set_job_facts(job.id, duration_s=62.0, streams=[{"codec": "aac"}])
    assert catalog.job(job.id).facts == {"sha256": "abc", "duration_s": 62.0, "streams": [{"codec": "aac"}]}


def test_facts_set_at_once_are_all_kept(catalog: Catalog, job: Job) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: catalog.set_job_facts(job.id, **{f"fact{i}": i}), range(24)))
    assert catalog.job(job.id).facts == {f"fact{i}": i for i in range(24)}


def test_the_latest_job_of_the_same_request_is_gone_on_with_unless_it_is_completed(catalog: Catalog) -> None:
    assert catalog.unfinished_job("f") is None
    first = catalog.add_job("dub", {}, "f")
    other = catalog.add_job("dub", {}, "other")
    assert catalog.unfinished_job("f") == first
    catalog.move_job(first.id, JobState.RUNNING)
    assert (found := catalog.unfinished_job("f")) is not None
    assert found.state is JobState.RUNNING
    catalog.move_job(first.id, JobState.FAILED, error="x")
    assert (found := catalog.unfinished_job("f")) is not None
    assert found.id == first.id
    second = catalog.add_job("dub", {}, "f")
    completed(catalog, second)
    assert catalog.unfinished_job("f") is None  # the older one that failed was overtaken
    assert catalog.unfinished_job("other") == other


def test_a_job_is_asked_to_stop_until_it_is_started_again(catalog: Catalog, job: Job) -> None:
    catalog.move_job(job.id, JobState.RUNNING)
    assert not catalog.cancel_requested(job.id)
    catalog.request_cancel(job.id)
    catalog.request_cancel(job.id)
    assert catalog.cancel_requested(job.id)
    assert catalog.job(job.id).cancel_requested
    catalog.move_job(job.id, JobState.CANCELLED)
    with pytest.raises(Conflict):
        catalog.request_cancel(job.id)
    catalog.move_job(job.id, JobState.RUNNING)
    assert not catalog.cancel_requested(job.id)
    assert [event.kind for event in catalog.events(job.id)].count("cancel-requested") == 1


def test_events_tell_what_happened_in_order(catalog: Catalog, job: Job) -> None:
    catalog.move_job(job.id, JobState.RUNNING, by="cli")
    catalog.add_event(job.id, "stage", name="probe", seconds=0.25)
    catalog.move_job(job.id, JobState.FAILED, error="no disk")
    events = catalog.events(job.id)
    assert [(event.kind, event.detail) for event in events] == [
        ("state", {"from": None, "to": "queued"}),
        ("state", {"from": "queued", "to": "running", "by": "cli"}),
        ("stage", {"name": "probe", "seconds": 0.25}),
        ("state", {"from": "running", "to": "failed", "error": "no disk"}),
    ]
    assert all(event.at.tzinfo == UTC for event in events)
