"""Starting and resuming jobs: from a request to an outcome, with Prefect or without."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from flows.deliveries import placed, refuse_taken, replaced, try_place
from flows.kinds import runner
from flows.outcomes import Outcome
from flows.progress import StreamProgress
from flows.running import by_a_person, carry_out
from speechmill.episodes import SIMPLE, PodcastRequest
from speechmill.errors import Conflict, Unaskable
from speechmill.profiles import is_file, profile
from speechmill.recipes import Json, digest_of_json
from speechmill.requests import DubbingRequest
from speechmill.roots import Roots, path_of
from speechmill.settings import Settings, settings
from storage.catalog import PUBLISHED_TO, WITHIN, Catalog, Job, JobState, new_job_id
from tasks.stages import Progress
from tasks.workplace import open_catalog

Request = TypeVar("Request", DubbingRequest, PodcastRequest)


def start_dubbing(request: DubbingRequest, *, prefect: bool) -> Outcome:
    """Dub what is asked, or go on with the same request where it was left. Refuses before any work what cannot be
    done; raises what stopped the job."""
    request = absolute(request)
    foresee(request, settings())
    return _start("dub", request, prefect=prefect)


def start_podcast(request: PodcastRequest, *, prefect: bool) -> Outcome:
    """Make the episode that is asked for, or go on with the same request where it was left. Refuses before any work
    what cannot be read."""
    request = absolute(request)
    foresee(request, settings())
    return _made_already(request, settings()) or _start("podcast", request, prefect=prefect)


def foresee(request: DubbingRequest | PodcastRequest, chosen: Settings) -> None:
    """Refuse, before any work, what is named and not there or cannot be done."""
    if isinstance(request, DubbingRequest):
        from flows import dubbing

        dubbing.foresee(request, chosen)
        return
    from tasks.foresight import look_at_document

    profile(request.profile)
    look_at_document(request, chosen)


def _made_already(request: PodcastRequest, chosen: Settings) -> Outcome | None:
    """What became of the same request before, where its show has that episode. Raises ``Conflict`` where the show has
    another episode of the same source."""
    from tasks import manuscripts
    from tasks.episode.membership import has_already

    made = manuscripts.made_already(request, chosen)
    if made is None:
        return None
    with closing(open_catalog(chosen)) as catalog:
        same = _fingerprint("podcast", request.model_dump(mode="json"), {})
        job = next((job for job in catalog.jobs_of("podcast", request.source) if job.id == made.job), None)
        if job is None or job.fingerprint != same:
            raise has_already(made)
    StreamProgress().say(f"the show has this as its episode {made.entry.number}; --again makes another")
    return Outcome.of(job)


def _start(kind: str, request: DubbingRequest | PodcastRequest, *, prefect: bool) -> Outcome:
    chosen = settings()
    refuse_unaskable(request.approve, chosen, prefect=prefect)
    out = str(Path("out").absolute())
    try_place(request.out or f"{out}/{kind}", chosen, request)
    catalog = open_catalog(chosen)
    try:
        progress = StreamProgress()
        job = job_for(kind, request, chosen, catalog, out, progress)
        return run_job(job.id, chosen, catalog, progress, prefect=prefect)
    finally:
        catalog.close()


def job_for(
    kind: str,
    request: DubbingRequest | PodcastRequest,
    chosen: Settings,
    catalog: Catalog,
    out: str,
    progress: Progress,
    within: Roots | None = None,
) -> Job:
    """The unfinished job that asked for the same, or one that a person has changed lines of; else a new one whose
    results go to a folder in ``out``, unless the request names their folder itself. ``within`` is what files that it
    reads may name. Raises ``Conflict`` where what a person made of another request would be written over."""
    asked = request.model_dump(mode="json")
    facts: dict[str, Json] = {} if within is None else {WITHIN: list(within)}
    fingerprint = _fingerprint(kind, asked, facts)
    job = catalog.unfinished_job(fingerprint) or _changed_by_a_person(request, fingerprint, chosen, catalog)
    if job is not None:
        progress.say(f"going on with job {job.id}")
        return job
    job_id = new_job_id()
    folder, elsewhere = placed(request.out or f"{out}/{job_id}", job_id, chosen)
    if elsewhere is not None:
        facts[PUBLISHED_TO] = elsewhere
    return catalog.add_job(kind, asked, fingerprint, folder, job_id=job_id, facts=facts)


def _changed_by_a_person(
    request: DubbingRequest | PodcastRequest, fingerprint: str, chosen: Settings, catalog: Catalog
) -> Job | None:
    """The job that asked for the same, whose delivery with a person's lines a new job would take the place of."""
    earlier = replaced(request.out, request, chosen) if request.out else ()
    for job_id, lines in ((each, catalog.edited_lines(each)) for each in earlier):
        if lines and catalog.job(job_id).fingerprint == fingerprint:
            return catalog.move_job(job_id, JobState.QUEUED, reason="it was asked for again")
        if lines:
            raise Conflict(
                f"{request.out} has what a person made of {lines} {'line' if lines == 1 else 'lines'} of job {job_id}",
                hint=f"name another folder with --out; `speechmill retake {job_id}` makes that delivery again",
            )
    return None


def _fingerprint(kind: str, asked: dict[str, Any], facts: dict[str, Json]) -> str:
    return digest_of_json([kind, asked, *([facts] if facts else [])])


def asked_for(job: Job) -> DubbingRequest | PodcastRequest:
    """What a job of the catalog was asked for."""
    kind: type[DubbingRequest] | type[PodcastRequest] = PodcastRequest if job.kind == "podcast" else DubbingRequest
    return kind.model_validate(job.request)


def refuse_unaskable(approve: Sequence[str], chosen: Settings, *, prefect: bool) -> None:
    """Refuse a request that a person is to approve where no server is that a person could be asked by."""
    if not approve:
        return
    if not prefect:
        raise Unaskable("--approve asks by way of Prefect, which --no-prefect leaves out", hint="leave one of them out")
    from flows.prefect_runs import lasting_server

    if lasting_server(chosen) is None:
        raise Unaskable(
            "--approve needs a Prefect server that stays, to ask and to answer by",
            hint="start `speechmill up` beside this, or set PREFECT_API_URL",
        )


def start_retake(job_id: str, line_ids: Sequence[str], *, prefect: bool) -> Outcome:
    """Render again what is stale, or the named lines, and everything that follows from them."""
    chosen, progress = settings(), StreamProgress()
    catalog = open_catalog(chosen)
    try:
        job = catalog.job(job_id)
        if job.state.is_completed and not line_ids:
            progress.say("no line was changed since it was delivered; name those that are to be spoken anew")
            return Outcome.of(job)
        request = asked_for(job)
        foresee(request, chosen)
        refuse_taken(job, request, chosen)
        if line_ids:
            targets = job.request.get("targets", [])
            catalog.ask_retake(job.id, line_ids, targets[0] if len(targets) == 1 else None)
        refuse_unaskable(job.request.get("approve", ()), chosen, prefect=prefect)
        return run_job(job.id, chosen, catalog, progress, prefect=prefect)
    finally:
        catalog.close()


PATHS = ("source", "script", "glossary", "bed", "out", "cast", "show", "lexicon", "intro", "outro")


def absolute(request: Request) -> Request:
    """The request with its paths made absolute, so that it means the same wherever it is resumed."""
    named = {name: getattr(request, name) for name in PATHS if hasattr(request, name)}
    update: dict[str, Any] = {name: None if path is None else whole(path) for name, path in named.items()}
    if is_file(request.profile):
        update["profile"] = whole(request.profile)
    if isinstance(request, PodcastRequest):
        update |= {name: SIMPLE for name in ("intro", "bed", "outro") if getattr(request, name) == SIMPLE}
    if isinstance(request, DubbingRequest):
        update["translations"] = {tag: whole(file) for tag, file in request.translations.items()}
    return request.model_copy(update=update)


def whole(path: str) -> str:
    """A path made absolute, and the same by whatever way it is come to; an address as it is."""
    if "://" in path:
        return path
    there = path_of(path).absolute()
    return str(there.parent.resolve() / there.name if ".." in there.parts[:-1] else there)


def run_job(
    job_id: str,
    chosen: Settings,
    catalog: Catalog,
    progress: Progress,
    *,
    prefect: bool,
    interrupted: Callable[[], bool] = by_a_person,
) -> Outcome:
    """Run a job to its end, in this process, as a run of Prefect's or without it."""

    def work() -> JobState:
        if not prefect:
            return runner(catalog.job(job_id))(job_id, chosen, catalog, progress)
        from flows.prefect_runs import prepare, run_with_prefect

        prepare(chosen)
        at = os.environ.get("PREFECT_API_URL")
        progress.say(f"reporting to {at}" if at else "starting Prefect's server for this run")
        return run_with_prefect(job_id, chosen, catalog, progress)

    return carry_out(job_id, chosen, catalog, work, interrupted=interrupted)
