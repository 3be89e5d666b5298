"""A job on several machines: one runs it, whoever dies; and who is stopped is no person who cancels."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.running import by_a_service, carry_out
from speechmill import programs
from speechmill.errors import Conflict, LeaseLost, Unavailable
from speechmill.settings import Settings
from storage.catalog import Catalog, JobState

MOST_S = 10.0


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'catalog.db'}"


@pytest.fixture
def catalog(database: str) -> Iterator[Catalog]:
    found = Catalog.open(database)
    yield found
    found.close()


@pytest.fixture
def job(catalog: Catalog, tmp_path: Path) -> str:
    return catalog.add_job("dub", {"source": "talk.mp4"}, "0" * 64, str(tmp_path / "out")).id


def machine(folder: Path, **settings: object) -> Settings:
    """The settings of a machine with a home of its own."""
    return Settings(home=folder, **settings)


def done() -> JobState:
    return JobState.COMPLETED


def states(catalog: Catalog, job: str) -> list[str]:
    return [event.detail["to"] for event in catalog.events(job) if event.kind == "state"]


def in_a_process(work: Callable[[], object]) -> int:
    """Fork, work and end; the process."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return child


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + MOST_S
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_of_two_machines_that_are_given_one_job_the_second_leaves_it_to_the_first(
    catalog: Catalog, job: str, tmp_path: Path
) -> None:
    begun, tried = threading.Event(), threading.Event()
    first, second = machine(tmp_path / "first"), machine(tmp_path / "second")

    def slowly() -> JobState:
        begun.set()
        assert tried.wait(MOST_S)
        return JobState.COMPLETED

    def broken() -> JobState:
        raise Unavailable("its disk is gone")

    running = threading.Thread(target=carry_out, args=(job, first, catalog, slowly))
    running.start()
    assert begun.wait(MOST_S)
    with pytest.raises(Conflict, match=rf"job {job} is running already, in process .*:{os.getpid()}"):
        carry_out(job, second, catalog, broken)
    tried.set()
    running.join()
    assert states(catalog, job) == ["queued", "running", "completed"]


def killed_while_it_runs(database: str, job: str, chosen: Settings) -> None:
    """Begin with a job in a process that is killed then."""
    begun = chosen.home / "begun"

    def run() -> None:
        def work() -> JobState:
            begun.touch()
            time.sleep(60)
            return JobState.COMPLETED

        carry_out(job, chosen, Catalog.open(database), work)

    chosen.home.mkdir()
    child = in_a_process(run)
    wait_until(begun.exists)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_job_whose_process_was_killed_goes_on_at_once_on_the_same_machine(
    catalog: Catalog, database: str, job: str, tmp_path: Path
) -> None:
    home = machine(tmp_path / "home")
    killed_while_it_runs(database, job, home)
    assert carry_out(job, home, catalog, done).state == "completed"
    assert list((home.home / "running").iterdir()) == []


def test_a_job_whose_machine_was_lost_goes_on_elsewhere_after_it_gave_no_sign_of_life(
    catalog: Catalog, database: str, job: str, tmp_path: Path
) -> None:
    killed_while_it_runs(database, job, machine(tmp_path / "lost", lost_after_s=5))
    elsewhere = machine(tmp_path / "elsewhere")
    with pytest.raises(Conflict):
        carry_out(job, elsewhere, catalog, done)
    wait_until(lambda: not catalog.is_held(job))
    assert carry_out(job, elsewhere, catalog, done).state == "completed"


def test_a_job_that_runs_longer_than_its_hold_is_held_on(catalog: Catalog, job: str, tmp_path: Path) -> None:
    def work() -> JobState:
        time.sleep(7)
        assert catalog.is_held(job)
        return JobState.COMPLETED

    assert carry_out(job, machine(tmp_path / "home", lost_after_s=5), catalog, work).state == "completed"


def test_a_machine_that_froze_and_lost_its_job_stops_and_leaves_the_other_ones_end_alone(
    catalog: Catalog, job: str, tmp_path: Path
) -> None:
    frozen, other = machine(tmp_path / "frozen", lost_after_s=5), machine(tmp_path / "other")

    def work() -> JobState:
        with catalog._database.writing() as session:  # as if it had been stopped for a minute
            session.connection().exec_driver_sql("UPDATE runs SET lease_until_s = 0")
        carry_out(job, other, catalog, done)
        programs.run(["sleep", "60"])  # until it notices
        return JobState.COMPLETED

    began = time.monotonic()
    with pytest.raises(LeaseLost, match="given to somebody else"):
        carry_out(job, frozen, catalog, work)
    assert time.monotonic() - began < MOST_S
    assert states(catalog, job) == ["queued", "running", "running", "completed"]


def test_what_is_stopped_by_its_service_is_to_be_gone_on_with_and_by_its_person_cancelled(
    catalog: Catalog, job: str, tmp_path: Path
) -> None:
    def interrupted() -> JobState:
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            carry_out(job, machine(tmp_path), catalog, interrupted, interrupted=by_a_service)
        assert catalog.job(job).state is JobState.QUEUED
        assert not catalog.is_held(job)
    with pytest.raises(KeyboardInterrupt):
        carry_out(job, machine(tmp_path), catalog, interrupted)
    assert catalog.job(job).state is JobState.CANCELLED
    assert catalog.events(job)[-1].detail["reason"] == "its process was stopped"


def test_processes_that_begin_and_end_the_same_job_all_the_time_never_run_it_twice_at_once(
    catalog: Catalog, database: str, job: str, tmp_path: Path
) -> None:
    """The lock's file goes with whoever held it; nobody may hold one that is gone."""
    mark = tmp_path / "mark"

    def run() -> None:
        catalog = Catalog.open(database)

        def work() -> JobState:
            mark.touch(exist_ok=False)
            time.sleep(0.002)
            mark.unlink()
            raise Unavailable("again")

        until = time.monotonic() + 5
        while time.monotonic() < until:
            try:
                carry_out(job, machine(tmp_path / "home"), catalog, work)
            except (Conflict, Unavailable):
                continue
            except FileExistsError:
                os._exit(1)

    children = [in_a_process(run) for _ in range(4)]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    assert states(catalog, job).count("running") > 10
