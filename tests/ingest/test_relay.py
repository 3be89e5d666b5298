"""Jobs of the outbox are started once, whoever dies on the way, and as many at a time as is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import relay as relaying
from flows.relay import Relay
from speechmill.errors import Unavailable
from storage.catalog import Errand, JobState
from tests.ingest.conftest import JOB, Studio


@pytest.fixture
def jobs(studio: Studio, drop: Path, tone: bytes) -> tuple[str, ...]:
    for name in ("a", "b", "c"):
        (drop / "in" / f"{name}.wav").write_bytes(tone)
        (drop / "in" / f"{name}.job.json").write_text(JOB)
    return tuple(sorted(studio.sweeper().sweep().accepted))


class Prefect:
    """Takes the same idempotency key for the same run, as Prefect does."""

    def __init__(self) -> None:
        self.runs: dict[str, str] = {}
        self.calls = 0
        self.away = False

    def __call__(self, errand: Errand, *_: object) -> None:
        self.calls += 1
        if self.away:
            raise Unavailable("the Prefect server does not answer")
        self.runs.setdefault(errand.name, errand.job_id)


@pytest.fixture
def prefect(monkeypatch: pytest.MonkeyPatch) -> Prefect:
    made = Prefect()
    monkeypatch.setattr(relaying, "start_by_prefect", made)
    return made


def relay(studio: Studio, at_once: int = 0) -> Relay:
    return Relay(studio.settings, studio.catalog, studio.place.url, prefect=True, at_once=at_once)


def test_every_job_is_handed_to_prefect_once(studio: Studio, jobs: tuple[str, ...], prefect: Prefect) -> None:
    while relay(studio).next():
        pass
    assert tuple(sorted(prefect.runs.values())) == jobs
    assert prefect.calls == 3
    assert f"{studio.place.url}/in/a.wav@" in min(prefect.runs)


def test_a_relay_that_dies_after_it_handed_a_job_on_starts_no_second_run(
    studio: Studio, jobs: tuple[str, ...], prefect: Prefect
) -> None:
    errand = studio.catalog.claim_errand("dead", 60, studio.place.url)
    assert errand is not None
    prefect(errand)
    studio.leases_run_out()
    while relay(studio).next():
        pass
    assert prefect.calls == 4
    assert tuple(sorted(prefect.runs.values())) == jobs


def test_while_prefect_is_away_jobs_wait(studio: Studio, jobs: tuple[str, ...], prefect: Prefect) -> None:
    prefect.away = True
    with pytest.raises(Unavailable):
        relay(studio).next()
    assert studio.catalog.errands_waiting(studio.place.url) == 3
    prefect.away = False
    while relay(studio).next():
        pass
    assert tuple(sorted(prefect.runs.values())) == jobs


@pytest.mark.usefixtures("jobs")
def test_no_more_jobs_are_under_way_than_allowed(studio: Studio, prefect: Prefect) -> None:
    assert relay(studio, at_once=2).next()
    assert relay(studio, at_once=2).next()
    assert not relay(studio, at_once=2).next()
    done = next(iter(prefect.runs.values()))
    studio.catalog.move_job(done, JobState.RUNNING)
    studio.catalog.move_job(done, JobState.COMPLETED)
    assert relay(studio, at_once=2).next()
    assert not relay(studio, at_once=2).next()


@pytest.mark.usefixtures("prefect")
def test_a_film_that_was_taken_away_before_its_job_began_is_not_dubbed(
    studio: Studio, drop: Path, jobs: tuple[str, ...]
) -> None:
    (drop / "in" / "a.wav").unlink()
    while relay(studio).next():
        pass
    assert studio.states()["in/a.wav"] == "gone"
    gone = [job for job in jobs if studio.catalog.job(job).state is JobState.CANCELLED]
    assert len(gone) == 1


@pytest.mark.usefixtures("jobs")
def test_a_job_that_was_cancelled_before_anybody_began_is_not_started(studio: Studio, prefect: Prefect) -> None:
    first = studio.catalog.jobs()[0].id
    studio.catalog.move_job(first, JobState.CANCELLED)
    while relay(studio).next():
        pass
    assert first not in prefect.runs.values()
    assert len(prefect.runs) == 2
