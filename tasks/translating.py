"""Translation: lines of one language become lines of another, keyed by id so that nothing can slip by one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from speechmill.abilities import Phrase, Translates, Translation
from speechmill.lines import Doubt, Line
from speechmill.recipes import Json, Recipe
from tasks.text.glossaries import Glossary
from tasks.text.scripts import is_spoken
from tasks.workplace import Workplace

BATCH = 64  # phrases that go to the engine at a time: progress shows, and a killed run keeps what is done


def translate(
    place: Workplace, lines: Sequence[Line], engine: Translates, source: str, target: str, glossary: Glossary
) -> list[Line]:
    """Every line in the target language. A line that comes back empty keeps its text and says so."""
    spoken_lines = [line for line in lines if is_spoken(line)]
    terms = glossary.targets()
    made: dict[str, Translation] = {}
    with place.stages(f"translate {target}", len(spoken_lines)) as advance:
        for start in range(0, len(spoken_lines), BATCH):
            batch = spoken_lines[start : start + BATCH]
            made.update(_translate_batch(place, batch, engine, source, target, terms))
            advance(len(batch))
            place.stop_if_cancelled()
    return [_line(line, made.get(line.id), target, glossary) for line in lines]


def _translate_batch(
    place: Workplace, lines: Sequence[Line], engine: Translates, source: str, target: str, terms: Mapping[str, str]
) -> dict[str, Translation]:
    """Translations by line id: those found by their recipes, the others asked for in one call."""
    recipes = {line.id: _recipe(line, engine, source, target, terms) for line in lines}
    unknown = [line for line in lines if place.store.find(recipes[line.id]) is None]
    fresh: dict[str, Translation] = {}
    if unknown:
        phrases = [Phrase(line.id, line.text, line.anchor.length_samples if line.anchor else None) for line in unknown]
        fresh = engine.translate(phrases, source, target, terms)
    found = {}
    for line in lines:
        if line.id in fresh or line not in unknown:
            found[line.id] = _kept(place, recipes[line.id], fresh.get(line.id))
    return found


def _recipe(line: Line, engine: Translates, source: str, target: str, terms: Mapping[str, str]) -> Recipe:
    # Only terms that the line has: a new term leaves all other lines as they were.
    wanted: dict[str, Json] = {term: to for term, to in terms.items() if term.casefold() in line.text.casefold()}
    return Recipe("translate", engine.version, text=line.text, source=source, target=target, terms=wanted)


def _kept(place: Workplace, recipe: Recipe, translation: Translation | None) -> Translation:
    def make(out: Path) -> None:
        assert translation is not None
        kept = {"text": translation.text, "shorter": translation.shorter, "doubts": translation.doubts}
        out.write_text(json.dumps(kept, ensure_ascii=False), "utf-8")

    found = json.loads(place.store.path(place.store.get_or_make(recipe, make).sha256).read_text("utf-8"))
    return Translation(found["text"], tuple(found["shorter"]), tuple(Doubt(d) for d in found["doubts"]))


def _line(line: Line, translation: Translation | None, target: str, glossary: Glossary) -> Line:
    if not is_spoken(line):
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
