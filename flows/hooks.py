"""Hooks: how a run ended is made known to the catalog, also where its process could not do that any more.

Prefect calls hooks with the keywords ``flow``, ``flow_run`` and ``state``; one whose parameters have other names never
runs. They run in the flow's own process or in that of the runner, and may run twice.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from speechmill.errors import UnknownName
from speechmill.settings import settings
from storage.catalog import Catalog, JobState
from tasks.workplace import open_catalog

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, State
    from prefect.flows import Flow


def on_completion(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    _settle(flow_run, state, None)


def on_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    _settle(flow_run, state, JobState.FAILED)


def on_crashed(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    _settle(flow_run, state, JobState.FAILED)


def on_cancellation(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    _settle(flow_run, state, JobState.CANCELLED)


def _settle(flow_run: FlowRun, state: State[Any], became: JobState | None) -> None:
    """Note the end of a run in the catalog."""
    catalog = open_catalog(settings())
    try:
        with suppress(UnknownName):  # a run that ended before it had a job
            settle(catalog, job_of(flow_run), str(flow_run.id), state, became)
    finally:
        catalog.close()


def settle(
    catalog: Catalog, job_id: str, run: str, state: State[Any], became: JobState | None, *, dead: bool = True
) -> bool:
    """Note how a run of a job ended; ``became`` is what that makes of a job that this run had, or was to begin with:
    whether it did. A run that was refused since another one has the job changes nothing. ``dead`` says that the
    process of the run is known to be gone; else nothing changes while it gives signs of life."""
    ended, message = state.name or str(state.type), state.message or ""
    detail = {"reason": message} if became is JobState.CANCELLED else {"code": ended.lower(), "message": message}
    catalog.add_event(job_id, "run-ended", run=run, state=ended)
    return became is not None and catalog.run_was_lost(job_id, run, became, dead=dead, **detail)


def job_of(flow_run: FlowRun) -> str:
    """The job of a run: the one that was named to it, or the run's name, which the run sets as soon as it knows."""
    named = flow_run.parameters.get("job")
    if named:
        return str(named)
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return client.read_flow_run(flow_run.id).name
