"""Markdown (CommonMark with tables) as pieces, by markdown-it-py; front matter as metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tasks.documents.blocks import Dropped, Kind, Link, Piece

if TYPE_CHECKING:
    from markdown_it.token import Token

FRONT = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
FIELD = re.compile(r"^([A-Za-z_-]{1,40})\s*:\s*(.+?)\s*$", re.MULTILINE)
NOTE_MARK = re.compile(r"\[\^[^\]\s]{1,40}\]")
NOTE_TEXT = re.compile(r"^\[\^[^\]\s]{1,40}\]:\s*")
TAG = re.compile(r"<[^<>]{0,500}>")


def front_matter(text: str) -> tuple[dict[str, str], str]:
    """Simple ``name: value`` fields before the text, and the text with their lines left empty (line numbers stay)."""
    match = FRONT.match(text)
    if match is None:
        return {}, text
    fields = {name.lower(): value.strip("\"' ") for name, value in FIELD.findall(match[1])}
    return fields, "\n" * match[0].count("\n") + text[match.end() :]


def pieces(text: str) -> Iterator[Piece | Dropped]:
    """Pieces of a Markdown text, each with the line it begins on."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark", {"maxNesting": 50}).enable(["table", "strikethrough"]).parse(text)
    around: list[str] = []  # what is open: blockquote, list_item, table
    cells: list[list[str]] = []
    level, table_place = 0, ""
    for token in tokens:
        place = f"line {token.map[0] + 1}" if token.map else ""
        kind = token.type.rpartition("_")
        if kind[2] == "open":
            around.append(kind[0])
            level = int(token.tag[1]) if token.type == "heading_open" else level
            if kind[0] == "table":
                cells, table_place = [], place
            elif kind[0] == "tr":
                cells.append([])
        elif kind[2] == "close":
            around.pop()
            if kind[0] == "table":
                yield Piece(Kind.TABLE, "\n".join(" | ".join(row) for row in cells), table_place)
        elif token.type in ("fence", "code_block"):
            yield Piece(Kind.CODE, token.content, place)
        elif token.type == "html_block":
            said = TAG.sub(" ", token.content)
            if said.strip():
                yield Dropped("markup", "It is HTML inside Markdown.", said, place)
        elif token.type == "inline":
            if "table" in around:
                cells[-1].append(_inline(token.children or ())[0])
            else:
                yield from _text(token, around, place, level)


def _text(token: Token, around: Sequence[str], place: str, level: int) -> Iterator[Piece | Dropped]:
    for child in token.children or ():
        if child.type == "image" and child.content:
            yield Dropped("picture", "Pictures are not described.", child.content, place)
    text, links = _inline(token.children or ())
    if NOTE_TEXT.match(text):
        yield Piece(Kind.NOTE, NOTE_TEXT.sub("", text), place, links=links)
        return
    text = NOTE_MARK.sub("", text)
    if "heading" in around:
        yield Piece(Kind.HEADING, text, place, level, links=links)
    elif "blockquote" in around:
        yield Piece(Kind.QUOTE, text, place, links=links)
    else:
        yield Piece(Kind.LIST if "list_item" in around else Kind.BODY, text, place, links=links)


def _inline(children: Sequence[Token]) -> tuple[str, tuple[Link, ...]]:
    parts: list[str] = []
    links: list[Link] = []
    opened: list[tuple[str, int]] = []
    struck = 0
    for child in children:
        if child.type == "s_open":
            struck += 1
        elif child.type == "s_close":
            struck -= 1
        elif struck:
            continue
        elif child.type in ("text", "code_inline"):
            parts.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        elif child.type == "link_open":
            opened.append((str(child.attrGet("href") or ""), len(parts)))
        elif child.type == "link_close" and opened:
            address, first = opened.pop()
            if address.startswith(("http://", "https://")):
                links.append(Link("".join(parts[first:]), address))
    return "".join(parts), tuple(links)
