"""The dubbing flow: one film into every language asked for. It reads like its own table of contents."""

from __future__ import annotations

from pathlib import Path

from flows import deliveries, gates
from flows.steps import Step, plainly
from model_worker.engines.registry import Choice, Needs, choose
from speechmill.profiles import profile
from speechmill.requests import DubbingRequest
from speechmill.roots import Roots
from speechmill.settings import Settings
from storage.catalog import Catalog, JobState
from tasks import casting, delivering, dubs, foresight, originals, sources
from tasks.stages import Progress
from tasks.workplace import Workplace, workplace


def foresee(request: DubbingRequest, chosen: Settings, within: Roots | None = None) -> Choice:
    """The engine for each ability; refuses, before any work, what is named and not there, does not lie under the roots
    ``within``, or cannot be done."""
    profile(request.profile)
    foresight.look_at_film(request, chosen, within)
    return choose(Needs.of_dubbing(request), chosen, request.engines)


def run_dubbing(job_id: str, chosen: Settings, catalog: Catalog, progress: Progress, step: Step = plainly) -> JobState:
    """Run a job of the catalog to its delivery; the state that this amounts to."""
    job = catalog.job(job_id)
    request, out = DubbingRequest.model_validate(job.request), Path(job.out)
    place = workplace(chosen, catalog, job_id, progress)
    place.refuse_out(request.out)
    deliveries.refuse_taken(job, request, chosen)
    with sources.at_hand(request, place) as given:
        state = dub(place, given, out, step)
    deliveries.publish(step, job, request, chosen)
    place.store.settle()
    return state


def dub(place: Workplace, request: DubbingRequest, out: Path, step: Step) -> JobState:
    """Dub one film into every language asked for; everything before the translation is shared."""
    crew = foresee(request, place.settings, place.within)
    original = step("original", originals.take_in, place, request)
    script = step("script", originals.script, place, request, original, crew)
    script = gates.transcript(step, place, request, script)
    may_be_published = gates.final(step, place, request.approve, request.targets)
    while True:
        dubbed = []
        for language in request.targets:
            version = step(f"translate {language}", dubs.translated, place, request, script, language, crew)
            version = gates.translation(step, place, request, script, version)
            cast = casting.cast(place, script.speakers, language, crew)
            takes = step(f"speak {language}", dubs.spoken, place, request, original, version, cast, crew)
            made = step(f"master {language}", dubs.mastered, place, request, original, script, version, takes)
            dubbed.append(made)
        state = step(
            "deliver", delivering.deliver, place, request, original, script, dubbed, crew, out, may_be_published
        )
        if state is not None:
            return state  # else lines were edited while it waited for approval: once more, for what they change
