"""Runs that were lost when nobody was there to say so: their jobs neither wait for ever nor take others' places.

The Prefect server is real, and knows the deployments of a machine that serves no more.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.lost_runs import Lookout
from flows.relay import Relay
from storage.catalog import RUN, JobState
from tests.flows.serving import ONE_SERVER, Serving
from tests.ingest.conftest import JOB, Studio

pytestmark = [ONE_SERVER, pytest.mark.slow]
LOST_AFTER_S = 5


@pytest.fixture
def studio(server: Serving, drop: Path, tmp_path: Path) -> Iterator[Studio]:  # noqa: ARG001
    made = Studio(
        str(drop), tmp_path / "home", f"sqlite:///{tmp_path / 'catalog.db'}", lost_after_s=LOST_AFTER_S, drop_jobs=1
    )
    yield made
    made.catalog.close()


@pytest.fixture
def lookout(studio: Studio) -> Lookout:
    return Lookout(studio.settings, studio.catalog)


@pytest.fixture
def job(studio: Studio, drop: Path, tone: bytes) -> str:
    """The first of two jobs, handed on to Prefect: there is a place for one."""
    for name in ("a", "b"):
        (drop / "in" / f"{name}.wav").write_bytes(tone)
        (drop / "in" / f"{name}.job.json").write_text(JOB)
    studio.sweeper().sweep()
    assert relay(studio).next()
    assert not relay(studio).next()
    (found,) = (job.id for job in studio.catalog.jobs() if RUN in job.facts)
    return found


def relay(studio: Studio) -> Relay:
    return Relay(studio.settings, studio.catalog, studio.place.url, prefect=True)


def run_of(studio: Studio, job: str) -> str:
    return str(studio.catalog.job(job).facts[RUN])


def set_state(server: Serving, run: str, **state: Any) -> None:
    assert server.ask(f"flow_runs/{run}/set_state", {"state": state}).status in (200, 201)


def test_a_run_that_waits_for_its_turn_is_left_alone(studio: Studio, lookout: Lookout, job: str) -> None:
    assert lookout.look() == []
    time.sleep(LOST_AFTER_S + 1)
    assert lookout.look() == []
    assert studio.catalog.job(job).state is JobState.QUEUED


def test_a_run_that_a_person_cancels_before_it_begins_makes_room_for_the_next(
    studio: Studio, server: Serving, lookout: Lookout, job: str
) -> None:
    run = run_of(studio, job)
    set_state(server, run, type="CANCELLING", name="Cancelling")  # as the button does
    assert server.of(run)["state"]["type"] == "CANCELLED"
    assert lookout.look() == [job]
    assert studio.catalog.job(job).state is JobState.CANCELLED
    assert lookout.look() == []
    assert relay(studio).next()
    studio.sweeper().sweep()
    assert studio.catalog.job(job).state is JobState.CANCELLED  # its file stays: `retake` goes on with it
    assert studio.states()["in/a.wav"] == "accepted"


def test_a_run_whose_process_never_came_is_tried_again(
    studio: Studio, server: Serving, lookout: Lookout, job: str
) -> None:
    """Runner and process were killed before the first sign of life."""
    first = run_of(studio, job)
    set_state(server, first, type="PENDING", name="Pending")
    assert lookout.look() == []
    time.sleep(LOST_AFTER_S + 1)
    assert lookout.look() == [job]
    assert server.of(first)["state"]["type"] == "CRASHED"  # it takes nobody's place any more
    studio.sweeper().sweep()
    assert (studio.catalog.job(job).state, studio.catalog.attempts(job)) == (JobState.QUEUED, 2)
    studio.sql("UPDATE outbox SET not_before_s = 0")
    while relay(studio).next():
        pass
    studio.sql("UPDATE jobs SET state = 'completed' WHERE id != :job", job=job)  # the other one has its turn first
    while relay(studio).next():
        pass
    assert run_of(studio, job) != first
    assert server.of(run_of(studio, job))["state"]["type"] == "SCHEDULED"


def test_a_run_of_which_nothing_is_known_is_tried_again(
    studio: Studio, server: Serving, lookout: Lookout, job: str
) -> None:
    assert server.ask(f"flow_runs/{run_of(studio, job)}", method="DELETE").status == 204
    assert lookout.look() == []  # it may only just have been handed on
    studio.sql("UPDATE outbox SET handed_at_s = 1 WHERE handed_at_s IS NOT NULL")
    assert lookout.look() == [job]
    assert studio.catalog.events(job)[-1].detail["code"] == "lost"
    studio.sweeper().sweep()
    assert studio.catalog.attempts(job) == 2


def test_a_run_whose_process_died_before_its_first_sign_of_life_is_tried_again(
    studio: Studio, server: Serving, lookout: Lookout, job: str
) -> None:
    run = run_of(studio, job)
    set_state(server, run, type="PENDING", name="Pending")
    set_state(server, run, type="RUNNING", name="Running")
    hold = studio.catalog.begin_run(job, "lost:1:a", LOST_AFTER_S, run=run)
    assert lookout.look() == []
    studio.leases_run_out()
    assert lookout.look() == [job]
    assert server.of(run)["state"]["type"] == "CRASHED"
    with pytest.raises(Exception, match="given to somebody else"):
        studio.catalog.end_run(hold, JobState.COMPLETED)
    studio.sweeper().sweep()
    assert studio.catalog.attempts(job) == 2


def test_a_run_that_counts_as_crashed_while_it_lives_keeps_its_job(
    studio: Studio, server: Serving, lookout: Lookout, job: str
) -> None:
    """Its signs of life did not reach Prefect for a while; the database has them."""
    run = run_of(studio, job)
    hold = studio.catalog.begin_run(job, "alive:1:a", LOST_AFTER_S, run=run)
    set_state(server, run, type="CRASHED", name="Crashed")
    assert lookout.look() == []
    studio.catalog.end_run(hold, JobState.COMPLETED)
    assert studio.catalog.job(job).state is JobState.COMPLETED
