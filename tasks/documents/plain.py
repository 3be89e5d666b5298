"""Plain text: paragraphs between empty lines. What stands alone and looks like a heading is one, and so is a short line
before all others that is no sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tasks.documents.blocks import Kind, Piece

UNDERLINE = re.compile(r"^\s*(=|-|~|\*|_)\1{2,}\s*$")
NUMBERED = re.compile(
    r"^\s*(?:chapter|part|section|kapitel|teil|capítulo|capitulo|chapitre|capitolo|第)\s*[\dIVXLC一二三四五六七八九十]+",
    re.IGNORECASE,
)
ITEM = re.compile(r"^\s*(?:[-*•·–]|\d{1,3}[.)])\s+")
QUOTED = re.compile(r"^\s*>\s?")
SEVERAL = 2  # items of a list; one dash at the beginning of a line is a dash
LONGEST_HEADING = 80
ENDS = tuple(".!?…。！？:;,：；，")


def pieces(text: str) -> Iterator[Piece]:
    """Pieces of a plain text, each with the line it begins on."""
    lines = text.split("\n")
    at = 0
    first = True
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        end = at
        while end < len(lines) and lines[end].strip():
            end += 1
        if first and end == at + 1 and _is_title(lines[at].strip()) and any(map(str.strip, lines[end:])):
            yield Piece(Kind.HEADING, lines[at], f"line {at + 1}", 1)
        else:
            yield from _paragraph(lines[at:end], at + 1)
        at, first = end, False


def _paragraph(lines: list[str], number: int) -> Iterator[Piece]:
    place = f"line {number}"
    if len(lines) == 2 and UNDERLINE.match(lines[1]):
        yield Piece(Kind.HEADING, lines[0], place, 1 if "=" in lines[1] else 2)
        return
    lines = [line for line in lines if not UNDERLINE.match(line)]
    if not lines:
        return
    if len(lines) == 1 and _is_heading(lines[0].strip()):
        yield Piece(Kind.HEADING, lines[0], place, 1 if NUMBERED.match(lines[0]) else 2)
        return
    if all(QUOTED.match(line) for line in lines):
        yield Piece(Kind.QUOTE, " ".join(QUOTED.sub("", line) for line in lines), place)
        return
    if ITEM.match(lines[0]):
        item: list[str] = []
        began = number
        for offset, line in enumerate(lines):
            if ITEM.match(line) and item:
                yield Piece(Kind.LIST, " ".join(item), f"line {began}")
                item, began = [], number + offset
            item.append(ITEM.sub("", line) if ITEM.match(line) else line)
        yield Piece(Kind.LIST, " ".join(item), f"line {began}")
        return
    listed = next((at for at, line in enumerate(lines) if ITEM.match(line)), len(lines))
    if sum(map(bool, map(ITEM.match, lines))) >= SEVERAL:  # below the line that announces them
        yield Piece(Kind.BODY, " ".join(lines[:listed]), place)
        yield from _paragraph(lines[listed:], number + listed)
        return
    yield Piece(Kind.BODY, " ".join(lines), place)


def _is_title(line: str) -> bool:
    return len(line) <= LONGEST_HEADING and not line.endswith(ENDS) and not ITEM.match(line) and not QUOTED.match(line)


def _is_heading(line: str) -> bool:
    if len(line) > LONGEST_HEADING or line.endswith(ENDS):
        return False
    letters = [c for c in line if c.isalpha()]
    shouted = (
        len(letters) > 3
        and all(c.isupper() for c in letters if c.isupper() or c.islower())
        and any(c.isupper() for c in letters)
    )
    return bool(NUMBERED.match(line)) or shouted
