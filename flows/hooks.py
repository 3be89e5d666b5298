"""Hooks: how a run ended is made known to the catalog, also where its process could not do that any more.

Prefect calls hooks with the keywords ``flow``, ``flow_run`` and ``state``; one whose parameters have other names never
runs. They run in the flow's own process or in that of the runner, and may run twice.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from speechmill.errors import Conflict, UnknownName
from speechmill.settings import settings
from storage.catalog import RUN, Catalog, JobState
from tasks.workplace import open_catalog

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, State
    from prefect.flows import Flow

MOST_RUNNING = 200  # the latest jobs, among which those that run are


def on_completion(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    _settle(flow_run, state, None)


def on_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    _settle(flow_run, state, JobState.FAILED)


def on_crashed(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    _settle(flow_run, state, JobState.FAILED)


def on_cancellation(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    _settle(flow_run, state, JobState.CANCELLED)


def _settle(flow_run: FlowRun, state: State[Any], became: JobState | None) -> None:
    """Note the end of a run in the catalog; a job that still counts as under way becomes what its run became."""
    catalog = open_catalog(settings())
    try:
        with suppress(UnknownName):  # a run that ended before it had a job
            settle(catalog, job_of(flow_run), str(flow_run.id), state, became)
    finally:
        catalog.close()


def settle(catalog: Catalog, job_id: str, run: str, state: State[Any], became: JobState | None) -> None:
    """Note how a run of a job ended; ``became`` is what that makes of a job that this run still counts as running, or
    that nobody has begun with. A run that was refused since another one runs the job changes nothing."""
    ended, message = state.name or str(state.type), state.message or ""
    catalog.add_event(job_id, "run-ended", run=run, state=ended)
    job = catalog.job(job_id)
    running = job.state is JobState.RUNNING and job.facts.get(RUN) == run
    if became is None or not (running or job.state is JobState.QUEUED):
        return
    with suppress(Conflict):  # it came to its own end just now
        if became is JobState.CANCELLED:
            catalog.request_cancel(job_id)  # workers elsewhere look for this
            catalog.move_job(job_id, became, reason=message)
        else:
            catalog.move_job(job_id, became, code=ended.lower(), message=message)


def job_of(flow_run: FlowRun) -> str:
    """The job of a run: the one that was named to it, or the run's name, which the run sets as soon as it knows."""
    named = flow_run.parameters.get("job")
    if named:
        return str(named)
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return client.read_flow_run(flow_run.id).name


def settle_lost(catalog: Catalog) -> list[str]:
    """Jobs that count as running although their run has ended: its process was killed when nobody was there to say
    so. They become what their run became, and can be gone on with."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    settled = []
    with get_client(sync_client=True) as client:
        for job in catalog.jobs(MOST_RUNNING):
            run = job.facts.get(RUN)
            if job.state is not JobState.RUNNING or not run:
                continue
            with suppress(ObjectNotFound):  # another server's
                state = client.read_flow_run(UUID(run)).state
                if state is not None and state.is_final():
                    became = JobState.CANCELLED if state.is_cancelled() else JobState.FAILED
                    settle(catalog, job.id, run, state, became)
                    settled.append(job.id)
    return settled
