"""The kinds of job, and the flow that runs each."""

from __future__ import annotations

from typing import Protocol

from flows.steps import Step, plainly
from speechmill.settings import Settings
from storage.catalog import Catalog, Job
from tasks.stages import Progress


class Run(Protocol):
    """Runs a job of the catalog to its delivery."""

    def __call__(
        self, job_id: str, chosen: Settings, catalog: Catalog, progress: Progress, step: Step = plainly
    ) -> None: ...


def runner(job: Job) -> Run:
    """The flow of a job. Each is imported only where it runs."""
    if job.kind == "podcast":
        from flows.podcast import run_podcast

        return run_podcast
    from flows.dubbing import run_dubbing

    return run_dubbing
