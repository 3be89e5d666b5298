"""The podcast flow: a document, or a script, becomes a finished episode. It reads like its own table of contents."""

from __future__ import annotations

from pathlib import Path

from flows.steps import Step, plainly
from model_worker.engines.registry import Choice, Needs, choose
from speechmill.episodes import PodcastRequest
from speechmill.profiles import profile
from speechmill.settings import Settings
from storage.catalog import Catalog, JobState
from tasks import casting, manuscripts, recording, releasing
from tasks.stages import Progress
from tasks.workplace import Workplace, workplace


def run_podcast(job_id: str, chosen: Settings, catalog: Catalog, progress: Progress, step: Step = plainly) -> None:
    """Run a podcast job of the catalog to its delivery."""
    job = catalog.job(job_id)
    request = PodcastRequest.model_validate(job.request)
    place = workplace(chosen, catalog, job_id, progress)
    catalog.move_job(job_id, make_episode(place, request, Path(job.out), step))


def make_episode(place: Workplace, request: PodcastRequest, out: Path, step: Step) -> JobState:
    """Make one episode."""
    profile(request.profile)
    manuscript = step("script", manuscripts.take_in, place, request)
    crew = foresee(request, manuscript.script.language, place.settings)
    cast = casting.cast(place, casting.speakers_of(manuscript.script), manuscript.script.language, crew)
    recorded = step("record", recording.record, place, request, manuscript.script, cast, crew)
    return step("release", releasing.release, place, request, manuscript, recorded, cast, crew, out)


def foresee(request: PodcastRequest, language: str, chosen: Settings) -> Choice:
    """The engine that speaks; refuses a language that it does not have before anything is spoken."""
    return choose(Needs(speak=frozenset({language})), chosen, request.engines)
