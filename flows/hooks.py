"""Hooks: how a run ended is made known to the catalog, also where its process could not do that any more.

Prefect calls hooks with the keywords ``flow``, ``flow_run`` and ``state``; one whose parameters have other names never
runs. They run in the flow's own process or in that of the runner, and may run twice.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from speechmill.errors import Conflict, SpeechmillError, UnknownName
from speechmill.settings import settings
from storage.catalog import Catalog, JobState
from tasks.workplace import open_catalog

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, State
    from prefect.flows import Flow

UNDER_WAY = frozenset({JobState.QUEUED, JobState.RUNNING})


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
    job_id = job_of(flow_run)
    catalog = open_catalog(settings())
    try:
        with suppress(UnknownName):  # a run that ended before it had a job
            settle(catalog, job_id, state.name or str(state.type), str(flow_run.id), state.message or "", became)
    finally:
        catalog.close()


def settle(catalog: Catalog, job_id: str, ended: str, run: str, message: str, became: JobState | None) -> None:
    """Note how a run of a job ended; ``became`` is what that makes of a job that counts as under way."""
    catalog.add_event(job_id, "run-ended", run=run, state=ended)
    if became is None or catalog.job(job_id).state not in UNDER_WAY:
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
        return re.sub(r"\s", "-", client.read_flow_run(flow_run.id).name)


def settle_lost(catalog: Catalog) -> list[str]:
    """Jobs that count as running although the run of that name has ended: its process was killed when nobody was there
    to say so. They become what their run became, and can be gone on with."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
    from prefect.client.schemas.sorting import FlowRunSort

    running = [job for job in catalog.jobs(200) if job.state is JobState.RUNNING]
    settled = []
    with get_client(sync_client=True) as client:
        for job in running:
            found = client.read_flow_runs(
                flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[job.id])),
                sort=FlowRunSort.EXPECTED_START_TIME_DESC,
                limit=1,
            )
            state = found[0].state if found else None
            if state is None or not state.is_final():
                continue
            became = JobState.CANCELLED if state.is_cancelled() else JobState.FAILED
            with suppress(SpeechmillError):
                settle(catalog, job.id, state.name or "", str(found[0].id), state.message or "", became)
                settled.append(job.id)
    return settled
