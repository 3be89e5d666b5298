"""Blocks: what a document is made of, in reading order, each with its place. Pure; readers give pieces, these become
a document whose text every line of a script can point into."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath

from speechmill.episodes import LeftOut, Span
from speechmill.errors import LimitExceeded, UnreadableDocument
from tasks.text.saying.formulas import DOWN, UP

MOST_CHARACTERS = 1_500_000  # a day of speech at 15 to 17 characters a second
MOST_BLOCKS = 100_000
BETWEEN = "\n\n"
EXCERPT = 80

INVISIBLE = re.compile(
    "[\u0000-\u0008\u000e-\u001f\u007f-\u009f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Characters that show nothing: controls, soft hyphens, directions, tags. Text is hidden from people with them."""


ADDRESS = re.compile(r"https?://[^\s<>\"'”’»)\]]*[\w/]")

LIGATURES = str.maketrans(dict(zip("ﬀﬁﬂﬃﬄﬅﬆ", ("ff", "fi", "fl", "ffi", "ffl", "st", "st"), strict=True)))
"""Letters that were set as one, which search and voices do not know."""
RAISED = str.maketrans({sign: raised for raised, sign in UP.items()} | {"−": "⁻"})
LOWERED = str.maketrans({sign: lowered for lowered, sign in DOWN.items()} | {"−": "₋"})


class Kind(StrEnum):
    HEADING = "heading"
    BODY = "body"
    LIST = "list"
    QUOTE = "quote"
    TABLE = "table"
    CODE = "code"
    NOTE = "note"
    REFERENCE = "reference"


READ_ALOUD = frozenset({Kind.HEADING, Kind.BODY, Kind.LIST, Kind.QUOTE})

WHY_NOT = {
    Kind.TABLE: "A table cannot be followed by ear.",
    Kind.CODE: "Program text cannot be followed by ear.",
    Kind.NOTE: "Notes and captions are not read aloud.",
    Kind.REFERENCE: "Lists of sources are not read aloud.",
}


@dataclass(frozen=True, slots=True)
class Link:
    text: str
    address: str


@dataclass(frozen=True, slots=True)
class Piece:
    """What a reader found. ``place`` is for people: “line 12”, “page 3”, “chapter 2”."""

    kind: Kind
    text: str
    place: str
    level: int = 0  # of a heading, 1 is highest
    speaker: str = ""  # where the source says who says it
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Dropped:
    """What a reader left out, and why (a sentence)."""

    what: str
    why: str
    text: str
    place: str


@dataclass(frozen=True, slots=True)
class Block:
    """A piece at its place in the text of its document: characters ``start:end``."""

    kind: Kind
    text: str
    place: str
    start: int
    level: int = 0
    speaker: str = ""
    links: tuple[Link, ...] = ()

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def read_aloud(self) -> bool:
        return self.kind in READ_ALOUD

    def links_in(self, start: int = 0, end: int | None = None) -> tuple[Link, ...]:
        """Links that stand in some of its characters."""
        last = len(self.text) if end is None else end
        places = _places(self.text, self.links)
        return tuple(link for link, at in zip(self.links, places, strict=True) if start <= at < last)

    def span(self, start: int = 0, end: int | None = None) -> Span:
        """Characters of the document for characters of this block."""
        return Span(start=self.start + start, end=self.start + (len(self.text) if end is None else end))


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it was read. ``metadata`` may have author, date, site, address, description, image."""

    name: str  # of the file, or the address
    title: str
    language: str  # canonical BCP-47
    blocks: tuple[Block, ...]
    dropped: tuple[Dropped, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what somebody should know who has it read, as sentences

    @property
    def text(self) -> str:
        """All blocks, read aloud or not, with an empty line between them; spans count in its characters."""
        return BETWEEN.join(block.text for block in self.blocks)

    @property
    def spoken_blocks(self) -> tuple[Block, ...]:
        return tuple(block for block in self.blocks if block.read_aloud)

    @property
    def skipped(self) -> tuple[LeftOut, ...]:
        """What is not read aloud, and why: blocks of kinds that are not for the ear, then what the reader left out."""
        blocks = [
            LeftOut(what=b.kind, why=WHY_NOT[b.kind], text=excerpt(b.text), place=b.place, span=b.span())
            for b in self.blocks
            if not b.read_aloud
        ]
        return (
            *blocks,
            *(LeftOut(what=d.what, why=d.why, text=excerpt(d.text), place=d.place) for d in self.dropped),
        )


def clean(text: str) -> str:
    """The text on one line, composed (NFC), without ligatures and invisible characters."""
    return " ".join(INVISIBLE.sub("", unicodedata.normalize("NFC", text)).translate(LIGATURES).split())


def clean_code(text: str) -> str:
    """Program text or a table: as ``clean``, with its lines."""
    lines = [INVISIBLE.sub("", line.replace("\t", "    ")).rstrip() for line in text.strip("\n").split("\n")]
    return "\n".join(lines)


def raised(text: str) -> str:
    """Raised text where Unicode has all its characters (m², 10⁻⁶), which are then heard as what they are."""
    return text.translate(RAISED) if all(ord(c) in RAISED for c in text.strip()) else text


def lowered(text: str) -> str:
    """Lowered text, as ``raised`` (CO₂)."""
    return text.translate(LOWERED) if all(ord(c) in LOWERED for c in text.strip()) else text


def excerpt(text: str, most: int = EXCERPT) -> str:
    """The beginning of a text on one line, for a sentence about it."""
    one = " ".join(text.split())
    return one if len(one) <= most else one[: most - 1].rstrip() + "…"


def assemble(
    name: str,
    found: Iterable[Piece | Dropped],
    *,
    title: str = "",
    language: str,
    metadata: dict[str, str] | None = None,
    notes: Sequence[str] = (),
) -> Document:
    """The document that pieces make. Its title is the one given, or its first heading of the first level, or its name.

    Raises ``LimitExceeded`` for a text that is too long and ``UnreadableDocument`` for one with nothing to read.
    """
    blocks: list[Block] = []
    dropped: list[Dropped] = []
    at = 0
    for piece in found:
        if isinstance(piece, Dropped):
            if len(dropped) < MOST_BLOCKS:
                dropped.append(piece)
            continue
        text = clean_code(piece.text) if piece.kind in (Kind.CODE, Kind.TABLE) else clean(piece.text)
        if not text:
            continue
        links = (*piece.links, *_bare(text, piece.links))
        blocks.append(Block(piece.kind, text, piece.place, at, piece.level, piece.speaker, links))
        at += len(text) + len(BETWEEN)
        if at > MOST_CHARACTERS or len(blocks) > MOST_BLOCKS:
            raise LimitExceeded(
                f"{name} has more than {MOST_CHARACTERS:,} characters of text, about a day of speech",
                hint="give a part of it",
            )
    if not any(block.read_aloud and any(c.isalnum() for c in block.text) for block in blocks):
        raise UnreadableDocument(f"{name} has no text that could be read aloud", hint=_instead(blocks, dropped))
    called = clean(title) or _title(blocks) or _called(name)
    return Document(name, called, language, tuple(blocks), tuple(dropped), dict(metadata or {}), tuple(notes))


def _bare(text: str, links: Sequence[Link]) -> Iterator[Link]:
    """Addresses that stand in a text as they are, and are no link yet."""
    known = {link.text for link in links} | {link.address for link in links}
    yield from (Link(found[0], found[0]) for found in ADDRESS.finditer(text) if found[0] not in known)


def _places(text: str, links: Sequence[Link]) -> Iterator[int]:
    """Where links stand in a text: one after the other, as whole words where there are such; -1 for one that is not
    there."""
    at = 0
    for link in links:
        words = re.compile(rf"(?<!\w){re.escape(link.text)}(?!\w)")
        found = words.search(text, at) or words.search(text)
        place = found.start() if found else text.find(link.text)
        at = place + len(link.text) if place >= 0 else at
        yield place


def _title(blocks: Sequence[Block]) -> str:
    headings = [block for block in blocks if block.kind == Kind.HEADING]
    return next((b.text for b in headings if b.level == 1), headings[0].text if headings else "")[:300]


def _called(name: str) -> str:
    """What a document without any heading is called: its file, as a person would say it."""
    return name if "://" in name else PurePath(name).stem.replace("_", " ").strip() or name


def _instead(blocks: Sequence[Block], dropped: Sequence[Dropped]) -> str:
    kinds = sorted({str(block.kind) for block in blocks} | {piece.what for piece in dropped})
    return f"all that is in it is {', '.join(kinds)}" if kinds else "give a document with text"
