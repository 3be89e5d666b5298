"""Sweepers that die, and sweepers that race: whatever happens, every file that was accepted has one job and one
delivery, and nothing that was dropped is lost."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.ingest import Sweeper
from storage.catalog import Catalog, DropState, JobState
from tests.forge import Forge
from tests.ingest.conftest import JOB, Studio, listed

MOST_STEPS = 200


class Mortal:
    """Passes every call on, and is killed right after the ``fatal``-th, which is as before the next."""

    def __init__(self, inner: Any, tick: Callable[[Callable[[], Any]], Any]) -> None:
        self._inner, self._tick = inner, tick

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found
        return lambda *args, **options: self._tick(lambda: found(*args, **options))


class Death:
    def __init__(self, fatal: int) -> None:
        self.fatal, self.calls = fatal, 0

    def __call__(self, call: Callable[[], Any]) -> Any:
        self.calls += 1
        result = call()
        if self.calls == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return result


def apart(work: Callable[..., None], *given: Any) -> None:
    """Work in a fork, which ends with it: where other tests have run flows in this process, Prefect would end threads
    first that no fork has."""
    work(*given)
    os._exit(0)


def round_of_sweeps(studio: Studio, make: Callable[[], Sweeper]) -> None:
    """From dropped to done: sweep, run what was accepted, sweep."""
    make().sweep()
    for job in studio.catalog.jobs():
        if job.state is JobState.QUEUED:
            studio.finish(job.id)
    make().sweep()


def sweep_until(fatal: int, where: Path) -> None:
    """In a process of its own: its connections, locks and half-made files are left as a killed process leaves them."""
    studio, death = studio_in(where), Death(fatal)

    def dying() -> Sweeper:
        place: Any = Mortal(studio.place, death)
        catalog: Any = Mortal(studio.catalog, death)
        return Sweeper(place, studio.settings, catalog)

    round_of_sweeps(studio, dying)


def studio_in(where: Path) -> Studio:
    return Studio(str(where / "drop"), where / "home", f"sqlite:///{where / 'catalog.db'}")


def test_a_sweeper_that_is_killed_at_any_step_leaves_nothing_that_the_next_does_not_finish(
    tmp_path: Path, tone: bytes
) -> None:
    Catalog.open(f"sqlite:///{tmp_path / 'empty.db'}").close()
    processes = multiprocessing.get_context("fork")
    for fatal in range(1, MOST_STEPS):
        where = tmp_path / str(fatal)
        (where / "drop" / "in").mkdir(parents=True)
        shutil.copy(tmp_path / "empty.db", where / "catalog.db")
        (where / "drop" / "in" / "talk.wav").write_bytes(tone)
        (where / "drop" / "in" / "talk.job.json").write_text(JOB)
        (where / "drop" / "in" / "bad.wav").write_bytes(b"text")
        (where / "drop" / "in" / "bad.job.json").write_text(JOB)
        sweeping = processes.Process(target=apart, args=(sweep_until, fatal, where))
        sweeping.start()
        sweeping.join(60)
        assert sweeping.exitcode in (0, -signal.SIGKILL)

        studio = studio_in(where)
        studio.leases_run_out()
        round_of_sweeps(studio, studio.sweeper)
        assert studio.count("jobs") == studio.count("outbox") == 1
        assert studio.states() == {"in/bad.wav": "quarantined", "in/talk.wav": "done"}, fatal
        names = [Path(name).name for name in listed(where / "drop")]
        quarantined = ["bad.job.json", "bad.wav", "reason.json"]
        done = ["delivery.json", "report.json", "talk.es.m4a", "talk.job.json", "talk.wav"]
        assert sorted(names) == sorted([*quarantined, *done]), fatal
        assert listed(where / "drop" / "in") == []
        studio.catalog.close()
        if sweeping.exitcode == 0:
            assert fatal > 20  # it died at each step before this
            return
    pytest.fail("it never came to its end")


def test_six_sweepers_that_race_make_one_job_of_each_file(studio: Studio, drop: Path, tone: bytes) -> None:
    studio.catalog.close()  # its connections are not to be shared with the racers

    for number in range(40):
        (drop / "in" / f"film{number:02}.wav").write_bytes(tone)
        (drop / "in" / f"film{number:02}.job.json").write_text(JOB)

    def race(start: Any, won: Any) -> None:
        catalog = Catalog.open(studio.settings.database_url)
        sweeper = Sweeper(studio.place, studio.settings, catalog)
        start.wait()
        swept = sweeper.sweep()
        won.put((len(swept.accepted), swept.trouble))
        catalog.close()

    processes = multiprocessing.get_context("fork")
    start, results = processes.Barrier(6), processes.SimpleQueue()
    racers = [processes.Process(target=apart, args=(race, start, results)) for _ in range(6)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [0] * 6
    won, troubles = zip(*(results.get() for _ in racers), strict=True)
    assert not any(troubles)
    assert sum(won) == 40
    assert studio.count("jobs") == studio.count("outbox") == 40
    assert list(studio.states().values()) == ["accepted"] * 40


def test_of_sweepers_that_settle_the_same_job_at_once_both_come_to_the_same_end(
    studio: Studio, drop: Path, tone: bytes
) -> None:
    (drop / "in" / "talk.wav").write_bytes(tone)
    (drop / "in" / "talk.job.json").write_text(JOB)
    (job,) = studio.sweeper().sweep().accepted
    studio.finish(job)
    slow = studio.sweeper()
    due = studio.catalog.due_drops(studio.place.url)
    (claimed,) = studio.catalog.claim_drops(due, DropState.ACCEPTED, "slow", 60, 1)
    studio.leases_run_out()  # while it was suspended, say
    assert studio.sweeper().sweep().published == 1
    with pytest.raises(Exception, match="no longer ours"):
        slow._settle(claimed)
    assert len(listed(drop / "done")) == 5


def test_a_sweeper_that_is_told_to_stop_gives_back_the_job_that_it_runs(
    drop: Path, tmp_path: Path, long_recording: dict[str, str], forge: Forge
) -> None:
    """As a container is stopped; the next one goes on with it at once, on whatever machine."""
    shutil.copy(long_recording["source"], drop / "in" / "long.flac")
    shutil.copy(long_recording["script"], drop / "in" / "long.srt")
    sidecar = {"targets": ["es", "fr", "it"], "script": "long.srt"}
    (drop / "in" / "long.job.json").write_text(json.dumps(sidecar))
    env = {
        **os.environ, "SPEECHMILL_HOME": str(tmp_path / "home"), "SPEECHMILL_ENGINE": "rehearsal",
        "SPEECHMILL_DROP_MIN_AGE_S": "0", "SPEECHMILL_DATABASE_URL": f"sqlite:///{tmp_path / 'catalog.db'}",
    }  # fmt: skip
    catalog = Catalog.open(env["SPEECHMILL_DATABASE_URL"])
    sweeper = forge.start(["ingest", drop, "--no-prefect"], env, tmp_path, tmp_path / "out", tmp_path / "err")
    until = time.monotonic() + 60
    while not (tmp_path / "err").exists() or "  speak es" not in (tmp_path / "err").read_text():
        assert time.monotonic() < until
        time.sleep(0.05)
    sweeper.terminate()
    assert sweeper.wait(30) == 130
    (job,) = catalog.jobs()
    assert job.state is JobState.QUEUED
    errand = catalog.claim_errand("somebody else", 60)
    assert errand is not None
    catalog.end_run(catalog.begin_run(job.id, "somebody else", 60), JobState.COMPLETED)
    catalog.close()
