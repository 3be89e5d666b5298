"""A delivery that could not be published when it was done: tried again where it lies, made again where it is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.relay import Relay
from flows.running import carry_out
from flows.settling import settle_here, settle_own
from storage.catalog import JobState
from tests.ingest.conftest import JOB, Studio, listed


@pytest.fixture
def job(studio: Studio, drop: Path, tone: bytes) -> str:
    (drop / "in" / "talk.wav").write_bytes(tone)
    (drop / "in" / "talk.job.json").write_text(JOB)
    (accepted,) = studio.sweeper().sweep().accepted
    return accepted


@pytest.fixture
def elsewhere(studio: Studio, tmp_path: Path) -> Studio:
    """Another machine: a home of its own, and the same catalog."""
    return Studio(studio.place.source(""), tmp_path / "elsewhere", str(studio.settings.database_url))


def test_a_delivery_that_was_lost_with_its_machine_is_made_again(studio: Studio, drop: Path, job: str) -> None:
    studio.finish(job)
    shutil.rmtree(studio.settings.home)
    assert studio.sweeper().sweep().idle
    assert studio.catalog.job(job).state is JobState.QUEUED
    assert studio.catalog.attempts(job) == 2
    assert "lost with the machine" in studio.catalog.events(job)[-1].detail["reason"]
    assert Relay(studio.settings, studio.catalog, studio.place.url, prefect=False).next()
    assert studio.states() == {"in/talk.wav": "done"}
    assert len(list((drop / "done").glob(f"*/{job}/talk.es.m4a"))) == 1
    assert listed(drop / "in") == []


def test_while_whoever_made_it_lives_a_delivery_is_waited_for(studio: Studio, job: str, elsewhere: Studio) -> None:
    """However long it takes to upload, and sweepers of other machines see nothing of it."""
    studio.handed(job)
    swept = []

    def work() -> JobState:
        return JobState.COMPLETED

    def away(*_: object) -> bool:
        swept.append(elsewhere.sweeper().sweep())
        return False

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("flows.running.settle_own", away)
        carry_out(job, studio.settings, studio.catalog, work)
    swept.append(elsewhere.sweeper().sweep())  # it may still be tried again where it was made
    assert [each.idle for each in swept] == [True, True]
    assert studio.catalog.job(job).state is JobState.COMPLETED
    studio.leases_run_out()
    elsewhere.sweeper().sweep()
    assert studio.catalog.job(job).state is JobState.QUEUED
    elsewhere.catalog.close()


def test_what_could_not_be_published_is_published_by_the_machine_that_made_it(
    studio: Studio, drop: Path, job: str
) -> None:
    studio.finish(job)
    drop.rename(drop.with_name("away"))  # as a store that does not answer
    assert not settle_own(job, studio.settings, studio.catalog)
    settle_here(studio.settings, studio.catalog)
    drop.with_name("away").rename(drop)
    settle_here(studio.settings, studio.catalog)
    assert studio.states() == {"in/talk.wav": "done"}
    assert len(list((drop / "done").glob(f"*/{job}/delivery.json"))) == 1


def test_a_machine_publishes_nothing_that_it_does_not_have(studio: Studio, job: str, elsewhere: Studio) -> None:
    studio.finish(job)
    shutil.rmtree(studio.settings.home)
    settle_here(elsewhere.settings, elsewhere.catalog)
    assert studio.states() == {"in/talk.wav": "accepted"}
    assert studio.catalog.job(job).state is JobState.COMPLETED
    elsewhere.catalog.close()


def test_a_job_that_is_tried_again_is_not_given_up_before_its_run_has_begun(studio: Studio, job: str) -> None:
    """Handed to Prefect it waits for its turn; every sweep sees it meanwhile."""
    studio.finish(job, JobState.FAILED, code="disk-full", message="the disk is full; free some space")
    studio.sweeper().sweep()
    studio.handed(job)
    for _ in range(5):
        assert studio.sweeper().sweep().idle
    assert studio.catalog.attempts(job) == 2
    assert studio.catalog.job(job).state is JobState.QUEUED
