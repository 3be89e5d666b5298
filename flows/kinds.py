"""The kinds of job, and the flow that runs each, also where the database restarts meanwhile."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from flows.steps import Step, plainly
from speechmill.errors import DatabaseAway
from speechmill.settings import Settings
from storage.catalog import Catalog, Job, JobState
from tasks.stages import Progress

OUTAGES = 3  # of one run; a database that goes away again and again is somebody's to look at
OUTAGE_S = 60.0
LOOK_S = 0.5


class Run(Protocol):
    """Runs a job of the catalog to its delivery; the state that this amounts to."""

    def __call__(
        self, job_id: str, chosen: Settings, catalog: Catalog, progress: Progress, step: Step = plainly
    ) -> JobState: ...


def runner(job: Job) -> Run:
    """The flow of a job. Each is imported only where it runs."""
    if job.kind == "podcast":
        from flows.podcast import run_podcast

        return Persevering(run_podcast)
    from flows.dubbing import run_dubbing

    return Persevering(run_dubbing)


@dataclass(frozen=True, slots=True)
class Persevering:
    """A flow that goes on after an outage of the database: it is run again, and finds what is made."""

    run: Run

    def __call__(
        self, job_id: str, chosen: Settings, catalog: Catalog, progress: Progress, step: Step = plainly
    ) -> JobState:
        for _ in range(OUTAGES):
            try:
                return self.run(job_id, chosen, catalog, progress, step)
            except DatabaseAway as error:
                progress.say(f"{error.message}; it is waited for")
                wait_for(catalog)
        return self.run(job_id, chosen, catalog, progress, step)


def wait_for(catalog: Catalog) -> None:
    """Wait for a database that restarts; raises ``DatabaseAway`` where it stays away for longer."""
    until_s = time.monotonic() + OUTAGE_S
    while True:
        try:
            return catalog.check()
        except DatabaseAway:
            if time.monotonic() > until_s:
                raise
            time.sleep(LOOK_S)
