"""The podcast flow: a document, or a script, becomes a finished episode. It reads like its own table of contents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flows import deliveries, gates
from flows.steps import Step, plainly
from model_worker.engines.registry import Choice, Needs, choose
from speechmill.episodes import PodcastRequest
from speechmill.profiles import profile
from speechmill.settings import Settings
from storage.catalog import Catalog, JobState
from tasks import casting, manuscripts, recording, releasing, sources, studios
from tasks.stages import Progress
from tasks.workplace import Workplace, workplace


def run_podcast(job_id: str, chosen: Settings, catalog: Catalog, progress: Progress, step: Step = plainly) -> JobState:
    """Run a podcast job of the catalog to its delivery; the state that this amounts to."""
    job = catalog.job(job_id)
    request = PodcastRequest.model_validate(job.request)
    out = Path(job.out)
    place = workplace(chosen, catalog, job_id, progress)
    place.refuse_out(request.out)
    deliveries.refuse_taken(job, request, chosen)
    with sources.at_hand(request, place) as given:
        state = make_episode(place, given, out, step)
    deliveries.publish(step, job, request, chosen)
    place.store.settle()
    return state


def make_episode(place: Workplace, request: PodcastRequest, out: Path, step: Step) -> JobState:
    """Make one episode."""
    profile(request.profile)
    studio = step("studio", studios.take_in, place, request)
    manuscript = step("script", manuscripts.take_in, place, request)
    approved = gates.episode_script(step, place, request, manuscript.script, manuscript.lexicon)
    manuscript = replace(manuscript, script=approved)
    crew = foresee(request, manuscript.script.language, place.settings)
    cast = casting.cast(
        place,
        casting.speakers_of(manuscript.script),
        manuscript.script.language,
        crew,
        manuscript.script.speakers,
    )
    may_be_published = gates.final(step, place, request.approve, [manuscript.script.language])
    while True:
        recorded = step("record", recording.record, place, request, manuscript.script, cast, crew, studio)
        state = step(
            "release", releasing.release, place, request, manuscript, recorded, cast, crew, out, may_be_published
        )
        if state is not None:
            return state
        # Lines were edited while it waited for approval: once more, for what they change.
        manuscript = replace(manuscript, script=recording.as_kept(place, manuscript.script, manuscript.lexicon))


def foresee(request: PodcastRequest, language: str, chosen: Settings) -> Choice:
    """The engine that speaks; refuses a language that it does not have before anything is spoken."""
    return choose(Needs(speak=frozenset({language})), chosen, request.engines)
