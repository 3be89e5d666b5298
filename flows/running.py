"""Running: a job is carried out by one process at a time, and whatever happens, the catalog says how it ended.

On one machine a lock says who runs a job, which ends with its process; between machines a hold does, which runs out
where no sign of life comes. The lock's file names who has held the job from here: whoever finds it free knows that they
are dead, and need not wait for their hold to run out.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from flows.cancelling import watched
from flows.keeping import kept
from flows.kinds import wait_for
from flows.outcomes import Outcome
from flows.settling import settle_own
from speechmill import programs
from speechmill.errors import Cancelled, Conflict, DatabaseAway, LeaseLost, SpeechmillError, from_os_error
from speechmill.logs import about, redacted
from speechmill.settings import Settings
from storage.catalog import Catalog, Hold, JobState
from storage.scratch import locked
from tasks.workplace import cancelled


def by_a_person() -> bool:
    """Who interrupts a command means the job."""
    return True


def by_a_service() -> bool:
    """Who interrupts a service means the service: its jobs are gone on with when it is started again."""
    return False


def carry_out(
    job_id: str,
    chosen: Settings,
    catalog: Catalog,
    work: Callable[[], JobState],
    *,
    run: str | None = None,
    interrupted: Callable[[], bool] = by_a_person,
) -> Outcome:
    """Do the work of a job while nobody else does, and settle what it was dropped for. ``work`` says what became of it;
    ``run`` is the flow run of Prefect's that this is; ``interrupted`` is asked who interrupts it, where somebody does.

    Raises ``Conflict`` while another process runs the job, what stopped it, and ``LeaseLost`` where this process gave
    no sign of life for so long that another one goes on with the job: then nothing of its end is written.
    """
    with about(job=job_id), _held(job_id, chosen, catalog, run) as hold:
        try:
            with _end_kept(catalog, hold, interrupted), watched(catalog, job_id):
                try:
                    state = work()
                except SpeechmillError as error:
                    if catalog.cancel_requested(job_id) and not isinstance(error, Cancelled):
                        raise cancelled(job_id) from error  # a program that was ended meanwhile, say
                    raise
                _complete(catalog, hold, state)
        finally:
            if settle_own(job_id, chosen, catalog):
                catalog.leave_run(hold)
    return Outcome.of(catalog.job(job_id))


@contextmanager
def _held(job_id: str, chosen: Settings, catalog: Catalog, run: str | None) -> Iterator[Hold]:
    """Nobody else runs the job meanwhile. A hold that is lost ends the programs of this process: what they make is no
    longer wanted from here."""
    owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    path = chosen.home / "running" / job_id
    busy = Conflict(f"job {job_id} is running in another process", hint="wait for it, or stop that process first")
    with locked(path, instead=busy):
        dead = path.read_text("utf-8").split()
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{owner}\n")
        hold = catalog.begin_run(job_id, owner, chosen.lost_after_s, dead=dead, run=run)
        renew = partial(catalog.renew_run, hold, chosen.lost_after_s)
        with kept(renew, chosen.lost_after_s / 4, lost=programs.stop_all):
            yield hold


@contextmanager
def _end_kept(catalog: Catalog, hold: Hold, interrupted: Callable[[], bool]) -> Iterator[None]:
    """Write down the bad end of a job."""
    try:
        yield
    except Cancelled as error:
        _end(catalog, hold, JobState.CANCELLED, reason=error.message)
        raise
    except LeaseLost:
        raise
    except OSError as error:
        ours = from_os_error(error)
        _end(catalog, hold, JobState.FAILED, code=ours.code, message=str(ours))
        raise ours from error
    except SpeechmillError as error:
        _end(catalog, hold, JobState.FAILED, code=error.code, message=str(error))
        raise
    except Exception as error:
        _end(catalog, hold, JobState.FAILED, code="internal", message=type(error).__name__)
        raise
    except BaseException:  # Ctrl-C, or a signal that Prefect or the system sent
        if interrupted():
            with suppress(SpeechmillError, OSError):
                catalog.request_cancel(hold.job_id)  # workers elsewhere look for this
            _end(catalog, hold, JobState.CANCELLED, reason="its process was stopped")
        else:
            _end(catalog, hold, JobState.QUEUED, reason="its process was stopped")
        raise


def _complete(catalog: Catalog, hold: Hold, state: JobState) -> None:
    """Write down the good end of a job; a database that restarts just now is waited for."""
    while True:
        try:
            return catalog.end_run(hold, state)
        except DatabaseAway:
            wait_for(catalog)


def _end(catalog: Catalog, hold: Hold, state: JobState, **detail: str) -> None:
    """Write the bad end; a catalog that cannot be written (a full disk) must not hide what went wrong. Raises
    ``LeaseLost`` where it went wrong since somebody else has the job."""
    try:
        catalog.end_run(hold, state, **{name: redacted(said) for name, said in detail.items()})
    except LeaseLost:
        raise
    except (SpeechmillError, OSError, Conflict):
        return
