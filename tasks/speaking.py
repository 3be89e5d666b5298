"""Speaking: every line becomes a take that was measured and judged, within a budget of tries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from model_worker.engines.registry import engine, other_version
from speechmill.abilities import Ability, Engine, Imitates, Speaks, Transcribes, Utterance
from speechmill.errors import EngineRefused
from speechmill.lines import RATE_HZ, Anchor, Line
from speechmill.profiles import Profile
from speechmill.recipes import Json, Recipe
from speechmill.settings import Settings
from speechmill.takes import Reason, Take, Verdict
from speechmill.voices import Cast, Voice
from storage.artifacts import ArtifactStore
from storage.catalog import Order, OrderKey
from tasks import timing
from tasks.speech.judging import judge, measure, read_take
from tasks.transcribing import hear_take
from tasks.workplace import Workplace

MOST_TAKES = 3  # a line that is still not right is for a person
HURRY_AGAIN = 1.20  # a take that would be stretched more than this is spoken again, faster
WORTH_HEARING_AGAIN = frozenset(
    {Reason.NOT_UNDERSTOOD, Reason.REPEATED, Reason.LONG_PAUSE, Reason.SILENT, Reason.TOO_LONG, Reason.TOO_SHORT}
)


@dataclass(frozen=True, slots=True)
class Assignment:
    """One take to make: of which line, its voice, how it is to be said, and the recipe that this amounts to."""

    line_id: str
    voice: Voice
    utterance: Utterance
    number: int
    recipe: Recipe


def assign(line_id: str, voice: Voice, utterance: Utterance, number: int, speaks: Speaks) -> Assignment:
    imitating = {"imitation": speaks.imitation_version} if voice.reference and isinstance(speaks, Imitates) else {}
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
        **imitating,
    )
    return Assignment(line_id, voice, utterance, number, recipe)


def spoken_lines(lines: Sequence[Line]) -> list[Line]:
    """The lines that a voice is needed for, by time."""
    said = [line for line in lines if line.anchor and line.said.strip() and line.is_spoken]
    return sorted(said, key=lambda line: (_anchor(line).start_samples, _anchor(line).end_samples, line.id))


def first_takes(
    lines: Sequence[Line], cast: Cast, seeds: Mapping[str, int], speaks: Speaks, profile: Profile, length_samples: int
) -> list[Assignment]:
    """The first take of every line, its pace planned from the text: a voice that is expected not to fit hurries."""
    ordered = spoken_lines(lines)
    left = [line.anchor for line in lines if line.anchor and line.is_left]
    rooms = timing.rooms([_anchor(line) for line in ordered], length_samples, profile.timing, left)
    assignments = []
    for line, (room, early) in zip(ordered, rooms, strict=True):
        expected = round(len(line.said) / speaks.characters_per_s(line.language) * RATE_HZ)
        utterance = Utterance(
            text=line.said,
            language=line.language,
            style=line.style,
            pace=timing.pace_for(expected, room + early, profile.stretch),
            seed=seeds.get(line.id, 0),
        )
        assignments.append(assign(line.id, cast[line.speaker], utterance, 1, speaks))
    return assignments


def next_take(done: Assignment, take: Take, room_samples: int, speaks: Speaks, profile: Profile) -> Assignment | None:
    """The take to try after this one, or ``None`` where another would not be better."""
    utterance = done.utterance
    if take.measured is not None and take.measured.speech_samples > room_samples * HURRY_AGAIN:
        wanted = utterance.pace * take.measured.speech_samples / room_samples
        pace = min(round(wanted, 2), profile.stretch.most)
        if pace > utterance.pace:
            return assign(done.line_id, done.voice, replace(utterance, pace=pace), done.number + 1, speaks)
    return another_seed(done, take, speaks)


def another_seed(done: Assignment, take: Take, speaks: Speaks) -> Assignment | None:
    """The same line said otherwise, where the engine can and the take was not good."""
    again = take.verdict is Verdict.FAILED or WORTH_HEARING_AGAIN & set(take.reasons)
    if not again or not speaks.varies:
        return None
    return assign(
        done.line_id, done.voice, replace(done.utterance, seed=done.utterance.seed + 1), done.number + 1, speaks
    )


def speak_all(
    place: Workplace,
    lines: Sequence[Line],
    cast: Cast,
    chosen: Engine,
    judge: Engine | None,
    profile: Profile,
    length_samples: int,
    language: str,
) -> dict[str, list[Take]]:
    """Takes by line id, best first, of lines that have a room to fit into."""
    speaks = speaks_of(chosen)
    ordered = spoken_lines(lines)
    spans = timing.rooms([_anchor(line) for line in ordered], length_samples, profile.timing)
    rooms = {line.id: room + early for line, (room, early) in zip(ordered, spans, strict=True)}
    first = first_takes(lines, cast, place.catalog.seeds(place.job, language), speaks, profile, length_samples)

    def following(done: Assignment, take: Take) -> Assignment | None:
        return next_take(done, take, rooms[take.line_id], speaks, profile)

    takes = speak_takes(place, language, first, following, chosen, judge)
    return {line_id: sorted(tried, key=lambda t: rank(t, rooms[line_id])) for line_id, tried in takes.items()}


def speak_takes(
    place: Workplace,
    language: str,
    first: Sequence[Assignment],
    following: Callable[[Assignment, Take], Assignment | None],
    chosen: Engine,
    judge: Engine | None,
) -> dict[str, list[Take]]:
    """All takes by line id, in the order they were made: the first of every line, and those that ``following`` asks
    for, up to ``MOST_TAKES``. One bad line never stops the others."""
    takes: dict[str, list[Take]] = {assignment.line_id: [] for assignment in first}
    waiting = list(first)
    speaking = Speaking(place, language, chosen, judge)
    varies = speaks_of(chosen).varies
    with place.stages(f"speak {language}", len(waiting)) as advance:
        for number in range(1, MOST_TAKES + 1):
            if not waiting:
                break
            done = advance if number == 1 else lambda _: None
            made = place.dispatch(speaking, waiting, done=done, check=place.stop_if_cancelled)
            for assignment, take in zip(waiting, made, strict=True):
                takes[take.line_id].append(replace(take, seed=assignment.utterance.seed if varies else None))
            wanted = [following(assignment, take) for assignment, take in zip(waiting, made, strict=True)]
            waiting = [assignment for assignment in wanted if assignment]
    return takes


@dataclass(frozen=True, slots=True)
class Speaking:
    """Speaking lines, as work for anybody."""

    place: Workplace
    language: str
    chosen: Engine
    judge: Engine | None  # whose ear judges the takes
    kind = Ability.SPEAK

    @property
    def able(self) -> Speaks:
        return speaks_of(self.chosen)

    def do(self, given: Assignment) -> Take:
        return speak_line(self.place.store, given, self.able, ear_of(self.judge))

    def keep(self, results: Sequence[Take]) -> None:
        self.place.catalog.put_takes(self.place.job, self.language, results)

    def recipe(self, given: Assignment) -> Recipe:
        return given.recipe

    def order(self, given: Assignment) -> Order:
        key = OrderKey(self.place.job, self.kind, given.line_id, given.number, given.recipe.digest)
        voice: dict[str, Json] = {
            "name": given.voice.name,
            "engine": given.voice.engine,
            "settings": given.voice.settings,
            "reference": given.voice.reference,
        }
        payload: dict[str, Json] = {
            "engine": self.chosen.name,
            "judge": self.judge.name if self.judge else None,
            "utterance": dict(asdict(given.utterance)),
            "voice": voice,
        }
        return Order(key, self.language, payload)

    def recall(self, given: Sequence[Assignment], given_up: Mapping[OrderKey, str]) -> list[Take]:
        """Takes that went wrong too often cannot be heard; an event of the job says how each went wrong."""
        made = {(take.line_id, take.number): take for take in self.place.catalog.takes(self.place.job, self.language)}
        lost = [_given_up(key) for key in given_up]
        self.keep(lost)
        for key, error in given_up.items():
            self.place.catalog.add_event(self.place.job, "given-up", line=key.item, take=key.number, error=error)
        made |= {(take.line_id, take.number): take for take in lost}
        return [made[assignment.line_id, assignment.number] for assignment in given]


def speak_ordered(settings: Settings, store: ArtifactStore, order: Order) -> Take:
    """Speak the line that an order names."""
    payload: dict[str, Any] = dict(order.payload)
    chosen = engine(payload["engine"], settings)
    judge = engine(payload["judge"], settings) if payload["judge"] else None
    voice, utterance = Voice(**payload["voice"]), Utterance(**payload["utterance"])
    speaks = speaks_of(chosen)
    assignment = assign(order.key.item, voice, utterance, order.key.number, speaks)
    if assignment.recipe.digest != order.key.recipe:
        raise other_version(chosen.name)
    return speak_line(store, assignment, speaks, ear_of(judge))


def speaks_of(chosen: Engine) -> Speaks:
    assert chosen.speaks is not None
    return chosen.speaks


def ear_of(judge: Engine | None) -> Transcribes | None:
    return judge.transcribes if judge else None


def speak_line(store: ArtifactStore, assignment: Assignment, speaks: Speaks, ear: Transcribes | None) -> Take:
    """Speak one line, or find it spoken; measure and judge it."""
    line_id, utterance, recipe = assignment.line_id, assignment.utterance, assignment.recipe
    voice = assignment.voice
    if voice.reference:
        voice = replace(voice, recording=store.path(voice.reference))
    try:
        artifact = store.get_or_make(recipe, lambda out: speaks.speak(utterance, voice, out), suffix=".wav")
    except EngineRefused as error:
        reasons = (Reason.ENGINE_REFUSED, *(r for r in (error.evidence.get("reason"),) if isinstance(r, Reason)))
        return Take(line_id, assignment.number, recipe.digest, None, None, Verdict.FAILED, reasons)
    audio = read_take(store.path(artifact.sha256))
    measured = measure(audio)
    heard = hear_take(store, artifact.sha256, ear, utterance.language) if ear else None
    judged = judge(measured, audio, utterance, heard)
    return Take(
        line_id, assignment.number, recipe.digest, artifact.sha256, judged.measured, judged.verdict, judged.reasons
    )


def _given_up(key: OrderKey) -> Take:
    return Take(key.item, key.number, key.recipe, None, None, Verdict.FAILED, (Reason.GIVEN_UP,))


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
