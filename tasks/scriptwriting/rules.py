"""Scripts by rule, without any language model: every word is the document's own, but for a few phrases around titles.

``reading``: one voice, or two (the second reads what is quoted, or every other section). ``dialogue``: host and guest
share the text by paragraph, and the host introduces the headings.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from speechmill.languages import base
from tasks.documents.blocks import Block, Document, Kind, excerpt
from tasks.scriptwriting.length import Draft, Part, line_s
from tasks.scriptwriting.sentences import sentences

TITLE_CHARACTERS = 120  # of a chapter; players show less than half of it
DOUBLE = re.compile(r"(?<=[?!…？！])[.。]$")  # a full stop after “What changed?”


@dataclass(frozen=True, slots=True)
class Section:
    """A chapter: its title, its heading where it has one, and what stands under it."""

    title: str
    heading: Block | None
    blocks: tuple[Block, ...]


@cache
def phrases(language: str) -> dict[str, str]:
    """Phrases of a language; titles alone where we have none."""
    known = tomllib.loads(resources.files("tasks.scriptwriting").joinpath("phrases.toml").read_text("utf-8"))
    bare = {"today": "{title}", "next": "{title}", "listen": "", "words": "", "recap": ""}
    return {**bare, **known.get(base(language), {})}


def announced(title: str, first: bool, language: str) -> str:
    """A title as a sentence: “Next: The Stops.”; one that asks or calls out ends as it does."""
    text = phrases(language)["today" if first else "next"].format(title=title.rstrip(".:"))
    return DOUBLE.sub("", text)


def sections(document: Document) -> list[Section]:
    """The document by its headings of the highest level that there are several of; deeper ones stay in the text."""
    blocks = document.spoken_blocks
    levels = sorted({b.level for b in blocks if b.kind == Kind.HEADING})
    deepest = next((n for n in levels if sum(b.kind == Kind.HEADING and b.level <= n for b in blocks) > 1), 6)
    found: list[Section] = []
    heading: Block | None = None
    under: list[Block] = []
    for block in blocks:
        if block.kind == Kind.HEADING and block.level <= deepest:
            if heading is not None or under:
                found.append(_section(document, heading, under))
            heading, under = block, []
        else:
            under.append(block)
    return [*found, _section(document, heading, under)]


def _section(document: Document, heading: Block | None, under: Sequence[Block]) -> Section:
    title = heading.text if heading else document.title
    return Section(excerpt(title, TITLE_CHARACTERS), heading, tuple(under))


def reading(document: Document, speakers: Sequence[str], characters_per_s: float) -> list[Part]:
    """Parts of a reading; ``speakers`` are one or two, or those whom the document names."""
    first, second = speakers[0], speakers[1] if len(speakers) > 1 else speakers[0]
    quoted = any(block.kind == Kind.QUOTE for block in document.blocks)
    spoken = any(block.speaker for block in document.blocks)

    def who(section: int, block: Block, _: int) -> str:
        if block.speaker in speakers:
            return block.speaker
        if spoken:
            return first
        if quoted:
            return second if block.kind == Kind.QUOTE else first
        return second if section % 2 else first

    return _parts(document, who, lambda section, _, block: (who(section, block, 0), block.text), characters_per_s)


def dialogue(document: Document, speakers: Sequence[str], characters_per_s: float) -> list[Part]:
    """Parts of a dialogue between the first speaker, who introduces, and the others."""
    host, *guests = speakers
    spoken = any(block.speaker for block in document.blocks)

    def who(_: int, block: Block, paragraph: int) -> str:
        if block.speaker in speakers:
            return block.speaker
        if spoken:
            return host
        turn = paragraph % 2
        return host if turn else guests[(paragraph // 2) % len(guests)]

    def introduced(section: int, first: bool, block: Block) -> tuple[str, str]:
        del section
        return host, announced(block.text, first, document.language)

    return _parts(document, who, introduced, characters_per_s)


def _parts(
    document: Document,
    who: Callable[[int, Block, int], str],
    introduced: Callable[[int, bool, Block], tuple[str, str]],
    characters_per_s: float,
) -> list[Part]:
    """Every sentence as a part, at its share of its section by time."""
    parts: list[Part] = []
    for number, section in enumerate(sections(document)):
        drafts: list[Draft] = []
        if section.heading is not None:
            speaker, text = introduced(number, number == 0, section.heading)
            drafts.append(_draft(speaker, text, section.heading, section.title))
        for paragraph, block in _paragraphs(section.blocks):
            speaker = who(number, block, paragraph)
            for start, end in sentences(block.text, document.language):
                drafts.append(_draft(speaker, block.text[start:end], block, section.title, start, end))
        parts.extend(placed(drafts, characters_per_s))
    return parts


def _paragraphs(blocks: Sequence[Block]) -> Iterator[tuple[int, Block]]:
    """Blocks with the number of their paragraph: the items of a list are one."""
    number = -1
    for before, block in zip((None, *blocks), blocks, strict=False):
        number += not (before is not None and before.kind == block.kind == Kind.LIST)
        yield number, block


def _draft(speaker: str, text: str, block: Block, chapter: str, start: int = 0, end: int | None = None) -> Draft:
    return Draft(speaker, text, block.span(start, end), chapter, place=block.place, links=block.links_in(start, end))


def placed(drafts: Sequence[Draft], characters_per_s: float) -> Iterator[Part]:
    """Single drafts as parts, each at its share of the time of all of them."""
    whole = sum(line_s(d.text, d.pace, characters_per_s) for d in drafts)
    gone = 0.0
    for draft in drafts:
        yield Part((draft,), gone / whole)
        gone += line_s(draft.text, draft.pace, characters_per_s)
