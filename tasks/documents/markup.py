"""HTML and XHTML elements as pieces, in reading order. What a browser would not show is left out, and told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tasks.documents.blocks import Dropped, Kind, Link, Piece, clean, lowered, raised
from tasks.documents.elements import attribute, is_hidden, local
from tasks.documents.notes import is_note, is_reference, targets

HEADINGS = {f"h{level}": level for level in range(1, 7)}
BLOCKS = frozenset(
    re.findall(
        r"\w+",
        """address article aside blockquote body center dd details div dl dt fieldset figcaption figure footer header
    hgroup hr html li main nav ol p pre section summary table tbody td tfoot th thead tr ul h1 h2 h3 h4 h5 h6 form""",
    )
)
SILENT = frozenset(
    re.findall(
        r"\w+",
        """script style template noscript iframe object embed svg canvas audio video map head title meta link button
    select textarea input datalist dialog rp rt""",
    )
)
AROUND = {"nav": "menu", "footer": "footer", "form": "form"}
ABOUT = re.compile(r"\b(?:copyright-page|colophon|index|toc|landmarks)\b")  # parts of books that are no text of theirs
NOTES = frozenset({"aside", "figcaption"})
SHIFTED = {"sup": raised, "sub": lowered}
VERSE = re.compile(r"\b(?:verse|poem|poetry)\b")  # in the class of what is set as it was typed
SEVERAL = 2  # paragraphs in one cell
DEEPEST = 200  # elements inside one another; pages of people have less than 60


@dataclass(slots=True)
class _Run:
    """Inline text being gathered."""

    parts: list[str] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)


def pieces(root: Any, place: str, led_to: frozenset[str] = frozenset()) -> Iterator[Piece | Dropped]:
    """The pieces of an element and all that is in it. ``led_to`` are ids of notes that marks elsewhere lead to."""
    yield from _Reader(place, led_to | targets(root)).walk(root, Kind.BODY, 0)


@dataclass(frozen=True, slots=True)
class _Reader:
    place: str
    notes: frozenset[str]  # ids that marks of notes lead to

    def walk(self, element: Any, kind: Kind, depth: int) -> Iterator[Piece | Dropped]:
        name = local(element)
        if not name or name in SILENT:
            return
        where = f"{self.place}, line {element.sourceline}" if element.sourceline else self.place
        if depth > DEEPEST:
            yield Dropped("markup", "It lies too deep inside other elements.", inline(element).text, where)
            return
        if is_hidden(element):
            yield from _dropped(element, "hidden", "The page does not show it.", where)
            return
        if ABOUT.search(attribute(element, "type")):
            yield from _dropped(element, "apparatus", "It is about the book, and not its text.", where)
            return
        if name in AROUND:
            yield from _dropped(element, AROUND[name], f"It is a {AROUND[name]}, not the text.", where)
            return
        if name in HEADINGS:
            found = inline(element)
            yield Piece(Kind.HEADING, found.text, where, HEADINGS[name], links=found.links)
            return
        if name == "pre" and not VERSE.search(attribute(element, "class").lower()):
            yield Piece(Kind.CODE, "".join(element.itertext()), where)
            return
        if name == "table" and not _is_layout(element):
            yield Piece(Kind.TABLE, _table(element), where)
            return
        if name in NOTES or (name != "body" and is_note(element, self.notes)):
            kind = Kind.NOTE
        elif name in ("li", "dd", "dt") and kind == Kind.BODY:
            kind = Kind.LIST
        elif name == "blockquote" and kind == Kind.BODY:
            kind = Kind.QUOTE
        yield from self._content(element, where, kind, depth)

    def _content(self, element: Any, where: str, kind: Kind, depth: int) -> Iterator[Piece | Dropped]:
        """Text between block elements as pieces of ``kind``, and the block elements themselves."""
        run = _Run()
        if element.text:
            run.parts.append(element.text)
        for child in element:
            name = local(child)
            if name in BLOCKS or (name not in SILENT and name and _has_blocks(child)):
                yield from _flush(run, kind, where)
                run = _Run()
                yield from self.walk(child, kind, depth + 1)
            elif name == "img":
                if attribute(child, "alt"):
                    yield Dropped("picture", "Pictures are not described.", attribute(child, "alt"), where)
            elif name and is_hidden(child):
                yield from _dropped(child, "hidden", "The page does not show it.", where)
            else:
                _gather(child, run)
            if child.tail:
                run.parts.append(child.tail)
        yield from _flush(run, kind, where)


def _dropped(element: Any, what: str, why: str, where: str) -> Iterator[Dropped]:
    text = inline(element).text
    if text:
        yield Dropped(what, why, text, where)


def _has_blocks(element: Any) -> bool:
    return any(local(inner) in BLOCKS for inner in element.iterdescendants())


def _flush(run: _Run, kind: Kind, where: str) -> Iterator[Piece]:
    text = clean("".join(run.parts))
    if text:
        yield Piece(kind, text, where, links=tuple(run.links))


@dataclass(frozen=True, slots=True)
class Inline:
    text: str
    links: tuple[Link, ...]


def inline(element: Any) -> Inline:
    """The text of an element on one line, with the links in it."""
    run = _Run()
    if element.text:
        run.parts.append(element.text)
    for child in element:
        _gather(child, run)
        if child.tail:
            run.parts.append(child.tail)
    return Inline(clean("".join(run.parts)), tuple(run.links))


def _gather(element: Any, run: _Run) -> None:
    name = local(element)
    if not name or name in SILENT or is_hidden(element) or is_reference(element):
        return
    if name == "br":
        run.parts.append(" ")
        return
    inside = _Run()
    if element.text:
        inside.parts.append(element.text)
    for child in element:
        _gather(child, inside)
        if child.tail:
            inside.parts.append(child.tail)
    text = "".join(inside.parts)
    if name in SHIFTED:
        text = SHIFTED[name](text)
    if name in BLOCKS:
        text = f" {text} "
    run.parts.append(text)
    run.links.extend(inside.links)
    address = attribute(element, "href")
    if name == "a" and address and not address.startswith(("#", "javascript:", "mailto:", "data:")) and clean(text):
        run.links.append(Link(clean(text), address))


def _is_layout(table: Any) -> bool:
    """Whether a table only says where its text stands, as in most newsletters: it says so, nothing stands beside
    anything else in it, or a cell holds what figures have no need of."""
    if attribute(table, "role") in ("presentation", "none"):
        return True
    if any(local(inner) == "caption" for inner in table):
        return False
    cells = [[cell for cell in row if local(cell) in ("td", "th")] for row in _own(table, "tr")]
    if any(local(cell) == "th" for row in cells for cell in row):
        return False
    beside = any(sum(bool(inline(cell).text) for cell in row) > 1 for row in cells)
    return not beside or any(_holds_text(cell) for row in cells for cell in row)


def _own(table: Any, name: str) -> Iterator[Any]:
    """The elements of a table by a name, but for those of tables in it."""
    for child in table:
        if local(child) == name:
            yield child
        elif local(child) in ("tbody", "thead", "tfoot"):
            yield from _own(child, name)


def _holds_text(cell: Any) -> bool:
    names = [local(inner) for inner in cell.iterdescendants()]
    return "table" in names or any(name in HEADINGS for name in names) or names.count("p") >= SEVERAL


def _table(element: Any) -> str:
    rows = [row for row in element.iterdescendants() if local(row) == "tr"]
    cells = [[inline(cell).text for cell in row if local(cell) in ("td", "th")] for row in rows]
    return "\n".join(" | ".join(row) for row in cells if any(row))
