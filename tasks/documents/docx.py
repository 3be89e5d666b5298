"""DOCX (Office Open XML, ISO/IEC 29500): paragraphs with their styles; tables and notes apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speechmill.errors import UnreadableDocument
from tasks.documents.archives import Archive, opened
from tasks.documents.blocks import Dropped, Kind, Link, Piece, clean, lowered, raised
from tasks.documents.elements import attribute, local

DOCUMENT = "word/document.xml"
STYLES = "word/styles.xml"
RELATIONS = "word/_rels/document.xml.rels"
NOTES = {"word/footnotes.xml": "footnote", "word/endnotes.xml": "endnote"}
HEADING = re.compile(r"heading\s*(\d)", re.IGNORECASE)
SHIFTED = {"superscript": raised, "subscript": lowered}
UNREAD = frozenset({"del", "movefrom", "txbxcontent", "fallback"})
"""What is in a paragraph and not of its text: what was taken out of it or moved elsewhere, boxes, and their doubles."""
WORDLESS_NOTES = frozenset({"separator", "continuationSeparator", "continuationNotice"})


def read(path: Path) -> tuple[list[Piece | Dropped], dict[str, str]]:
    """The pieces of a document and its metadata (title, author, language)."""
    with opened(path) as archive:
        if DOCUMENT not in archive.members:
            raise UnreadableDocument(f"{path.name} is no DOCX", hint="give an EPUB, DOCX, PDF, HTML or text file")
        styles, language = _styles(archive)
        links = _addresses(archive)
        body = next((e for e in archive.xml(DOCUMENT) if local(e) == "body"), None)
        found: list[Piece | Dropped] = [] if body is None else list(_body(body, styles, links))
        for member, name in NOTES.items():
            if member in archive.members:
                found.extend(_notes(archive.xml(member), name))
        metadata = _core(archive)
        if language:
            metadata.setdefault("language", language)
        return found, metadata


def _body(body: Any, styles: dict[str, str], links: dict[str, str]) -> Iterator[Piece | Dropped]:
    number = 0
    for element in body.iter():
        name = local(element)
        if name == "tbl" and not _is_frame(element) and not _in_table(element, body):
            number += 1
            yield Piece(Kind.TABLE, _table(element), f"paragraph {number}")
        elif name == "txbxcontent" and not _inside(element, body, "fallback"):
            text = clean(" ".join("".join(_texts(p)) for p in element.iter() if local(p) == "p"))
            if text:
                yield Dropped("box", "It stands in a box beside the text.", text, f"paragraph {number}")
        elif name == "p" and not _in_table(element, body) and not _inside(element, body, "txbxcontent"):
            number += 1
            text, found, hidden = _paragraph(element, links)
            if hidden:
                yield Dropped("hidden", "The document does not show it.", hidden, f"paragraph {number}")
            kind, level = _kind(element, styles)
            if text:
                yield Piece(kind, text, f"paragraph {number}", level, links=found)


def _inside(element: Any, body: Any, *names: str) -> bool:
    parent = element.getparent()
    while parent is not None and parent is not body:
        if local(parent) in names:
            return True
        parent = parent.getparent()
    return False


def _in_table(element: Any, body: Any) -> bool:
    """Whether it is in a table of figures; what a frame holds is text."""
    parent = element.getparent()
    while parent is not None and parent is not body:
        if local(parent) == "tbl" and not _is_frame(parent):
            return True
        parent = parent.getparent()
    return False


def _is_frame(table: Any) -> bool:
    """Whether nothing stands beside anything else in a table: it only draws a frame around its text."""
    return all(sum(local(cell) == "tc" for cell in row) <= 1 for row in table.iterdescendants() if local(row) == "tr")


def _within(element: Any) -> Iterator[Any]:
    """The elements of a paragraph that are of its text."""
    for child in element:
        if local(child) not in UNREAD:
            yield child
            yield from _within(child)


def _texts(paragraph: Any) -> Iterator[str]:
    return (e.text or "" for e in _within(paragraph) if local(e) == "t")


def _paragraph(paragraph: Any, links: dict[str, str]) -> tuple[str, tuple[Link, ...], str]:
    """Text, links, and text that is formatted as hidden."""
    shown: list[str] = []
    hidden: list[str] = []
    found: list[Link] = []
    for run in _within(paragraph):
        name = local(run)
        if name == "hyperlink":
            address = links.get(attribute(run, "id"), "")
            text = clean("".join(_texts(run)))
            if address.startswith(("http://", "https://")) and text:
                found.append(Link(text, address))
        if name != "r":
            continue
        properties = {local(e): e for p in run if local(p) == "rpr" for e in p}
        into = hidden if "vanish" in properties else shown
        shift = SHIFTED.get(attribute(properties["vertalign"], "val") if "vertalign" in properties else "", str)
        for part in run:
            if local(part) == "t":
                into.append(shift(part.text or ""))
            elif local(part) in ("tab", "br", "cr"):
                into.append(" ")
            elif local(part) == "nobreakhyphen":
                into.append("-")
    return clean("".join(shown)), tuple(found), clean("".join(hidden))


def _kind(paragraph: Any, styles: dict[str, str]) -> tuple[Kind, int]:
    properties = next((e for e in paragraph if local(e) == "ppr"), None)
    if properties is None:
        return Kind.BODY, 0
    inside = {local(e): e for e in properties}
    style = (
        styles.get(attribute(inside["pstyle"], "val"), attribute(inside["pstyle"], "val")) if "pstyle" in inside else ""
    )
    outline = attribute(inside["outlinelvl"], "val") if "outlinelvl" in inside else ""
    match = HEADING.search(style)
    if match:
        return Kind.HEADING, int(match[1])
    if style.casefold() == "title":
        return Kind.HEADING, 1
    if outline.isdecimal() and int(outline) < 9:
        return Kind.HEADING, int(outline) + 1
    if "quote" in style.casefold():
        return Kind.QUOTE, 0
    if style.casefold().startswith(("caption", "footnote", "endnote", "toc", "header", "footer")):
        return Kind.NOTE, 0
    if "numpr" in inside or style.casefold().startswith("list"):
        return Kind.LIST, 0
    return Kind.BODY, 0


def _table(table: Any) -> str:
    rows = [row for row in table.iterdescendants() if local(row) == "tr"]
    return "\n".join(
        " | ".join(
            clean("".join(e.text or "" for e in cell.iter() if local(e) == "t")) for cell in row if local(cell) == "tc"
        )
        for row in rows
    )


def _notes(root: Any, name: str) -> Iterator[Piece]:
    for note in root:
        if attribute(note, "type") in WORDLESS_NOTES:
            continue
        text = clean(
            " ".join("".join(e.text or "" for e in p.iter() if local(e) == "t") for p in note.iter() if local(p) == "p")
        )
        if text:
            yield Piece(Kind.NOTE, text, f"{name} {attribute(note, 'id')}")


def _styles(archive: Archive) -> tuple[dict[str, str], str]:
    """Names of styles by their id (ids are translated, names are not), and the language of the document."""
    if STYLES not in archive.members:
        return {}, ""
    root = archive.xml(STYLES)
    names: dict[str, str] = {}
    for style in root.iter():
        if local(style) == "style":
            name = next((attribute(e, "val") for e in style if local(e) == "name"), "")
            names[attribute(style, "styleid")] = name
    defaults = next((e for e in root if local(e) == "docdefaults"), None)
    languages = [] if defaults is None else [attribute(e, "val") for e in defaults.iter() if local(e) == "lang"]
    return names, next(filter(None, languages), "")


def _addresses(archive: Archive) -> dict[str, str]:
    if RELATIONS not in archive.members:
        return {}
    return {attribute(e, "id"): attribute(e, "target") for e in archive.xml(RELATIONS)}


def _core(archive: Archive) -> dict[str, str]:
    if "docProps/core.xml" not in archive.members:
        return {}
    names = {
        "title": "title",
        "creator": "author",
        "language": "language",
        "created": "date",
        "description": "description",
    }
    found: dict[str, str] = {}
    for element in archive.xml("docProps/core.xml"):
        name, text = names.get(local(element)), clean(element.text or "")
        if name and text:
            found[name] = text
    return found
