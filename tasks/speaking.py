"""Speaking: every line becomes a take that was measured and judged, within a budget of tries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from speechmill.abilities import Speaks, Transcribes, Utterance
from speechmill.errors import EngineRefused
from speechmill.lines import RATE_HZ, Anchor, Line
from speechmill.profiles import Profile
from speechmill.recipes import Recipe
from speechmill.takes import Reason, Take, Verdict
from speechmill.voices import Cast, Voice
from storage.artifacts import ArtifactStore
from tasks import timing
from tasks.dispatch import in_process
from tasks.speech.judging import judge, measure, read_take
from tasks.text.scripts import is_spoken
from tasks.transcribing import hear_take
from tasks.workplace import Workplace

MOST_TAKES = 3  # a line that is still not right is for a person
HURRY_AGAIN = 1.20  # a take that would be stretched more than this is spoken again, faster
WORTH_HEARING_AGAIN = frozenset(
    {Reason.NOT_UNDERSTOOD, Reason.REPEATED, Reason.LONG_PAUSE, Reason.SILENT, Reason.TOO_LONG, Reason.TOO_SHORT}
)


@dataclass(frozen=True, slots=True)
class Assignment:
    """One take to make: a line, its voice, how it is to be said, and the recipe that this amounts to."""

    line: Line
    voice: Voice
    utterance: Utterance
    number: int
    recipe: Recipe


def assign(line: Line, voice: Voice, utterance: Utterance, number: int, speaks: Speaks) -> Assignment:
    recipe = Recipe(
        "speak",
        speaks.version,
        inputs=[voice.reference] if voice.reference else [],
        text=utterance.text,
        language=utterance.language,
        style=utterance.style,
        pace=utterance.pace,
        seed=utterance.seed,
        voice=voice.settings,
    )
    return Assignment(line, voice, utterance, number, recipe)


def spoken_lines(lines: Sequence[Line]) -> list[Line]:
    """The lines that a voice is needed for, by time."""
    said = [line for line in lines if line.anchor and line.said.strip() and is_spoken(line)]
    return sorted(said, key=lambda line: (_anchor(line).start_samples, _anchor(line).end_samples, line.id))


def first_takes(
    lines: Sequence[Line], cast: Cast, seeds: Mapping[str, int], speaks: Speaks, profile: Profile, length_samples: int
) -> list[Assignment]:
    """The first take of every line, its pace planned from the text: a voice that is expected not to fit hurries."""
    ordered = spoken_lines(lines)
    rooms = timing.rooms([_anchor(line) for line in ordered], length_samples, profile.timing)
    assignments = []
    for line, (room, early) in zip(ordered, rooms, strict=True):
        expected = round(len(line.said) / speaks.characters_per_s * RATE_HZ)
        utterance = Utterance(
            text=line.said,
            language=line.language,
            style=line.style,
            pace=timing.pace_for(expected, room + early, profile.stretch),
            seed=seeds.get(line.id, 0),
        )
        assignments.append(assign(line, cast[line.speaker], utterance, 1, speaks))
    return assignments


def next_take(done: Assignment, take: Take, room_samples: int, speaks: Speaks, profile: Profile) -> Assignment | None:
    """The take to try after this one, or ``None`` where another would not be better."""
    utterance = done.utterance
    if take.measured is not None and take.measured.speech_samples > room_samples * HURRY_AGAIN:
        wanted = utterance.pace * take.measured.speech_samples / room_samples
        pace = min(round(wanted, 2), profile.stretch.most)
        if pace > utterance.pace:
            return assign(done.line, done.voice, replace(utterance, pace=pace), done.number + 1, speaks)
    return another_seed(done, take, speaks)


def another_seed(done: Assignment, take: Take, speaks: Speaks) -> Assignment | None:
    """The same line said otherwise, where the engine can and the take was not good."""
    again = take.verdict is Verdict.FAILED or WORTH_HEARING_AGAIN & set(take.reasons)
    if not again or not speaks.varies:
        return None
    return assign(done.line, done.voice, replace(done.utterance, seed=done.utterance.seed + 1), done.number + 1, speaks)


def speak_all(
    place: Workplace,
    lines: Sequence[Line],
    cast: Cast,
    speaks: Speaks,
    ear: Transcribes | None,
    profile: Profile,
    length_samples: int,
    language: str,
) -> dict[str, list[Take]]:
    """Takes by line id, best first, of lines that have a room to fit into."""
    ordered = spoken_lines(lines)
    spans = timing.rooms([_anchor(line) for line in ordered], length_samples, profile.timing)
    rooms = {line.id: room + early for line, (room, early) in zip(ordered, spans, strict=True)}
    first = first_takes(lines, cast, place.catalog.seeds(place.job, language), speaks, profile, length_samples)

    def following(done: Assignment, take: Take) -> Assignment | None:
        return next_take(done, take, rooms[take.line_id], speaks, profile)

    takes = speak_takes(place, language, first, following, speaks, ear)
    return {line_id: sorted(tried, key=lambda t: rank(t, rooms[line_id])) for line_id, tried in takes.items()}


def speak_takes(
    place: Workplace,
    language: str,
    first: Sequence[Assignment],
    following: Callable[[Assignment, Take], Assignment | None],
    speaks: Speaks,
    ear: Transcribes | None,
) -> dict[str, list[Take]]:
    """All takes by line id, in the order they were made: the first of every line, and those that ``following`` asks
    for, up to ``MOST_TAKES``. One bad line never stops the others."""
    takes: dict[str, list[Take]] = {assignment.line.id: [] for assignment in first}
    waiting = list(first)
    with place.stages(f"speak {language}", len(waiting)) as advance:
        for number in range(1, MOST_TAKES + 1):
            if not waiting:
                break
            place.catalog.order_takes(place.job, language, [(a.line.id, a.number, a.recipe.digest) for a in waiting])
            made = in_process(
                lambda assignment: speak_line(place.store, assignment, speaks, ear),
                waiting,
                threads=place.settings.threads,
                done=advance if number == 1 else lambda _: None,
                check=place.stop_if_cancelled,
            )
            place.catalog.put_takes(place.job, language, made)
            for take in made:
                takes[take.line_id].append(take)
            wanted = [following(assignment, take) for assignment, take in zip(waiting, made, strict=True)]
            waiting = [assignment for assignment in wanted if assignment]
    return takes


def speak_line(store: ArtifactStore, assignment: Assignment, speaks: Speaks, ear: Transcribes | None) -> Take:
    """Speak one line, or find it spoken; measure and judge it."""
    line, utterance, recipe = assignment.line, assignment.utterance, assignment.recipe
    voice = assignment.voice
    if voice.reference:
        voice = replace(voice, recording=store.path(voice.reference))
    try:
        artifact = store.get_or_make(recipe, lambda out: speaks.speak(utterance, voice, out), suffix=".wav")
    except EngineRefused as error:
        reasons = (Reason.ENGINE_REFUSED, *(r for r in (error.evidence.get("reason"),) if isinstance(r, Reason)))
        return Take(line.id, assignment.number, recipe.digest, None, None, Verdict.FAILED, reasons)
    audio = read_take(store.path(artifact.sha256))
    measured = measure(audio)
    heard = hear_take(store, artifact.sha256, ear, utterance.language) if ear else None
    judged = judge(measured, audio, utterance, heard)
    return Take(
        line.id, assignment.number, recipe.digest, artifact.sha256, judged.measured, judged.verdict, judged.reasons
    )


def rank(take: Take, room_samples: int | None = None) -> tuple[int, int, float, int]:
    """Best first: heard at all, nothing a person should look at, closest to its room, earliest."""
    order = [Verdict.PASSED, Verdict.REVIEW, Verdict.FAILED]
    excess = 1.0
    if take.measured is not None and room_samples is not None:
        excess = max(1.0, take.measured.speech_samples / max(1, room_samples))
    heard = 0 if take.audio is not None and take.verdict is not Verdict.FAILED else 1
    return heard, order.index(take.verdict), excess, take.number


def _anchor(line: Line) -> Anchor:
    assert line.anchor is not None
    return line.anchor
