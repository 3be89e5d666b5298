"""EPUB 2 and 3: the chapters of the spine in reading order, notes and navigation apart."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from speechmill.errors import LimitExceeded, UnreadableDocument
from tasks.documents.archives import Archive, opened, parse_xml
from tasks.documents.blocks import Dropped, Kind, Piece
from tasks.documents.elements import attribute, local
from tasks.documents.markup import inline, pieces
from tasks.documents.notes import targets

CONTAINER = "META-INF/container.xml"
ENCRYPTION = "META-INF/encryption.xml"
CONTENT_TYPES = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml"})
FONT_OBFUSCATION = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
MOST_CHAPTERS = 3_000


def read(path: Path) -> tuple[list[Piece | Dropped], dict[str, str]]:
    """The pieces of a book and its metadata (title, author, language, date, description)."""
    with opened(path) as archive:
        if CONTAINER not in archive.members:
            raise UnreadableDocument(f"{path.name} is no EPUB", hint="give an EPUB, DOCX, PDF, HTML or text file")
        _refuse_protected(archive, path.name)
        root = archive.xml(CONTAINER)
        package = next((attribute(e, "full-path") for e in root.iter() if local(e) == "rootfile"), "")
        book = archive.xml(package)
        spine = list(_spine(book, package, path.name))
        chapters = {member: archive.read(member) for member, _ in spine if member in archive.members}
        notes = frozenset().union(*(targets(parse_xml(data, member)) for member, data in chapters.items()))
        found: list[Piece | Dropped] = []
        for number, (member, linear) in enumerate(spine, 1):
            place = f"part {number} ({posixpath.basename(member)})"
            if member not in chapters:
                found.append(Dropped("chapter", "It is missing from the file.", member, place))
                continue
            root = parse_xml(chapters[member], f"{path.name} ({member})")
            body = next((e for e in root.iter() if local(e) == "body"), None)
            if body is None:
                continue
            if not linear:
                found.append(Dropped("chapter", "The book keeps it apart from its text.", inline(body).text, place))
                continue
            found.extend(pieces(body, place, notes))
        return [_unmarked(piece) for piece in found], _metadata(book)


def _refuse_protected(archive: Archive, name: str) -> None:
    if ENCRYPTION not in archive.members:
        return
    methods = [
        attribute(element, "algorithm")
        for element in archive.xml(ENCRYPTION).iter()
        if local(element) == "encryptionmethod"
    ]
    if any(not method.startswith(FONT_OBFUSCATION) for method in methods):
        raise UnreadableDocument(f"{name} is protected (DRM)", hint="give a book without copy protection")


def _spine(book: Any, package: str, name: str) -> Iterator[tuple[str, bool]]:
    """Members of the chapters in reading order, and whether each belongs to the text."""
    folder = posixpath.dirname(package)
    items = {
        attribute(e, "id"): (attribute(e, "href"), attribute(e, "properties"))
        for e in book.iter()
        if local(e) == "item" and attribute(e, "media-type") in CONTENT_TYPES
    }
    references = [e for e in book.iter() if local(e) == "itemref"]
    if len(references) > MOST_CHAPTERS:
        raise LimitExceeded(f"{name} has {len(references)} chapters", hint="check where the file comes from")
    for reference in references:
        href, properties = items.get(attribute(reference, "idref"), ("", ""))
        if href and "nav" not in properties.split():
            yield posixpath.normpath(posixpath.join(folder, unquote(href))), attribute(reference, "linear") != "no"


def _metadata(book: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    names = {
        "title": "title",
        "creator": "author",
        "language": "language",
        "date": "date",
        "description": "description",
    }
    for element in book.iter():
        name = names.get(local(element))
        if name and "purl.org/dc/" in str(element.tag):
            text = inline(element).text
            if text:
                found.setdefault(name, text)
    return found


def _unmarked(piece: Piece | Dropped) -> Piece | Dropped:
    """Page numbers and ornaments that stand alone are no text."""
    if isinstance(piece, Piece) and piece.kind == Kind.BODY and not any(c.isalpha() for c in piece.text):
        return Dropped("ornament", "There is no word in it.", piece.text, piece.place)
    return piece
