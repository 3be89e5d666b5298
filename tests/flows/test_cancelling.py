"""Cancelling, without any server: what runs is ended at once, and the catalog says how it came."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows.hooks import settle
from flows.start import carry_out
from speechmill import programs
from speechmill.errors import Cancelled, Conflict
from speechmill.settings import Settings
from storage.catalog import RUN, Catalog, JobState
from tasks.dispatch import in_process

MOST_S = 5.0  # what is ended takes a second; what is not, a minute


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    found = Catalog.open(f"sqlite:///{tmp_path / 'catalog.db'}")
    yield found
    found.close()


def new_job(catalog: Catalog) -> str:
    return catalog.add_job("dub", {"source": "talk.mp4"}, "0" * 64).id


@pytest.mark.parametrize("threads", [0, 2])
def test_a_program_that_runs_is_ended_when_a_person_cancels(catalog: Catalog, tmp_path: Path, threads: int) -> None:
    """In the main thread of the job, or in those that work on its lines."""
    job = new_job(catalog)
    begun = tmp_path / "begun"

    def sleep(_: int) -> None:
        programs.run(["sh", "-c", f"echo begun >> {begun}; sleep 60"])

    def work() -> None:
        if threads:
            in_process(sleep, range(20), threads=threads, done=lambda _: None, check=lambda: None)
        else:
            sleep(0)

    asking = threading.Timer(0.5, catalog.request_cancel, [job])
    asking.start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        carry_out(job, Settings(home=tmp_path), catalog, work)
    assert time.monotonic() - began < MOST_S
    assert len(begun.read_text("utf-8").splitlines()) <= max(1, threads)  # and nothing was begun after
    assert catalog.job(job).state is JobState.CANCELLED
    programs.run(["true"])  # the next job may run programs


def test_ctrl_c_ends_the_programs_that_threads_wait_for() -> None:
    def work(number: int) -> None:
        if number == 0:
            raise KeyboardInterrupt
        programs.run(["sleep", "60"], check=False)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        in_process(work, [1, 0], threads=2, done=lambda _: None, check=lambda: None)
    assert time.monotonic() - began < MOST_S


def test_lines_are_edited_while_a_job_waits_for_a_person_and_not_while_it_works(catalog: Catalog) -> None:
    from speechmill.lines import Line

    job = new_job(catalog)
    catalog.put_lines(job, "es", [Line(id="0001", speaker="S1", language="es", text="Hola.")])
    catalog.move_job(job, JobState.RUNNING)
    with pytest.raises(Conflict):
        catalog.edit_line(job, "es", "0001", "Buenos días.")
    catalog.wait_for_approval(job, "translation es")
    assert catalog.edit_line(job, "es", "0001", "Buenos días.").line.text == "Buenos días."
    catalog.wait_no_more(job)
    with pytest.raises(Conflict):
        catalog.edit_line(job, "es", "0001", "Hola.")


def ended(name: str) -> Any:
    return SimpleNamespace(name=name, type=name.upper(), message="why")


def test_only_the_run_that_has_a_job_ends_it(catalog: Catalog) -> None:
    job = new_job(catalog)
    catalog.move_job(job, JobState.RUNNING)
    catalog.set_job_facts(job, **{RUN: "first"})
    settle(catalog, job, "second", ended("Failed"), JobState.FAILED)  # refused, since the first one runs the job
    assert catalog.job(job).state is JobState.RUNNING
    settle(catalog, job, "first", ended("Crashed"), JobState.FAILED)
    settle(catalog, job, "first", ended("Crashed"), JobState.FAILED)  # hooks may run twice
    assert catalog.job(job).state is JobState.FAILED
    catalog.move_job(job, JobState.RUNNING)
    settle(catalog, job, "first", ended("Crashed"), JobState.FAILED)  # somebody goes on with it already
    assert catalog.job(job).state is JobState.RUNNING
