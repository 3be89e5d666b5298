"""Lost runs: jobs whose run ended, or never began, when nobody was there to say so. They become what their run became,
and can be gone on with; those of drop folders and batches are, by themselves.

A process that was killed together with its runner, a run that a person cancelled before anybody began with it, one that
waits for ever for a process that was never started: Prefect calls no hook for any of them. Nor does a runner hear of
cancels any more once its server was away.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flows.hooks import settle
from speechmill.errors import Conflict, UnknownName
from speechmill.settings import Settings
from storage.catalog import RUN, Catalog, JobState, Unsure

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import State

UNKNOWN = "nothing is known of the run that was to do it"


class Lookout:
    """Looks for lost runs, again and again."""

    def __init__(self, chosen: Settings, catalog: Catalog) -> None:
        self._lost_after_s = chosen.lost_after_s
        self._catalog = catalog
        self._since: dict[tuple[str, str], float] = {}  # when a run was first seen in a state, by this process's clock

    def look(self) -> list[str]:
        """Jobs whose runs turned out to be lost just now."""
        from prefect.client.orchestration import get_client

        unsure = self._catalog.unsure()
        with get_client(sync_client=True) as client:
            self._pass_on_cancels(client)
            return [each.job.id for each in unsure if self._is_lost(each, client)]

    def _pass_on_cancels(self, client: SyncPrefectClient) -> None:
        """Ask jobs to stop whose runs somebody cancels in Prefect's UI. Their runner does that itself, and quicker; but
        one whose server was away for a while hears of no cancel any more."""
        from prefect.client.schemas.filters import FlowRunFilter

        from flows.deployments import TAG

        meant = {"tags": {"all_": [TAG]}, "state": {"type": {"any_": ["CANCELLING"]}}}
        for run in client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(meant)):
            with suppress(UnknownName, Conflict):  # one that has no job, or that has ended by now
                job = self._catalog.job(str(run.parameters.get("job") or run.name))
                if job.facts.get(RUN) == str(run.id):
                    self._catalog.request_cancel(job.id)

    def _is_lost(self, each: Unsure, client: SyncPrefectClient) -> bool:
        job, run = each.job, each.job.facts.get(RUN)
        state = _state(client, run) if run else None
        if run is None or state is None:
            if job.state is not JobState.QUEUED or (each.handed_s_ago or 0.0) < self._lost_after_s:
                return False  # just handed on, or run without this server
            return self._catalog.handed_in_vain(job.id, code="lost", message=UNKNOWN)
        if state.is_scheduled():
            return False  # it waits for its turn
        if not state.is_final():
            if job.state is JobState.QUEUED and not self._is_stuck(run, state):
                return False
            state = _ended(client, run, state)
        became = JobState.CANCELLED if state.is_cancelled() else JobState.FAILED
        return settle(self._catalog, job.id, run, state, became, dead=False)

    def _is_stuck(self, run: str, state: State[Any]) -> bool:
        """Whether a run is in a state for so long that its process, which was to begin with its job, is no more."""
        now = time.monotonic()
        seen_s = self._since.setdefault((run, str(state.id)), now)
        return now - seen_s > self._lost_after_s


def _state(client: SyncPrefectClient, run: str) -> State[Any] | None:
    from prefect.exceptions import ObjectNotFound

    try:
        return client.read_flow_run(UUID(run)).state
    except ObjectNotFound:  # deleted, or another server's
        return None


def _ended(client: SyncPrefectClient, run: str, state: State[Any]) -> State[Any]:
    """Have a run end whose process is gone, so that it takes nobody's place; the state that it has now."""
    from prefect.states import Cancelled, Crashed

    message = "its process gave no sign of life; what it was to do is tried again, or gone on with by `retake`"
    end: State[Any] = Cancelled() if state.is_cancelling() else Crashed(message=message)
    client.set_flow_run_state(UUID(run), end, force=True)
    return end
