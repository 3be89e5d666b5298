"""Markdown (CommonMark with tables) as pieces, by markdown-it-py; front matter as metadata."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from tasks.documents import markup
from tasks.documents.archives import parse_html
from tasks.documents.blocks import Dropped, Kind, Link, Piece, clean, lowered, raised
from tasks.documents.dialects import plainly
from tasks.text.saying.formulas import MARKED, is_formula

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

FRONT = re.compile(r"\A(?:---[ \t]*\n(.*?)\n(?:---|\.\.\.)|\+\+\+[ \t]*\n(.*?)\n\+\+\+)[ \t]*(?:\n|\Z)", re.DOTALL)
FIELD = re.compile(r"^([A-Za-z_-]{1,40})\s*[:=]\s*(.+?)\s*$", re.MULTILINE)
NOTE_MARK = re.compile(r"\[\^[^\]\s]{1,40}\]")
NOTE_TEXT = re.compile(r"\[\^[^\]\s]{1,40}\]:[ \t]*")
BOX = re.compile(r"^\[[ xX]\]\s+|^\[!(?:NOTE|TIP|IMPORTANT|WARNING|CAUTION)\]\s*")
SHIFTED = {"<sup>": raised, "<sub>": lowered}
SUPER = re.compile(r"(\S?)\^([^\s^]{1,10})\^")  # of Pandoc
MARK = re.compile(r"[\d,*†‡]+")
SUB = re.compile(r"(?<=\w)~(\d{1,3})~")
TAG = re.compile(r"<[^<>]{0,500}>")
ATTRIBUTES = re.compile(r"\s*\{:?\s*[#.][^{}]{0,120}\}\s*$")  # of a heading or paragraph: {#name .class}
SIGNS = re.compile(r"(?<![\w:]):[a-z][a-z0-9_+-]{1,30}:(?![\w:])|(?<!\S)==(?=\w)|(?<=[\w.,!?])==(?!\S*=)")
"""Names of emoji (:tada:), and what marks text as with a pen (==bright==)."""


def front_matter(text: str) -> tuple[dict[str, str], str]:
    """Simple ``name: value`` fields before the text, and the text with their lines left empty (line numbers stay)."""
    match = FRONT.match(text)
    if match is None:
        return {}, text
    fields = {name.lower(): value.strip("\"' ") for name, value in FIELD.findall(match[1] or match[2] or "")}
    return fields, "\n" * match[0].count("\n") + text[match.end() :]


def pieces(text: str) -> Iterator[Piece | Dropped]:
    """Pieces of a Markdown text, each with the line it begins on."""
    text, told = plainly(text)
    yield from told
    tokens = _parser().parse(text)
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
            if TAG.sub("", token.content).strip():
                yield from markup.pieces(parse_html(f"<body>{token.content}</body>", "Markdown"), place)
        elif token.type == "inline":
            if "table" in around:
                cells[-1].append(_inline(token.children or ())[0])
            else:
                yield from _text(token, around, place, level)


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"maxNesting": 50}).enable(["table", "strikethrough"])
    parser.inline.ruler.before("escape", "formula", _formula)
    parser.block.ruler.before("reference", "note", _note)
    return parser


def _formula(state: StateInline, silent: bool) -> bool:
    """TeX stays as it is: its signs are no marks of Markdown."""
    found = MARKED.match(state.src, state.pos)
    if found is None or not is_formula(found):
        return False
    if not silent:
        state.push("formula", "", 0).content = found[0]
    state.pos = found.end()
    return True


def _note(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A note, which CommonMark does not know (it takes one that is only an address for the address of a link)."""
    found = NOTE_TEXT.match(state.src, state.bMarks[start] + state.tShift[start])
    if found is None or state.is_code_block(start):
        return False
    if silent:
        return True
    last = start + 1
    while last < end and not state.isEmpty(last) and not NOTE_TEXT.match(state.src, state.bMarks[last]):
        last += 1
    state.push("note_open", "", 1)
    inline = state.push("inline", "", 0)
    inline.content, inline.map, inline.children = state.src[found.end() : state.eMarks[last - 1]], [start, last], []
    state.push("note_close", "", -1)
    state.line = last
    return True


def _text(token: Token, around: Sequence[str], place: str, level: int) -> Iterator[Piece | Dropped]:
    for child in token.children or ():
        if child.type == "image" and child.content:
            yield Dropped("picture", "Pictures are not described.", child.content, place)
    text, links = _inline(token.children or ())
    if "note" in around:
        yield Piece(Kind.NOTE, text, place, links=links)
        return
    text = ATTRIBUTES.sub("", BOX.sub("", _shifted(NOTE_MARK.sub("", text)))).strip()
    if "heading" in around:
        yield Piece(Kind.HEADING, text, place, level, links=links)
    elif "blockquote" in around:
        yield Piece(Kind.QUOTE, text, place, links=links)
    else:
        yield Piece(Kind.LIST if "list_item" in around else Kind.BODY, text, place, links=links)


def _shifted(text: str) -> str:
    """Pandoc's raised and lowered text; raised numbers after words are marks of notes and of institutes."""

    def up(found: re.Match[str]) -> str:
        mark = MARK.fullmatch(found[2]) and not re.search(r"(?:^|\W)\w{1,2}$", found.string[: found.end(1)])
        return found[1] if mark else found[1] + raised(found[2])

    return text if "$" in text else SUB.sub(lambda m: lowered(m[1]), SUPER.sub(up, text))


def _inline(children: Sequence[Token]) -> tuple[str, tuple[Link, ...]]:
    parts: list[str] = []
    links: list[Link] = []
    opened: list[tuple[str, int]] = []
    struck = 0
    shift: Callable[[str], str] = str
    for child in children:
        if child.type == "s_open":
            struck += 1
        elif child.type == "s_close":
            struck -= 1
        elif struck:
            continue
        elif child.type == "text":
            parts.append(shift(SIGNS.sub("", child.content)))
        elif child.type in ("code_inline", "formula"):
            parts.append(shift(child.content))
        elif child.type == "html_inline":
            shift = SHIFTED.get(child.content.lower(), str)
        elif child.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        elif child.type == "link_open":
            opened.append((str(child.attrGet("href") or ""), len(parts)))
        elif child.type == "link_close" and opened:
            address, first = opened.pop()
            text = clean("".join(parts[first:]))
            if text and address.startswith(("http://", "https://")):
                links.append(Link(text, address))
    return "".join(parts), tuple(links)
