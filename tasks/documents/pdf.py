"""PDF by pypdf: rows of pages, with how and where they are set."""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechmill.errors import LimitExceeded, UnreadableDocument
from tasks.documents.blocks import MOST_CHARACTERS, Dropped, Piece, lowered, raised
from tasks.documents.typeset import Row, pieces

MOST_PAGES = 5_000
MOST_S = 120.0  # a thousand pages take about a minute
FEWEST_CHARACTERS_A_PAGE = 15  # below this a page is a picture: scanned pages carry at most a stamp
BOLD = re.compile(r"bold|black|heavy|semibold|demi|CMBX|\bBd\b", re.IGNORECASE)
TYPEWRITER = re.compile(r"courier|mono|typewriter|consol|CMTT|menlo|code", re.IGNORECASE)
RAISED_SHARE = 0.2  # of a row's size: digits that stand so much higher, or lower, are raised, or lowered
ROW_SHARE = 0.6  # what is further off is another row, whatever the file says
SMALLER = 0.9  # and smaller


def read(path: Path) -> tuple[list[Piece | Dropped], dict[str, str]]:
    """The pieces of a PDF and its metadata (title, author). Raises ``UnreadableDocument`` for what is encrypted,
    damaged, or has only pictures, and ``LimitExceeded``."""
    pages, metadata = _pages(path)
    letters = sum(len(row.text) for page in pages for row in page)
    if letters < FEWEST_CHARACTERS_A_PAGE * max(1, len(pages)):
        raise UnreadableDocument(
            f"{path.name} has only pictures of text on its {len(pages)} pages",
            hint="run it through text recognition first, for example with ocrmypdf",
        )
    return list(pieces(pages)), metadata


def _pages(path: Path) -> tuple[list[list[Row]], dict[str, str]]:
    """The rows of every page."""
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
            return _rows_of_all(reader, path.name), _metadata(reader)
    except (UnreadableDocument, LimitExceeded):
        raise
    except (PyPdfError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError, OSError) as error:
        # pypdf meets damage with whatever error the damage leads to
        cause = "needs the package `cryptography`" if "cryptography" in str(error) else "is cut off or damaged"
        raise UnreadableDocument(f"{path.name} {cause}", hint="save or download it again") from None


def _rows_of_all(reader: Any, name: str) -> list[list[Row]]:
    deadline = time.monotonic() + MOST_S
    pages: list[list[Row]] = []
    characters = 0
    for page in reader.pages:
        rows = _rows(page)
        characters += sum(len(row.text) for row in rows)
        if characters > 2 * MOST_CHARACTERS:
            raise LimitExceeded(f"{name} has more text than a day of speech", hint="give a part of it")
        if time.monotonic() > deadline:
            raise LimitExceeded(f"{name} takes longer than {MOST_S:.0f} s to read", hint="give a part of it")
        pages.append(rows)
    return pages


@dataclass(frozen=True, slots=True)
class _Run:
    """Text that was set at once."""

    text: str
    x_pt: float
    y_pt: float
    size_pt: float
    font: str


def _rows(page: Any) -> list[Row]:
    """The rows of a page in the order of its file; an empty one where rows are far apart."""
    rows: list[list[_Run]] = [[]]

    def visit(text: str, current: list[float], matrix: list[float], font: Any, size: float) -> None:
        x = matrix[4] * current[0] + matrix[5] * current[2] + current[4]
        y = matrix[4] * current[1] + matrix[5] * current[3] + current[5]
        scale = math.hypot(matrix[2], matrix[3]) * math.hypot(current[2], current[3])
        for number, part in enumerate(text.split("\n")):
            if number:
                rows.append([])
            if part.strip() and rows[-1] and abs(rows[-1][-1].y_pt - y) > ROW_SHARE * size * scale:
                rows.append([])
            if part:
                rows[-1].append(_Run(part, x, y, round(size * scale, 1), str((font or {}).get("/BaseFont", ""))))

    page.extract_text(visitor_text=visit)
    return [_row(runs) for runs in rows]


def _row(runs: Sequence[_Run]) -> Row:
    """Runs of one row; digits that stand higher or lower than the rest are raised or lowered."""
    seen = [run for run in runs if run.text.strip()]
    if not seen:
        return Row("")
    main = max(seen, key=lambda run: len(run.text))
    text = "".join(_shifted(run, main) for run in runs)
    return Row(
        " ".join(text.split()),
        main.size_pt,
        all(BOLD.search(run.font) for run in seen),
        all(TYPEWRITER.search(run.font) for run in seen),
        seen[0].x_pt,
        main.y_pt,
        tuple((run.x_pt, run.text) for run in seen),
    )


def _shifted(run: _Run, main: _Run) -> str:
    off = run.y_pt - main.y_pt
    if run.size_pt >= SMALLER * main.size_pt or abs(off) < RAISED_SHARE * main.size_pt:
        return run.text
    return raised(run.text) if off > 0 else lowered(run.text)


def _metadata(reader: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    info = reader.metadata
    for name in ("title", "author"):
        value = getattr(info, name, None) if info is not None else None
        if isinstance(value, str) and value.strip() and not value.lower().endswith((".doc", ".docx", ".tex", ".indd")):
            found[name] = value.strip()
    return found
