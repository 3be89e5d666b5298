"""Which engines there are, and which one serves each ability of a job.

An engine is a factory behind an entry point of the group ``speechmill.engines``. What a chosen engine cannot do in a
language is refused here, before any work, and the refusal names the engines that can.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from model_worker.messages import QUEUE_OF_ENGINE
from speechmill.abilities import Ability, Engine
from speechmill.errors import SpeechmillError, Unavailable, UnknownName, UnsupportedLanguage
from speechmill.languages import base, matches, name
from speechmill.requests import DubbingRequest
from speechmill.settings import Settings

GROUP = "speechmill.engines"
MOST_NAMED = 12  # languages in one hint
GIVEN = {
    Ability.TRANSCRIBE: "or give the words with --script FILE",
    Ability.TRANSLATE: "or give the text with --translation LANG=FILE",
}
"""What a user can do without any engine."""

_made: dict[tuple[str, str], Engine] = {}
_making = threading.Lock()


@dataclass(frozen=True, slots=True)
class Needs:
    """The languages that a job needs each ability in."""

    transcribe: frozenset[str] = frozenset()
    translate: frozenset[tuple[str, str]] = frozenset()  # (from, to)
    speak: frozenset[str] = frozenset()

    @classmethod
    def of_dubbing(cls, request: DubbingRequest) -> Needs:
        """What is given (a script, a translation) is not asked of an engine."""
        return cls(
            transcribe=frozenset() if request.script else frozenset({request.language}),
            translate=frozenset(
                (request.language, target) for target in request.targets if target not in request.translations
            ),
            speak=frozenset(request.targets),
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine for each ability; ``None`` where the job does not need the ability."""

    transcribes: Engine | None
    translates: Engine | None
    speaks: Engine | None


@cache
def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def engines() -> tuple[str, ...]:
    """The names of the engines that are installed. None of them is loaded."""
    return tuple(sorted(_entry_points()))


def engine(name: str, settings: Settings) -> Engine:
    """The engine of that name: one object for all threads of a process, since it may hold models and processes.

    Raises ``UnknownName`` naming those there are.
    """
    point = _entry_points().get(name)
    if point is None:
        raise UnknownName(f"there is no engine “{name}”", hint=f"choose one of {', '.join(engines())}")
    key = (name, settings.model_dump_json())
    with _making:
        if key not in _made:
            factory: Callable[[Settings], Engine] = point.load()
            _made[key] = factory(settings)
        return _made[key]


def engine_at_work(name: str, settings: Settings) -> Engine:
    """The engine as whoever works with it has it: this process; or, where its work goes to a queue for machines of
    their own, workers, as the last of them has told the catalog. Raises ``Unavailable`` where none has."""
    own = engine(name, settings)
    if not settings.broker_url or name not in QUEUE_OF_ENGINE:
        return own
    from model_worker.announcing import as_announced

    return as_announced(own, settings)


def choose(needs: Needs, settings: Settings, names: Mapping[Ability, str]) -> Choice:
    """The engine for each ability that is needed: the one ``names`` asks for, else the settings' own.

    Raises ``UnsupportedLanguage`` for the first language or pair that the chosen engine does not have.
    """

    def chosen(ability: Ability) -> Engine:
        return engine_at_work(names.get(ability, settings.engine), settings)

    choice = Choice(
        transcribes=chosen(Ability.TRANSCRIBE) if needs.transcribe else None,
        translates=chosen(Ability.TRANSLATE) if needs.translate else None,
        speaks=chosen(Ability.SPEAK) if needs.speak else None,
    )
    for language in sorted(needs.transcribe):
        _require(choice.transcribes, Ability.TRANSCRIBE, (language,), settings)
    for pair in sorted(needs.translate):
        _require(choice.translates, Ability.TRANSLATE, pair, settings)
    for language in sorted(needs.speak):
        _require(choice.speaks, Ability.SPEAK, (language,), settings)
    return choice


def can(engine: Engine, ability: Ability, tags: tuple[str, ...]) -> bool:
    """Whether an engine has an ability in a language, or for a pair of languages."""
    offers = offered(engine, ability)
    bases = tuple(base(tag) for tag in tags)
    return tags in offers or any(
        all(map(matches, tags, offer)) for offer in offers if tuple(offer_base(tag) for tag in offer) == bases
    )


def offer_base(tag: str) -> str:
    return tag.partition("-")[0]  # canonical tags: much cheaper than parsing thousands of pairs


def offered(engine: Engine, ability: Ability) -> frozenset[tuple[str, ...]]:
    """The languages, as tuples of one, or the pairs, that an engine has an ability in."""
    if ability is Ability.TRANSLATE:
        return frozenset(engine.translates.pairs) if engine.translates else frozenset()
    able = {
        Ability.TRANSCRIBE: engine.transcribes,
        Ability.SPEAK: engine.speaks,
        Ability.WRITE: engine.writes,
    }[ability]
    return frozenset((tag,) for tag in able.languages) if able else frozenset()


def judge_of(speaks: Engine, settings: Settings, language: str) -> Engine | None:
    """The engine whose ear is good enough to judge the takes of ``speaks`` in a language, if there is one.

    The speaking engine's own ear comes first, then the settings' engine.
    """
    for candidate_name in dict.fromkeys((speaks.name, settings.engine)):
        candidate = engine_at_work(candidate_name, settings)
        ear = candidate.transcribes
        if ear and {speaks.name, "*"} & ear.judges and can(candidate, Ability.TRANSCRIBE, (language,)):
            return candidate
    return None


def other_version(name: str) -> Unavailable:
    """What a worker says of an order that was made for another version of an engine than it has."""
    return Unavailable(
        f"this worker's engine {name} is not of the version that the work was ordered for",
        hint="bring the workers and the flows to one version",
    )


def _require(chosen: Engine | None, ability: Ability, tags: tuple[str, ...], settings: Settings) -> None:
    if chosen is None or can(chosen, ability, tags):
        return
    what = " to ".join(f"{name(tag)} ({tag})" for tag in tags)
    can_instead = [other for other in engines() if other != chosen.name and _can(other, ability, tags, settings)]
    own = offered(chosen, ability)
    hints = []
    if can_instead:
        hints.append("use " + " or ".join(f"--engine {ability}={_told(other)}" for other in can_instead))
    if ability in GIVEN:
        hints.append(GIVEN[ability])
    if own:
        hints.append(f"{chosen.name} can {ability} {_listed(own)}")
    else:
        hints.append(f"{chosen.name} does not {ability} at all")
    verb = "translate from" if ability is Ability.TRANSLATE else str(ability)
    raise UnsupportedLanguage(f"the engine {chosen.name} cannot {verb} {what}", hint="; ".join(hints))


def _can(name: str, ability: Ability, tags: tuple[str, ...], settings: Settings) -> bool:
    try:
        return can(engine_at_work(name, settings), ability, tags)
    except (SpeechmillError, ImportError):  # an engine that is not fully installed is no help to anybody
        return False


def _told(engine_name: str) -> str:
    return f"{engine_name} (a dry run)" if engine_name == "rehearsal" else engine_name


def _listed(offers: frozenset[tuple[str, ...]]) -> str:
    spelled = sorted("→".join(offer) for offer in offers)
    more = len(spelled) - MOST_NAMED
    return ", ".join(spelled[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
