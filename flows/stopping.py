"""Stopping: a run of Prefect's whose process is told to end. A person who cancels it means the job; a service that
stops (a container that is made anew, a machine that is shut down) means only itself: then the run is put back among
those that are to be started, and the next ``speechmill serve`` goes on with it.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import State

PUT_BACK = "PutBack"  # the name of the state of a run that waits to be gone on with

log = logging.getLogger("speechmill.run")


def by_a_person() -> bool:
    """Whether it was a person who had the flow run of this process ended. Where Prefect's server does not say so, it
    was not."""
    try:
        with _client() as client:
            state = client.read_flow_run(_own()).state
    except Exception as error:
        log.warning("who stops this run is not known: %s", error)
        return False
    return state is not None and (state.is_cancelling() or state.is_cancelled())


@contextmanager
def gone_on_with() -> Iterator[None]:
    """A flow, whose run is put back where a service that stops ends its process."""
    from prefect.exceptions import Abort, TerminationSignal

    # Ctrl-C is heard by all processes of a terminal: the service, which hears it too, ends its runs by another signal.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    except TerminationSignal:
        if by_a_person() or not put_back(_own()):
            raise
        raise Abort("the run is put back, since its process was stopped") from None  # it has its state
    finally:
        signal.signal(signal.SIGINT, before)


def put_back(run: UUID) -> bool:
    """Have a run started again by whoever serves its deployment next; whether that could be arranged."""
    return _put_back(run, lambda _: True)


def put_back_crashed(run: UUID) -> bool:
    """The same, for one that has crashed by now."""
    return _put_back(run, lambda state: state.is_crashed(), force=True)


def _put_back(run: UUID, is_meant: Callable[[State[Any]], bool], *, force: bool = False) -> bool:
    from prefect.client.schemas.responses import SetStateStatus
    from prefect.states import Scheduled

    message = "its process was stopped; it goes on when `speechmill serve` runs again"
    try:
        with _client() as client:
            now = client.read_flow_run(run).state
            if now is None or not is_meant(now):
                return False
            waiting: State[None] = Scheduled(name=PUT_BACK, message=message)
            return client.set_flow_run_state(run, waiting, force=force).status is SetStateStatus.ACCEPT
    except Exception as error:
        log.warning("run %s is not put back: %s", run, error)
        return False


def was_put_back() -> bool:
    """Whether the flow run of this process goes on after its process was stopped, rather than anew."""
    with _client() as client:
        states = client.read_flow_run_states(_own())
    scheduled = sorted((state for state in states if state.is_scheduled()), key=lambda state: state.timestamp)
    return bool(scheduled) and scheduled[-1].name == PUT_BACK


def _own() -> UUID:
    from prefect.runtime import flow_run

    return UUID(str(flow_run.id))


def _client() -> SyncPrefectClient:
    from prefect.client.orchestration import get_client

    return get_client(sync_client=True)
