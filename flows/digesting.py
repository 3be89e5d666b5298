"""Digests: what is new in a folder of documents becomes an episode; where nothing is new, none.

What was heard is known by the jobs themselves: their requests name the documents, and those that were delivered are
heard. So a digest that failed, or was stopped, loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from flows.deliveries import try_place
from flows.outcomes import Outcome
from flows.progress import StreamProgress
from flows.start import absolute, job_for, run_job, whole
from model_worker.engines.registry import engine_at_work
from speechmill.abilities import Ability
from speechmill.episodes import Collected, PodcastRequest
from speechmill.languages import usual_characters_per_s
from speechmill.recipes import Digest
from speechmill.roots import Roots
from speechmill.settings import Settings, settings
from storage.catalog import Catalog, Job, JobState
from tasks.digests import choose, look, spoken_language
from tasks.episode.shows import read_show
from tasks.stages import Progress
from tasks.text.saying.numerals import long_date
from tasks.workplace import open_catalog


@dataclass(frozen=True, slots=True)
class Digesting:
    """What is asked of a digest. The request's source is the folder; which documents it has is found out."""

    request: PodcastRequest
    minutes: float
    out: str  # folder, of this machine or s3://…, in which each episode gets one of its own
    within: Roots | None = None  # what the documents, and the files that are read beside them, may lie under


def start_digest(request: PodcastRequest, minutes: float, out: str, *, prefect: bool) -> Outcome | None:
    """Make the next digest, or go on with the one that was begun; ``None`` where nothing is new."""
    chosen, progress = settings(), StreamProgress()
    asked = Digesting(absolute(request), minutes, whole(out))
    try_place(f"{asked.out}/digest", chosen)
    catalog = open_catalog(chosen)
    try:
        job = next_job(asked, chosen, catalog, progress)
        return None if job is None else run_job(job.id, chosen, catalog, progress, prefect=prefect)
    finally:
        catalog.close()


def next_job(asked: Digesting, chosen: Settings, catalog: Catalog, progress: Progress) -> Job | None:
    """The digest of this folder and show that was begun and not ended, or a new one of what is new; ``None`` where
    nothing is. Says what is left out, and why."""
    request, folder = asked.request, Path(asked.request.source)
    show = read_show(Path(request.show), asked.within) if request.show else None
    heard: set[Digest] = set()
    for job in catalog.jobs_of("podcast", request.source):
        earlier = PodcastRequest.model_validate(job.request)
        if earlier.collected is None or earlier.show != request.show:
            continue
        if catalog.deliveries(job.id):
            heard |= {Digest(sha256) for sha256 in earlier.collected.documents.values()}
        elif job.state in (JobState.QUEUED, JobState.RUNNING):
            progress.say(f"going on with job {job.id}")
            return job
    found, unreadable = look(folder, heard, chosen, request.language, asked.within)
    for each in unreadable:
        progress.say(f"{each.name} cannot be read aloud: {each.why}")
    language = spoken_language(found, heard, show.language if show and "language" in show.model_fields_set else "")
    if not language:
        return None
    plan = choose(found, heard, asked.minutes, _characters_per_s(request, language, chosen), language)
    for each in plan.waiting:
        progress.say(f"{each.name} waits for the next digest: {each.why}")
    collected = Collected(
        title=_title(show.title if show else folder.name, _today(), language),
        documents={each.name: each.sha256 for each in plan.chosen},
        order=tuple(each.name for each in plan.chosen),
    )
    complete = request.model_copy(update={"collected": collected})
    return job_for("podcast", complete, chosen, catalog, asked.out, progress, asked.within)


def _characters_per_s(request: PodcastRequest, language: str, chosen: Settings) -> float:
    speaks = engine_at_work(request.engines.get(Ability.SPEAK, chosen.engine), chosen).speaks
    return (speaks.characters_per_s if speaks else usual_characters_per_s)(language)


def _today() -> date:
    return datetime.now(UTC).astimezone().date()


def _title(name: str, day: date, language: str) -> str:
    return f"{name[:250]}, {long_date(day, language)}"
