"""Cancelling: a person asks a job to stop; whoever runs it notices within a second and ends the programs it runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from speechmill import programs
from speechmill.errors import Conflict, SpeechmillError
from speechmill.settings import settings
from storage.catalog import Catalog, Job, JobState
from tasks.workplace import open_catalog

LOOK_S = 0.5  # nothing new is to begin 2 s after a person asked; stages look once a second themselves


def cancel(job_id: str) -> Job:
    """Ask a job to stop; one that nobody has begun with is cancelled at once. Raises ``Conflict`` for a job that is not
    under way."""
    catalog = open_catalog(settings())
    try:
        catalog.request_cancel(job_id)
        if catalog.job(job_id).state is JobState.QUEUED:
            with suppress(Conflict):  # somebody began with it just now, and will see that it is to stop
                catalog.move_job(job_id, JobState.CANCELLED)
        return catalog.job(job_id)
    finally:
        catalog.close()


@contextmanager
def watched(catalog: Catalog, job_id: str) -> Iterator[None]:
    """While a job runs here, look whether it is to stop, and end the programs it runs as soon as it is."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_S):
            with suppress(SpeechmillError, OSError):  # a database that is away for a moment is asked again
                if catalog.cancel_requested(job_id):
                    programs.stop_all()
                    return

    watcher = threading.Thread(target=watch, name=f"cancel {job_id}", daemon=True)
    with programs.stoppable():
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
