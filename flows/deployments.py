"""The deployments: what a producer starts from the Prefect UI, a schedule or the drop folder.

Importing this imports Prefect; ``flows.serving`` and Prefect's own workers do. ``infra/prefect.yaml`` has the same
deployments for ``prefect deploy``; a test keeps the two in step. A run's name is its job's id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.flows import Flow
from prefect.runtime import flow_run
from prefect.states import Cancelled as CancelledState
from prefect.states import Completed, Failed
from pydantic import Field

from flows import hooks, stopping
from flows.admission import admit, admit_place
from flows.artifacts import MOST_ROWS
from flows.batch_reports import page
from flows.deliveries import try_place, where
from flows.forms import JOB_ID, BatchForm, DigestForm, DubbingForm, IngestForm, PodcastForm, RetakeForm
from flows.prefect_runs import in_flow_run
from flows.progress import Logged
from flows.running import carry_out
from flows.start import absolute, job_for, whole
from speechmill.episodes import Format, PodcastRequest
from speechmill.errors import Cancelled, SpeechmillError, from_os_error
from speechmill.logs import configure, redacted
from speechmill.requests import DubbingRequest
from speechmill.settings import Settings, settings
from storage.catalog import Catalog, Job, JobState
from tasks.workplace import cancelled, open_catalog

TAG = "speechmill"  # on every deployment; the automation that finds lost runs goes by it

HOOKS: dict[str, Any] = {
    "on_completion": [hooks.on_completion],
    "on_failure": [hooks.on_failure],
    "on_cancellation": [hooks.on_cancellation],
    "on_crashed": [hooks.on_crashed],
}
# Facts are in the catalog and results are artifacts: Prefect keeps neither, and tries nothing again by itself.
PLAIN: dict[str, Any] = {"persist_result": False, "log_prints": False, "retries": 0}
OURS: dict[str, Any] = {**PLAIN, **HOOKS}

JobId = Annotated[
    str | None,
    Field(
        title="Job",
        description="Left empty by people; the drop folder names the job it has made",
        pattern=JOB_ID,
        json_schema_extra={"position": 9},
    ),
]


@flow(name="dub", description="Dubs one film into every language asked for.", **OURS)
def dub(request: DubbingForm, job: JobId = None) -> State[Any]:
    from flows.dubbing import foresee

    def found(catalog: Catalog, chosen: Settings) -> Job:
        asked = absolute(DubbingRequest.model_validate(request.model_dump()))
        within = admit(asked, chosen)
        foresee(asked, chosen, within)
        if asked.out:
            try_place(asked.out, chosen, asked)
        return job_for("dub", asked, chosen, catalog, chosen.results, Logged(), within)

    return _run(found, job)


@flow(name="podcast", description="Makes an episode from a document, an address or a script.", **OURS)
def podcast(request: PodcastForm, job: JobId = None) -> State[Any]:
    def found(catalog: Catalog, chosen: Settings) -> Job:
        asked = absolute(PodcastRequest.model_validate(request.model_dump()))
        within = admit(asked, chosen)
        if asked.out:
            try_place(asked.out, chosen, asked)
        return job_for("podcast", asked, chosen, catalog, chosen.results, Logged(), within)

    return _run(found, job)


@flow(name="retake", description="Renders again what was changed; goes on with what was stopped.", **OURS)
def retake(request: RetakeForm) -> State[Any]:
    def found(catalog: Catalog, _: Settings) -> Job:
        asked = catalog.job(request.job)
        if request.lines:
            targets = asked.request.get("targets", [])
            catalog.ask_retake(asked.id, request.lines, targets[0] if len(targets) == 1 else None)
        return catalog.job(asked.id)

    return _run(found, None)


@flow(name="digest", description="Makes an episode of what is new in a folder of documents.", **OURS)
def digest(request: DigestForm) -> State[Any]:
    from flows.digesting import Digesting, next_job

    def found(catalog: Catalog, chosen: Settings) -> Job | None:
        asked = absolute(PodcastRequest(source=request.folder, show=request.show, format=Format(request.format)))
        within = admit(asked, chosen)
        if request.out:
            admit_place(request.out, chosen)
            try_place(whole(request.out), chosen)
        out = whole(request.out or chosen.results)
        digesting = Digesting(asked, request.minutes, out, within)
        return next_job(digesting, chosen, catalog, Logged())

    return _run(found, None)


@flow(name="ingest", description="Looks once what was dropped into a folder or a bucket.", **PLAIN)
def ingest(request: IngestForm | None = None) -> State[Any]:
    from flows import sweeping

    def work(catalog: Catalog, chosen: Settings) -> State[Any]:
        where = request.where if request is not None and request.where else chosen.drop_folder
        admit_place(where, chosen)
        swept = sweeping.ingest(where, chosen, catalog, _told, once=True)
        return Completed(message=swept.sentence())

    return _carried(work)


@flow(name="batch", description="Makes one job of every row of a manifest.", **PLAIN)
def batch(request: BatchForm) -> State[Any]:
    from flows.batch_runs import run_batch

    def work(catalog: Catalog, chosen: Settings) -> State[Any]:
        for named in filter(None, (request.manifest, request.out)):
            admit_place(named, chosen)
        report = run_batch(
            request.manifest, request.out, chosen.results, chosen, catalog, _told,
            at_once=request.at_once or 0, outside=True, anew=not stopping.was_put_back(),
            interrupted=stopping.by_a_person,
        )  # fmt: skip
        create_markdown_artifact(
            page(report.as_json(), most=MOST_ROWS), key=report.batch, description=f"What became of {request.manifest}"
        )
        lost = report.counts["failed"] + report.counts["cancelled"]
        return Completed(name="RowsFailed" if lost else None, message=redacted(report.sentence()))

    return _carried(work)


def _carried(work: Callable[[Catalog, Settings], State[Any]]) -> State[Any]:
    """Do what is no job itself but looks after jobs; the state of the flow run."""
    chosen = settings()
    configure("run", chosen)
    catalog = open_catalog(chosen)
    try:
        with stopping.gone_on_with():
            return work(catalog, chosen)
    except SpeechmillError as error:
        return Failed(message=redacted(str(error)))
    except OSError as error:
        return Failed(message=redacted(str(from_os_error(error))))
    finally:
        catalog.close()


def _told(sentence: str) -> None:
    get_run_logger().info(sentence)


def _run(found: Callable[[Catalog, Settings], Job | None], job_id: str | None) -> State[Any]:
    """Run the job of that id, or the one that is found, if any, to its end; the state of the flow run."""
    chosen = settings()
    configure("run", chosen)
    catalog = open_catalog(chosen)
    try:
        with stopping.gone_on_with():
            job = catalog.job(job_id) if job_id else found(catalog, chosen)
            if job is None:
                return Completed(name="NothingNew", message="nothing is new")
            if (
                job_id
                and job.state is JobState.CANCELLED
                and ((flow_run.run_count or 1) <= 1 or stopping.was_put_back())
            ):
                raise cancelled(job.id)  # while it waited, before anybody began with it
            if not job.state.is_completed:

                def work(id: str = job.id) -> JobState:
                    return in_flow_run(id, chosen, catalog, Logged())

                own = str(flow_run.id)
                carry_out(job.id, chosen, catalog, work, run=own, interrupted=stopping.by_a_person)
            job = catalog.job(job.id)
            return Completed(message=f"{job.state}: {where(job)}")
    except Cancelled as error:
        return CancelledState(message=redacted(str(error)))
    except SpeechmillError as error:
        return Failed(message=redacted(str(error)))
    except OSError as error:
        return Failed(message=redacted(str(from_os_error(error))))
    finally:
        catalog.close()


@dataclass(frozen=True, slots=True)
class Deployed:
    """A flow as it is deployed. Its deployment has the flow's own name: ``dub/dub``."""

    flow: Flow[..., Any]
    description: str  # Markdown, shown above the form
    tags: tuple[str, ...]
    most_runs: int  # at a time, of this deployment, on all machines together
    looks_after: bool = False  # other runs: it waits for them, so it must not take the place that they need
    skips: bool = False  # what comes while so many run is not needed any more

    @property
    def name(self) -> str:
        return self.flow.name

    @property
    def entrypoint(self) -> str:
        return f"{self.flow.fn.__module__}.{self.flow.fn.__name__}"


DEPLOYMENTS = (
    Deployed(
        dub,
        "Dubs one film, clip or recording. The run shows its progress, the lines that need a person, and a link to the "
        "report; its name is the job's id, for `speechmill job`, `lines`, `edit` and the deployment `retake`.",
        ("film",),
        most_runs=8,
    ),
    Deployed(
        podcast,
        "Makes an episode with chapters, transcript, cover and feed from a document, an address or a `script.json`.",
        ("episode",),
        most_runs=8,
    ),
    Deployed(
        digest,
        "Makes one episode of the documents in a folder that no digest of it has had yet, each a chapter; where "
        "nothing is new, none. Give it a schedule to have one every day.",
        ("episode",),
        most_runs=1,
    ),
    Deployed(
        retake,
        "Renders again what `speechmill edit` has changed, or the named lines; goes on with a job that was stopped. "
        "What is unchanged is not made anew.",
        ("correction",),
        most_runs=8,
    ),
    Deployed(
        ingest,
        "Looks once what was dropped into a folder or a bucket: what is whole and understood gets a job, the rest goes "
        "to `quarantine/` with its reason, and what is finished to `done/`. It ends when all jobs are handed on. "
        "`speechmill ingest` and `speechmill up` do the same all the time; this is for schedules, and for places that "
        "nobody watches.",
        ("drop",),
        most_runs=2,
        looks_after=True,
        skips=True,
    ),
    Deployed(
        batch,
        "Makes one job of every row of a manifest, so many at a time, and ends when all of them have: with a report of "
        "what is done, what a person should look at, what failed and why, also in `batch.json` and `batch.md`. Give it "
        "a schedule to have it run every night.",
        ("batch",),
        most_runs=4,
        looks_after=True,
    ),
)
