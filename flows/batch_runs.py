"""Running a batch to its end: its rows are started so many at a time, and its report says how it stands meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from flows.batch import Batch, BatchReport
from flows.deliveries import placed, try_place
from flows.manifests import manifest_at
from flows.progress import Logged
from flows.running import by_a_person
from flows.start import whole
from speechmill.errors import SpeechmillError, Unavailable
from speechmill.recipes import digest_of_json
from speechmill.settings import Settings
from storage.catalog import Catalog

POLL_S = 1.0


def batch_of(
    manifest: str, out: str | None, outs: str, chosen: Settings, catalog: Catalog, *, prefect: bool, outside: bool
) -> Batch:
    """The batch of a manifest whose results go to a folder, or to ``s3://bucket/folder``: the same two are the same
    batch. Where none is named, it is one of the manifest's name in ``outs``. Raises ``BadInput`` for a place that
    nothing can be put into."""
    found = manifest_at(manifest, chosen, outside=outside)
    asked = whole(out or f"{outs}/{found.name.partition('.')[0]}").rstrip("/")
    try_place(asked, chosen)
    batch_id = f"batch-{digest_of_json([found.where, asked])[:12]}"
    folder, results = placed(asked, batch_id, chosen)
    return Batch(batch_id, found, Path(folder), chosen, catalog, prefect=prefect, results=results or "")


def run_batch(
    manifest: str, out: str | None, outs: str, chosen: Settings, catalog: Catalog, say: Callable[[str], None],
    *, prefect: bool = True, at_once: int = 0, outside: bool = False, anew: bool = True,
    interrupted: Callable[[], bool] = by_a_person,
) -> BatchReport:  # fmt: skip
    """Run a batch to its end. Jobs are started by the Prefect server that stays, where there is one, else here; so many
    at a time: ``at_once``, or what the settings say of Prefect's, and one here. ``anew``: rows that failed or were
    cancelled are tried again. Its jobs are stopped with it where ``interrupted`` says that a person does that.

    A server or a database that is away for a while is said, and waited for.
    """
    from flows.prefect_runs import lasting_server

    prefect = prefect and lasting_server(chosen) is not None
    batch = batch_of(manifest, out, outs, chosen, catalog, prefect=prefect, outside=outside)
    (batch.go_on if anew else batch.begin)()
    relay = batch.relay(at_once or (chosen.drop_jobs if prefect else 1))
    threads = 1 if prefect else max(1, at_once)
    running: set[Future[bool]] = set()
    told = Told(batch, catalog, say)
    with ThreadPoolExecutor(threads, thread_name_prefix="batch") as pool:
        try:
            while True:
                try:
                    report = told.look()
                    if report.is_over and not running:
                        return report
                    while len(running) < threads:
                        running.add(pool.submit(relay.next, Logged()))
                    over, running = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
                    begun = [each.result() for each in over]
                    rest = bool(over) and not any(begun)  # nothing is due
                except Unavailable as error:
                    told.trouble(error)
                    rest = True
                if rest:
                    time.sleep(POLL_S)
        except BaseException as error:
            if isinstance(error, Exception) or interrupted():
                _stop(catalog, [row.job for row in batch.report().rows if row.job and row.state == "running"])
            raise


class Told:
    """What was said of a batch: the report is written, and a sentence said, when something has changed."""

    def __init__(self, batch: Batch, catalog: Catalog, say: Callable[[str], None]) -> None:
        self._batch, self._catalog, self._say = batch, catalog, say
        self._seen, self._trouble = "", ""
        self._report: BatchReport | None = None
        self._counts: Counter[str] = Counter()

    def look(self) -> BatchReport:
        """Note which jobs have ended, and how; the report as it is now."""
        self._batch.settle_rows()
        seen = self._catalog.pulse(self._batch.place)
        if self._report is None or seen != self._seen:
            self._report, self._seen = self._batch.write(), seen
        if self._report.counts != self._counts:
            self._counts = self._report.counts
            self._say(self._report.sentence())
        return self._report

    def trouble(self, error: Unavailable) -> None:
        """Say what is away, once, or raise it where it does not come back by itself."""
        if not error.retryable:
            raise error
        if str(error) != self._trouble:
            self._trouble = str(error)
            self._say(self._trouble)


def _stop(catalog: Catalog, jobs: Sequence[str]) -> None:
    """Have the jobs stop that run; the batch goes on with them when it is run again."""
    for job in jobs:
        try:
            catalog.request_cancel(job)
        except SpeechmillError:
            continue
