"""Jobs of the outbox are started once, whoever dies on the way, and as many at a time as is allowed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from flows import relay as relaying
from flows.relay import Relay
from speechmill.errors import Unavailable
from storage.catalog import RUN, Errand, JobState
from tests.forge import Forge
from tests.ingest.conftest import JOB, Studio
from tests.servers import prefect_at


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

    def __call__(self, errand: Errand, *_: object) -> str:
        self.calls += 1
        name = errand.name if errand.attempt == 1 else f"{errand.name}#{errand.attempt}"
        self.runs.setdefault(name, errand.job_id)
        return f"run of {name}"


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


CLOSED = "http://127.0.0.1:9/api"  # where nobody listens


def test_while_prefect_is_away_jobs_wait(
    studio: Studio, jobs: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    with prefect_at(CLOSED):
        for _ in range(2):
            with pytest.raises(Unavailable, match=r"Prefect server http://127.0.0.1:9/api does not answer"):
                relay(studio).next()
    assert studio.catalog.errands_waiting(studio.place.url) == 3
    monkeypatch.setattr(relaying, "start_by_prefect", prefect := Prefect())
    while relay(studio).next():
        pass
    assert tuple(sorted(prefect.runs.values())) == jobs


def test_a_sweeper_outlives_a_prefect_server_that_is_away_and_one_look_says_so(
    drop: Path, tone: bytes, tmp_path: Path, forge: Forge
) -> None:
    (drop / "in" / "a.wav").write_bytes(tone)
    (drop / "in" / "a.job.json").write_text(JOB)
    env = {
        **os.environ, "SPEECHMILL_HOME": str(tmp_path / "home"), "SPEECHMILL_ENGINE": "rehearsal",
        "SPEECHMILL_DROP_MIN_AGE_S": "0", "SPEECHMILL_DROP_INTERVAL_S": "0.1", "PREFECT_API_URL": CLOSED,
    }  # fmt: skip
    once = forge.run(["ingest", str(drop), "--once"], env, tmp_path)
    assert once.returncode == 4, once.stderr
    assert "error[unavailable]: the Prefect server" in once.stderr.splitlines()[-1]
    said = tmp_path / "said"
    watching = forge.start(["ingest", str(drop)], env, tmp_path, tmp_path / "out", said)
    try:
        until = time.monotonic() + 60
        while not said.exists() or said.read_text().count("does not answer") < 2:
            assert watching.poll() is None, said.read_text()
            assert time.monotonic() < until
            time.sleep(0.2)
    finally:
        watching.kill()
        watching.wait(10)


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


def test_what_was_handed_on_names_the_run_that_is_to_do_it(
    studio: Studio, jobs: tuple[str, ...], prefect: Prefect
) -> None:
    while relay(studio).next():
        pass
    assert {studio.catalog.job(job).facts[RUN] for job in jobs} == {f"run of {name}" for name in prefect.runs}


def test_a_job_that_is_interrupted_with_its_relay_is_gone_on_with_by_the_next(
    studio: Studio, drop: Path, tone: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (drop / "in" / "a.wav").write_bytes(tone)
    (drop / "in" / "a.job.json").write_text(JOB)
    (job,) = studio.sweeper().sweep().accepted
    here = Relay(studio.settings, studio.catalog, studio.place.url, prefect=False)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("flows.dubbing.dub", interrupt)
        with pytest.raises(KeyboardInterrupt):
            here.next()
    assert studio.catalog.job(job).state is JobState.QUEUED
    assert here.next()
    assert studio.states() == {"in/a.wav": "done"}
    assert not here.next()
