"""A lesson by rule: every phrase slowly, then as it is spoken, each with time to repeat; words and a recap at the end.

All of it is the document's own text. What a word means is not said, since nobody here knows; it is heard where the
text uses it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tasks.documents.blocks import Block, Document, Kind
from tasks.scriptwriting.length import Draft, Part, line_s
from tasks.scriptwriting.rules import announced, phrases, sections
from tasks.scriptwriting.sentences import sentences

PHRASE_CHARACTERS = 70  # about what a learner can hold and repeat: ten words
SLOW = 0.75
SLOWLY = "slowly and clearly"
REPEAT_SHARE = 1.3  # learners are slower than the voice they repeat
REPEAT_MS = 800  # and begin later
WORDS = 8
WORD_LETTERS = 6  # shorter words are mostly those that every text has
LETTERS = re.compile(rf"[^\W\d_]{{{WORD_LETTERS},}}")


def lesson(document: Document, speakers: Sequence[str], characters_per_s: float) -> list[Part]:
    """Parts of a lesson; with two speakers the second says the phrases as they are spoken."""
    teacher, native = speakers[0], speakers[-1]
    said = phrases(document.language)
    parts: list[Part] = []
    first: list[Draft] = []  # the first sentence of every section, for the recap
    repeat_ms: int | None = None  # time to repeat what was said last
    for number, section in enumerate(sections(document)):
        units: list[tuple[Draft, ...]] = []
        if section.heading is not None:
            text = announced(section.heading.text, number == 0, document.language)
            heading = section.heading
            units.append((Draft(teacher, text, heading.span(), section.title, gap_ms=repeat_ms, place=heading.place),))
        if number == 0 and said["listen"]:
            units.append((Draft(teacher, said["listen"], None, section.title),))
        known = len(units)
        for block in section.blocks:
            for phrase in _phrases(block, document.language):
                start, end = phrase
                text = block.text[start:end]
                room_ms = round(line_s(text, 1.0, characters_per_s) * REPEAT_SHARE * 1000) + REPEAT_MS
                span, place = block.span(start, end), block.place
                slow = Draft(teacher, text, span, section.title, SLOWLY, SLOW, repeat_ms, place=place)
                links = block.links_in(start, end)
                normal = Draft(native, text, span, section.title, gap_ms=room_ms, place=place, links=links)
                units.append((slow, normal))
                repeat_ms = room_ms
        if len(units) > known:
            first.extend(_first_sentence(section.blocks, document.language, native, section.title))
        parts.extend(Part(unit, at / len(units)) for at, unit in enumerate(units))
    return [*parts, *_words(document, teacher, native), *_recap(first, said["recap"], teacher)]


def _first_sentence(blocks: Sequence[Block], language: str, speaker: str, chapter: str) -> Iterator[Draft]:
    for block in blocks:
        for start, end in sentences(block.text, language)[:1]:
            yield Draft(speaker, block.text[start:end], block.span(start, end), chapter, place=block.place)
            return


def _phrases(block: Block, language: str) -> list[tuple[int, int]]:
    return sentences(block.text, language, PHRASE_CHARACTERS)


def _words(document: Document, teacher: str, native: str) -> list[Part]:
    """The longest words of the text in the order of its sentences, each followed by the sentence that has it."""
    title = phrases(document.language)["words"]
    longest: dict[str, tuple[str, Block, int, int]] = {}
    for block in document.spoken_blocks:
        if block.kind == Kind.HEADING:
            continue
        for start, end in sentences(block.text, document.language):
            for match in LETTERS.finditer(block.text, start, end):
                longest.setdefault(match[0].casefold(), (match[0], block, start, end))
    chosen = sorted(longest, key=lambda word: (-len(word), word))[:WORDS]
    if not title or not chosen:
        return []
    units: list[tuple[Draft, ...]] = [(Draft(teacher, f"{title}.", None, title),)]
    for key in [word for word in longest if word in chosen]:
        word, block, start, end = longest[key]
        units.append(
            (
                Draft(teacher, f"{word}.", block.span(start, end), title, SLOWLY, SLOW, place=block.place),
                Draft(
                    native, block.text[start:end], block.span(start, end), title, gap_ms=REPEAT_MS, place=block.place
                ),
            )
        )
    return [Part(unit, at / len(units)) for at, unit in enumerate(units)]


def _recap(first: Sequence[Draft], title: str, teacher: str) -> list[Part]:
    if not title or not first:
        return []
    drafts = [Draft(teacher, f"{title}.", None, title)]
    drafts += [Draft(d.speaker, d.text, d.span, title, gap_ms=None, place=d.place) for d in first]
    return [Part((draft,), at / len(drafts)) for at, draft in enumerate(drafts)]
