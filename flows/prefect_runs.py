"""Runs under Prefect: each step of a flow is one task run. Prefect's cache and result storage stay off; facts are in
the catalog and results are artifacts.

Without ``PREFECT_API_URL`` Prefect's temporary server runs beside the job; its database is kept in
``$SPEECHMILL_HOME/prefect``, so that past runs are there to be shown.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from flows.kinds import runner
from speechmill.settings import Settings
from storage.catalog import Catalog
from tasks.stages import Progress

Given = ParamSpec("Given")
Made = TypeVar("Made")

SERVER_STARTUP_S = "120"  # a fresh database takes 12 s on a quick machine, over a minute on a slow one


def prepare(chosen: Settings) -> None:
    """Prefect reads its settings when it is imported, so this comes first."""
    home = chosen.home / "prefect"
    home.mkdir(parents=True, exist_ok=True)  # Prefect makes its own folder, but not the one above it
    defaults = {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": SERVER_STARTUP_S,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # Its temporary server complains at every end about events it could not flush any more; errors of ours are
        # told by us.
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def run_with_prefect(job_id: str, chosen: Settings, catalog: Catalog, progress: Progress) -> None:
    """Run a job as a Prefect flow run, in this process."""
    prepare(chosen)
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE

    run = runner(catalog.job(job_id))

    def step(name: str, work: Callable[Given, Made], *args: Given.args, **options: Given.kwargs) -> Made:
        # A closure without parameters: Prefect is told the name of the step, not the film.
        @task(name=name, cache_policy=NO_CACHE, persist_result=False)
        def run() -> Made:
            return work(*args, **options)

        return run()

    def whole(job: str) -> None:
        run(job, chosen, catalog, progress, step)

    kind = catalog.job(job_id).kind
    options: dict[str, Any] = {"name": kind, "flow_run_name": f"{kind} {job_id}", "persist_result": False}
    flow(whole, **options)(job_id)
