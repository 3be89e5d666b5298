"""Translation: lines of one language become lines of another, keyed by id so that nothing can slip by one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from model_worker.engines.registry import engine, other_version
from speechmill.abilities import Ability, Engine, Phrase, Translates, Translation
from speechmill.lines import Doubt, Line
from speechmill.recipes import Json, Recipe
from speechmill.settings import Settings
from storage.artifacts import ArtifactStore
from storage.catalog import Order, OrderKey
from tasks.text.glossaries import Glossary
from tasks.workplace import Workplace

TOGETHER = 16  # phrases that go to an engine at a time: starting one costs little beside them, and several work at once
TOGETHER_VERSION = "1"

Translations = Mapping[str, Translation]
"""By phrase id. A phrase that could not be translated is left out."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Phrases that go to an engine together, with the terms of the glossary that they have."""

    phrases: tuple[Phrase, ...]
    source: str
    target: str
    terms: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Translating:
    """Translating passages, as work for anybody."""

    place: Workplace
    language: str  # into which
    chosen: Engine
    kind = Ability.TRANSLATE

    @property
    def able(self) -> Translates:
        return translates_of(self.chosen)

    def do(self, given: Passage) -> Translations:
        return translate_passage(self.place.store, given, self.able)

    def keep(self, results: Sequence[Translations]) -> None:
        """They are artifacts."""

    def recipe(self, given: Passage) -> Recipe:
        return _together(given, self.able)

    def order(self, given: Passage) -> Order:
        item = f"{given.phrases[0].id}+{len(given.phrases)}"
        key = OrderKey(self.place.job, self.kind, item, 1, self.recipe(given).digest)
        passage: dict[str, Json] = {
            "phrases": [dict[str, Json](asdict(phrase)) for phrase in given.phrases],
            "source": given.source,
            "target": given.target,
            "terms": dict[str, Json](given.terms),
        }
        return Order(key, self.language, {"engine": self.chosen.name, "passage": passage})

    def recall(self, given: Sequence[Passage], given_up: Mapping[OrderKey, str]) -> list[Translations]:
        """What went wrong too often is not translated; an event of the job says how each went wrong."""
        for key, error in given_up.items():
            self.place.catalog.add_event(self.place.job, "given-up", passage=key.item, error=error)
        lost = {key.recipe for key in given_up}
        store = self.place.store.apart()  # workers have counted them
        return [
            {} if self.recipe(passage).digest in lost else translate_passage(store, passage, self.able)
            for passage in given
        ]


def translate_ordered(settings: Settings, store: ArtifactStore, order: Order) -> None:
    """Translate the passage that an order names, so that it is there to be found."""
    payload: dict[str, Any] = dict(order.payload)
    able = translates_of(engine(payload["engine"], settings))
    told = payload["passage"]
    phrases = tuple(Phrase(**phrase) for phrase in told["phrases"])
    passage = Passage(phrases, told["source"], told["target"], told["terms"])
    if _together(passage, able).digest != order.key.recipe:
        raise other_version(payload["engine"])
    translate_passage(store, passage, able)


def translates_of(chosen: Engine) -> Translates:
    assert chosen.translates is not None
    return chosen.translates


def translate(
    place: Workplace, lines: Sequence[Line], chosen: Engine, source: str, target: str, glossary: Glossary
) -> list[Line]:
    """Every line in the target language. A line that comes back empty keeps its text, says so, and is not spoken."""
    phrases = [
        Phrase(line.id, line.text, line.anchor.length_samples if line.anchor else None)
        for line in lines
        if line.is_spoken
    ]
    terms = glossary.targets()
    passages = [
        Passage(tuple(some), source, target, _wanted(terms, *some))
        for some in (phrases[start : start + TOGETHER] for start in range(0, len(phrases), TOGETHER))
    ]
    with place.stages(f"translate {target}", len(passages)) as advance:
        translating = Translating(place, target, chosen)
        found = place.dispatch(translating, passages, done=advance, check=place.stop_if_cancelled)
    made = {id: translation for translations in found for id, translation in translations.items()}
    return [_line(line, made.get(line.id), target, glossary) for line in lines]


def translate_passage(store: ArtifactStore, passage: Passage, able: Translates) -> Translations:
    """A passage in the other language: phrases that were met before are found, the others asked for in one call."""
    phrases = passage.phrases

    def make(out: Path) -> None:
        recipes = {phrase.id: _alone(phrase, passage, able) for phrase in phrases}
        unknown = [phrase for phrase in phrases if store.find(recipes[phrase.id]) is None]
        fresh: Translations = {}
        if unknown:
            fresh = able.translate(unknown, passage.source, passage.target, passage.terms)
        strange = {phrase.id for phrase in unknown} - fresh.keys()
        kept = [None if p.id in strange else _kept(store, recipes[p.id], fresh.get(p.id)) for p in phrases]
        out.write_text(json.dumps(kept, ensure_ascii=False), "utf-8")

    made = store.get_or_make(_together(passage, able), make, ".json")
    found = json.loads(store.path(made.sha256).read_text("utf-8"))
    return {phrase.id: _read(one) for phrase, one in zip(phrases, found, strict=True) if one is not None}


def _together(passage: Passage, able: Translates) -> Recipe:
    alone = [_alone(phrase, passage, able).digest for phrase in passage.phrases]
    return Recipe("translate together", TOGETHER_VERSION, inputs=alone)


def _alone(phrase: Phrase, passage: Passage, able: Translates) -> Recipe:
    # Only terms that the phrase has: a new term leaves all others as they were.
    terms: dict[str, Json] = dict(_wanted(passage.terms, phrase))
    return Recipe(
        "translate", able.version, text=phrase.text, source=passage.source, target=passage.target, terms=terms
    )


def _wanted(terms: Mapping[str, str], *phrases: Phrase) -> dict[str, str]:
    text = "\n".join(phrase.text.casefold() for phrase in phrases)
    return {term: to for term, to in terms.items() if term.casefold() in text}


def _kept(store: ArtifactStore, recipe: Recipe, fresh: Translation | None) -> Json:
    """A translation as it is kept, alone and in its passage."""

    def make(out: Path) -> None:
        assert fresh is not None
        kept = {"text": fresh.text, "shorter": fresh.shorter, "doubts": fresh.doubts}
        out.write_text(json.dumps(kept, ensure_ascii=False), "utf-8")

    found: Json = json.loads(store.path(store.get_or_make(recipe, make).sha256).read_text("utf-8"))
    return found


def _read(kept: Any) -> Translation:
    return Translation(kept["text"], tuple(kept["shorter"]), tuple(Doubt(doubt) for doubt in kept["doubts"]))


def _line(line: Line, translation: Translation | None, target: str, glossary: Glossary) -> Line:
    if not line.is_spoken:
        return replace(line, language=target, words=())
    if translation is None or not translation.text.strip():
        return replace(line, language=target, words=(), doubts=(*line.doubts, Doubt.UNTRANSLATED))
    return in_other_words(line, translation.text, target, glossary, doubts=translation.doubts)


def in_other_words(line: Line, text: str, target: str, glossary: Glossary, *, doubts: Sequence[Doubt] = ()) -> Line:
    """A line with its text in another language: checked against the glossary, with the spoken forms it asks for."""
    found = [*doubts, *([Doubt.GLOSSARY_MISSED] if glossary.missed(line.text, text, line.language, target) else [])]
    said = glossary.spoken(text, target)
    return replace(
        line,
        language=target,
        text=text,
        spoken=said if said != text else "",
        words=(),
        doubts=tuple(dict.fromkeys((*line.doubts, *found))),
    )
