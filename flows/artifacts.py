"""What a run shows in the Prefect UI: one progress artifact, a table of lines that need a person, a link to the report.

Never a row or a log line for each line of a film: Prefect's database keeps what every run has left.
"""

from __future__ import annotations

import threading
from types import TracebackType
from uuid import UUID

from flows.deliveries import where
from flows.listing import reviewed_lines
from flows.progress import status
from flows.report_links import report_link
from speechmill.settings import Settings
from storage.catalog import RUN, Catalog, JobState
from tasks.stages import Progress

UPDATE_S = 2.0  # the progress artifact changes at most this often
MOST_ROWS = 500  # of a table: a page a person reads; `speechmill lines` has all

ONCE = {
    "probe": 1, "extract": 4, "bed": 2, "music": 2, "read script": 1, "script": 5, "find speech": 4, "transcribe": 20,
    "tell speakers apart": 4, "write subtitles": 1, "pack": 3, "package": 3, "check": 2, "report page": 3,
}  # fmt: skip
PER_LANGUAGE = {"translate": 5, "read translation": 1, "speak": 40, "plan": 1, "master": 25, "measure": 3}
"""Roughly how much of a job each stage is, by the first words of its name: the bar is a guide, its text is exact."""


class Shown:
    """Progress of a run, told to who watches the terminal and shown in the Prefect UI. Used inside a flow run."""

    def __init__(self, job_id: str, chosen: Settings, catalog: Catalog, progress: Progress) -> None:
        from prefect.context import FlowRunContext
        from prefect.logging.loggers import flow_run_logger

        context = FlowRunContext.get()
        assert context is not None
        assert context.flow_run is not None
        self._job, self._settings, self._catalog, self._progress = job_id, chosen, catalog, progress
        self._log = flow_run_logger(context.flow_run)
        self._run = context.flow_run.id
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._done: set[str] = set()
        self._line, self._percent = "beginning", 0.0
        self._told: tuple[str, float] | None = None
        self._bar: UUID | None = None
        self._teller = threading.Thread(target=self._tell_on, name=f"progress {job_id}", daemon=True)
        self.became = JobState.RUNNING  # until it is known
        self._languages = max(1, len(catalog.job(job_id).request.get("targets", ())))

    def __enter__(self) -> Shown:
        from prefect.artifacts import create_progress_artifact
        from prefect.client.orchestration import get_client

        self._client = get_client(sync_client=True)
        self._client.update_flow_run(self._run, name=self._job)  # by which hooks and people find the job
        self._catalog.set_job_facts(self._job, **{RUN: str(self._run)})
        made = create_progress_artifact(progress=0.0, key=f"progress-{self._job}", description=self._line)
        assert isinstance(made, UUID)
        self._bar = made
        self._teller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._teller.join()
        with self._lock:
            self._line, self._percent = ("done", 100.0) if kind is None else (f"stopped: {error}", self._percent)
        self._tell()
        if kind is None:
            self._show_result()

    def say(self, sentence: str) -> None:
        self._progress.say(sentence)
        self._log.info(sentence)

    def stage(self, name: str, done: int, total: int | None) -> None:
        self._progress.stage(name, done, total)
        with self._lock:
            self._line = status(name, done, total, 0.0)
            within = done / total if total else 0.0
            self._percent = max(self._percent, min(99.0, self._share(name, within)))

    def stage_ended(self, name: str, seconds: float, made: int, reused: int) -> None:
        self._progress.stage_ended(name, seconds, made, reused)
        self._log.info("%s done in %.1f s, %d made, %d reused", name, seconds, made, reused)
        with self._lock:
            self._percent = max(self._percent, min(99.0, self._share(name, 1.0)))
            self._done.add(name)

    def _share(self, name: str, within: float) -> float:
        whole = sum(ONCE.values()) + sum(PER_LANGUAGE.values()) * self._languages
        return 100 * (sum(_weight(stage) for stage in self._done - {name}) + _weight(name) * within) / whole

    def _tell_on(self) -> None:
        while not self._over.wait(UPDATE_S):
            self._tell()

    def _tell(self) -> None:
        """Update the bar where something changed. A server that is away for a moment stops no job."""
        from prefect.client.schemas.actions import ArtifactUpdate

        with self._lock:
            now = (self._line, round(self._percent, 1))
        if now == self._told or self._bar is None:
            return
        try:
            self._client.update_artifact(self._bar, ArtifactUpdate(data=now[1], description=now[0]))
            self._told = now
        except Exception as error:
            self._log.debug("the progress could not be shown: %s", error)

    def _show_result(self) -> None:
        from prefect.artifacts import create_link_artifact, create_table_artifact

        job = self._catalog.job(self._job)
        rows = reviewed_lines(job)
        if rows:
            more = f" The first {MOST_ROWS} of {len(rows)}." if len(rows) > MOST_ROWS else ""
            create_table_artifact(
                rows[:MOST_ROWS],
                key=f"review-{job.id}",
                description=f"Lines that need a person.{more} Change one by `speechmill edit {job.id} LINE --text …`, "
                f"then run `retake` with job {job.id}.",
            )
        create_link_artifact(
            report_link(job, self._settings),
            link_text="report.html",
            key=f"report-{job.id}",
            description=f"{self.became}: the report of job {job.id}, in {where(job)}",
        )


def _weight(name: str) -> int:
    """The share of a stage; ``speak es`` is a ``speak``."""
    shares = {**ONCE, **PER_LANGUAGE}
    return max((share for stage, share in shares.items() if f"{name} ".startswith(f"{stage} ")), default=0)
