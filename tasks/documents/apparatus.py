"""What stands around a text and is no part of it: bylines, contents, sources, captions, pointers elsewhere. Pure.

It is told as not read, with its reason; nothing is judged by its words alone that could be a sentence of the text.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

from speechmill.languages import base
from tasks.documents.blocks import Dropped, Kind, Piece
from tasks.documents.bylines import Bylines, bylines

STANDFIRST = 1  # paragraphs that may stand before a byline
UNNAMED = 3  # lines of dates and names in a row; more of them are a timeline
CLOSING = 3  # pieces at the end, where Chinese newspapers name their editors
CAPTION = 300
LINKED_SHARE = 0.7  # of a piece that is mostly a link
SOURCES_SHARE = 0.5  # of the pieces under a heading of sources look like sources

LEADERS = re.compile(r"(?:\.\s?){4,}\s*\d+\s*$|\s_{4,}\s*\d+\s*$")
SOURCE = re.compile(
    r"https?://|\bwww\.|\bdoi\b|\barXiv\b|\bISBN\b|\bISSN\b|\bet al\b|\bpp?\. ?\d|\bVol\.|\bS\. \d+"
    r"|[(,.]\s?(?:1[89]|20)\d\d[a-z]?[).,:;]|^\[\d{1,3}\]|^\^|\[[JMCDN]\]",
    re.IGNORECASE,
)
RIGHTS = re.compile(r"(?:copyright\s+)?(?:©|\(c\))\s*(?:1[89]|20)\d\d\b", re.IGNORECASE)
NUMBERED_NOTE = re.compile(r"^\[(\d{1,3})\]\s+\S")
CITED = re.compile(r"(?<=\S)\s?\[(\d{1,3})\]")
NUMBERING = re.compile(r"^(?:\d{1,2}(?:\.\d{1,2})*\.?|[IVX]{1,4}\.|[一二三四五六七八九十]{1,3}、)\s*")


@dataclass(frozen=True, slots=True)
class _Words:
    """A language's patterns."""

    bylines: Bylines
    sources: frozenset[str]
    contents: frozenset[str]
    figure: re.Pattern[str]
    pointer: re.Pattern[str]
    asides: frozenset[str]
    edit: re.Pattern[str]


def apart(found: Sequence[Piece | Dropped], language: str, author: str = "") -> list[Piece | Dropped]:
    """The pieces, with what stands around the text dropped or made what it is."""
    words = _words(base(language))
    return list(_without_lists(_without_asides(found, words, author), words))


def _without_asides(found: Sequence[Piece | Dropped], words: _Words, author: str) -> Iterator[Piece | Dropped]:
    paragraphs = 0
    cited: set[str] = set()
    like_bylines = _like_bylines(found, words.bylines, author)
    for at, piece in enumerate(found):
        if isinstance(piece, Dropped) or piece.kind not in (Kind.BODY, Kind.LIST, Kind.HEADING):
            yield piece
            continue
        if LEADERS.search(piece.text):
            yield _dropped(piece, "contents", "It is a line of a table of contents.")
            continue
        if piece.kind == Kind.HEADING:
            yield replace(piece, text=words.edit.sub("", piece.text))
            continue
        closing = at >= len(found) - CLOSING and words.bylines.by.match(piece.text) is not None
        if at in like_bylines and (paragraphs <= STANDFIRST or closing):
            yield _dropped(piece, "byline", "It says who wrote it, and when; the show notes do.")
        elif _is_note(piece, words, cited):
            yield replace(piece, kind=Kind.NOTE)
        elif RIGHTS.match(piece.text):
            yield _dropped(piece, "rights", "It says who has the rights.")
        elif piece.text.casefold().strip(" :.") in words.asides or _points_elsewhere(piece, words):
            yield _dropped(piece, "aside", "It leads elsewhere.")
        else:
            paragraphs += 1
            cited.update(CITED.findall(piece.text))
            yield piece


def _like_bylines(found: Sequence[Piece | Dropped], bylines: Bylines, author: str) -> frozenset[int]:
    """Where what has the form of a byline stands, but for timelines: one day below the other."""
    at: list[int] = []
    row: list[int] = []
    for place, piece in enumerate([*found, None]):
        if isinstance(piece, Piece) and piece.kind == Kind.BODY and bylines.has(piece.text, author):
            row.append(place)
            continue
        unnamed = sum(bylines.by.match(text) is None for text in (found[n].text for n in row))
        at += row if unnamed <= UNNAMED else []
        row = []
    return frozenset(at)


def _is_note(piece: Piece, words: _Words, cited: Collection[str]) -> bool:
    """Whether it is a caption, or what “[1]” somewhere before it leads to."""
    if words.figure.match(piece.text):
        return len(piece.text) <= CAPTION
    found = NUMBERED_NOTE.match(piece.text)
    return found is not None and (found[1] in cited or SOURCE.search(piece.text) is not None)


def _dropped(piece: Piece, what: str, why: str) -> Dropped:
    return Dropped(what, why, piece.text, piece.place)


def _points_elsewhere(piece: Piece, words: _Words) -> bool:
    """“Read more: The tide tables”, where all of it is a link or what a colon announces."""
    found = words.pointer.match(piece.text)
    if found is None:
        return False
    rest = piece.text[found.end() :].strip(" :：.")
    return bool(rest) and _linked(piece) >= LINKED_SHARE * len(rest)


def _linked(piece: Piece) -> int:
    """Characters of a piece that are links."""
    return sum(len(link.text) for link in piece.links)


def _without_lists(found: Iterator[Piece | Dropped], words: _Words) -> Iterator[Piece | Dropped]:
    """Sections that are lists of sources, or of contents, as what they are."""
    pieces = list(found)
    at = 0
    while at < len(pieces):
        piece = pieces[at]
        end = _end(pieces, at)
        under = [p for p in pieces[at + 1 : end] if isinstance(p, Piece)]
        if isinstance(piece, Piece) and end > at:
            title = NUMBERING.sub("", piece.text).casefold().strip(" :.")
            if title in words.sources and under and _are_sources(under):
                last = _last_source(pieces, at, end)
                yield from (replace(p, kind=Kind.REFERENCE) if isinstance(p, Piece) else p for p in pieces[at:last])
                at = last
                continue
            if title in words.contents and all(p.kind in (Kind.LIST, Kind.REFERENCE) for p in under):
                yield from (_dropped(p, "contents", "It is a table of contents.") for p in [piece, *under])
                at = end
                continue
        yield piece
        at += 1


def _end(pieces: Sequence[Piece | Dropped], at: int) -> int:
    """Where the section of a heading ends: at the next heading as high. At once where there is no heading."""
    heading = pieces[at]
    if isinstance(heading, Dropped) or heading.kind != Kind.HEADING:
        return at
    level = heading.level
    for end in range(at + 1, len(pieces)):
        piece = pieces[end]
        if isinstance(piece, Piece) and piece.kind == Kind.HEADING and piece.level <= level:
            return end
    return len(pieces)


def _are_sources(under: Sequence[Piece]) -> bool:
    return sum(map(_is_source, under)) >= SOURCES_SHARE * len(under)


def _is_source(piece: Piece) -> bool:
    linked = _linked(piece) >= LINKED_SHARE * len(piece.text)
    return piece.kind == Kind.NOTE or SOURCE.search(piece.text) is not None or linked


def _last_source(pieces: Sequence[Piece | Dropped], at: int, end: int) -> int:
    """Where the list of sources ends: before a paragraph that is none, as a last word after it."""
    for last in range(at + 1, end):
        piece = pieces[last]
        if isinstance(piece, Piece) and piece.kind in (Kind.BODY, Kind.QUOTE) and not _is_source(piece):
            return last
    return end


@cache
def _words(language: str) -> _Words:
    """The words of a language, and English ones where we have none."""
    known = tomllib.loads(resources.files("tasks.documents").joinpath("apparatus.toml").read_text("utf-8"))
    table = known.get(language, known["en"])

    def any_of(name: str) -> str:
        return "|".join(re.escape(word) for word in sorted(table[name], key=len, reverse=True))

    after = r"\s*[:：|｜/\s]\s*" if language == "zh" else r"(?:\s*:)?\s+(?=\S)"
    return _Words(
        bylines(
            language,
            re.compile(rf"[（(]?(?:{any_of('by')}){after}"),
            re.compile(rf"(?:{any_of('minutes')})", re.IGNORECASE),
        ),
        frozenset(table["sources"]),
        frozenset(table["contents"]),
        re.compile(rf"(?:{any_of('figures')})\s?\d+(?:\.\d+)*\s*[.:：–—|、]\s*\S"),
        re.compile(rf"(?:{any_of('pointers')})\s*[:：]?\s*", re.IGNORECASE),
        frozenset(table["asides"]),
        re.compile(rf"\s*(?:\[\s*(?:{any_of('edit')})\s*\]|¶|\s#)\s*$", re.IGNORECASE),
    )
