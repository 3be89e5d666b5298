"""PDF by pypdf: lines of pages into paragraphs; running heads and page numbers apart."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from speechmill.errors import LimitExceeded, UnreadableDocument
from tasks.documents.blocks import MOST_CHARACTERS, Dropped, Kind, Piece
from tasks.documents.plain import ITEM, NUMBERED

MOST_PAGES = 5_000
MOST_S = 120.0  # a thousand pages take about a minute
EDGE_LINES = 2  # a running head or foot is among the first or last two lines of its page
REPEATS_SHARE = 0.5  # of the pages (and at least three) carry the same line, but for its digits
FEWEST_CHARACTERS_A_PAGE = 15  # below this a page is a picture: scanned pages carry at most a stamp
ENDS = re.compile(r"[.!?…。！？:;]['\"”’»)\]]*$")
HYPHENATED = re.compile(r"(?<=[^\W\d_])[-\u00ad\u2010]$")
SHORT_SHARE = 0.75  # a line shorter than this share of its page's widest ends a paragraph, where it ends a sentence
HEADING_CHARACTERS = 80


def read(path: Path) -> tuple[list[Piece | Dropped], dict[str, str]]:
    """The pieces of a PDF and its metadata (title, author). Raises ``UnreadableDocument`` for what is encrypted,
    damaged, or has only pictures, and ``LimitExceeded``."""
    pages, metadata = _pages(path)
    letters = sum(len(line) for page in pages for line in page)
    if letters < FEWEST_CHARACTERS_A_PAGE * max(1, len(pages)):
        raise UnreadableDocument(
            f"{path.name} has only pictures of text on its {len(pages)} pages",
            hint="run it through text recognition first, for example with ocrmypdf",
        )
    return list(pieces(pages)), metadata


def _pages(path: Path) -> tuple[list[list[str]], dict[str, str]]:
    """The lines of every page."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns of every flaw that it mends
    try:
        with path.open("rb") as file:
            reader = PdfReader(file, strict=False)
            if reader.is_encrypted and not reader.decrypt(""):
                raise UnreadableDocument(f"{path.name} is encrypted", hint="save it without a password")
            if len(reader.pages) > MOST_PAGES:
                raise LimitExceeded(f"{path.name} has {len(reader.pages)} pages", hint=f"at most {MOST_PAGES} are read")
            return _texts(reader, path.name), _metadata(reader)
    except (UnreadableDocument, LimitExceeded):
        raise
    except (PyPdfError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, OSError) as error:
        # pypdf meets damage with whatever error the damage leads to
        cause = "needs the package `cryptography`" if "cryptography" in str(error) else "is cut off or damaged"
        raise UnreadableDocument(f"{path.name} {cause}", hint="save or download it again") from None


def _texts(reader: object, name: str) -> list[list[str]]:
    deadline = time.monotonic() + MOST_S
    pages: list[list[str]] = []
    characters = 0
    for page in reader.pages:  # type: ignore[attr-defined]
        text = page.extract_text() or ""
        characters += len(text)
        if characters > 2 * MOST_CHARACTERS:
            raise LimitExceeded(f"{name} has more text than a day of speech", hint="give a part of it")
        if time.monotonic() > deadline:
            raise LimitExceeded(f"{name} takes longer than {MOST_S:.0f} s to read", hint="give a part of it")
        pages.append([" ".join(line.split()) for line in text.split("\n")])
    return pages


def _metadata(reader: object) -> dict[str, str]:
    found: dict[str, str] = {}
    info = reader.metadata  # type: ignore[attr-defined]
    for name in ("title", "author"):
        value = getattr(info, name, None) if info is not None else None
        if isinstance(value, str) and value.strip() and not value.lower().endswith((".doc", ".docx", ".tex", ".indd")):
            found[name] = value.strip()
    return found


def pieces(pages: Sequence[Sequence[str]]) -> Iterator[Piece | Dropped]:
    """Paragraphs from the lines of pages; one that runs over the end of a page is one paragraph."""
    running = _running(pages)
    paragraph: list[str] = []
    began = 1
    for number, page in enumerate(pages, 1):
        if not any(page):
            yield Dropped("picture", "There is no text on this page.", "", f"page {number}")
            continue
        filled = [at for at, line in enumerate(page) if line]
        edges = {*filled[:EDGE_LINES], *filled[-EDGE_LINES:]}
        widest = max(len(page[at]) for at in filled)
        for at, line in enumerate(page):
            if at in edges and _bare(line) in running:
                yield Dropped("running head", "The same line stands on most pages.", line, f"page {number}")
                continue
            if not line:
                if paragraph and ENDS.search(paragraph[-1]):
                    yield _paragraph(paragraph, began)
                    paragraph = []
                continue
            if _is_heading(line) or ITEM.match(line):
                if paragraph:
                    yield _paragraph(paragraph, began)
                    paragraph = []
                if _is_heading(line):
                    yield Piece(Kind.HEADING, line, f"page {number}", 1 if NUMBERED.match(line) else 2)
                    continue
            if not paragraph:
                began = number
            paragraph.append(line)
            if len(line) < SHORT_SHARE * widest and ENDS.search(line):
                yield _paragraph(paragraph, began)
                paragraph = []
    if paragraph:
        yield _paragraph(paragraph, began)


def _bare(line: str) -> str:
    return re.sub(r"\d+", "0", line).casefold()


def _running(pages: Sequence[Sequence[str]]) -> frozenset[str]:
    """Lines at the edges of pages that most pages share, but for their digits."""
    seen: Counter[str] = Counter()
    for page in pages:
        filled = [line for line in page if line]
        seen.update({_bare(line) for line in [*filled[:EDGE_LINES], *filled[-EDGE_LINES:]]})
    most = max(3, REPEATS_SHARE * len(pages))
    return frozenset(line for line, times in seen.items() if times >= most)


def _is_heading(line: str) -> bool:
    if len(line) > HEADING_CHARACTERS or ENDS.search(line):
        return False
    letters = [c for c in line if c.isalpha()]
    shouted = len(letters) > 3 and all(c.isupper() for c in letters)
    numbered = re.match(r"^\d{1,2}(?:\.\d{1,2})*\.?\s+[A-ZÀ-Þ]\S*(?:\s+\S+){0,8}$", line) is not None
    return shouted or numbered or NUMBERED.match(line) is not None


def _paragraph(lines: Sequence[str], page: int) -> Piece:
    """Lines as one text; a word parted at the end of a line is whole again."""
    text = ""
    for line in lines:
        if HYPHENATED.search(text) and line[:1].islower():
            text = text[:-1] + line
        else:
            text = f"{text} {line}" if text else line
    kind = Kind.LIST if ITEM.match(text) else Kind.BODY
    return Piece(kind, ITEM.sub("", text, count=1) if kind == Kind.LIST else text, f"page {page}")
