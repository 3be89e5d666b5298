"""Print into pieces: rows of pages, as they were set, become headings, paragraphs, lists, tables, notes and code.

Pure. What a row is, its type tells before its words: how large and how heavy it is, how far it stands from the row
before, where its parts begin.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from tasks.documents.blocks import Dropped, Kind, Piece, clean
from tasks.documents.plain import ITEM, NUMBERED

EDGE_ROWS = 2  # a running head or foot is among the first or last two rows of its page
REPEATS_SHARE = 0.5  # of the pages (and at least three) carry the same row, but for its digits
ENDS = re.compile(r"[.!?…。！？:;]['\"”’»)\]]*[⁰¹²³⁴-⁹]*$")
HYPHENATED = re.compile(r"(?<=[^\W\d_])[-\u00ad\u2010]$")
NUMBER_CUT = re.compile(r"\d[-\u2010]$")
SECTION = re.compile(r"^\d{1,2}(?:\.\d{1,2})*\.?\s+[A-ZÀ-Þ]\S*(?:\s+\S+){0,8}$")
MARKED = re.compile(r"^(?:[⁰¹²³⁴-⁹]{1,3}|[*†‡]|\d{1,2}\.?(?=\s))\s?\S")  # as notes at the foot of a page begin
PAGE_ADDRESS = re.compile(r"(?:https?|file)://\S+(?:\s+\d{1,4}/\d{1,4})?")
PRINTED = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{2,4},? \d{1,2}:\d{2}(?:\s?[AP]M)?\b.*|\d{1,4}/\d{1,4}", re.IGNORECASE)
"""What browsers print around a page: its address, and beside that when it was printed, and how many pages there are."""
SHORT_SHARE = 0.75  # a row shorter than this share of its page's widest ends a paragraph, where it ends a sentence
LARGER, SMALLER = 1.08, 0.92  # than the type of the text, for headings and notes
MOST_LEADING = 2.0  # of the size of the type: what is further apart is no paragraph
APART = 1.35  # of the usual distance between rows: a paragraph has ended
INDENT_PT = 6.0
ALIGNED_PT = 1.0
HEADING_CHARACTERS, LARGE_HEADING_CHARACTERS = 80, 200
CELL_CHARACTERS = 30
MOST_LEVELS = 6
NO_NUMBERS = -1_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a page as it was set; measures are in points, 0 where nobody knows them."""

    text: str
    size_pt: float = 0.0
    bold: bool = False
    typewriter: bool = False
    x_pt: float = 0.0
    y_pt: float = 0.0  # of the baseline, upwards
    cells: tuple[tuple[float, str], ...] = ()  # where its parts begin, and what they say


@dataclass(slots=True)
class _Open:
    """A piece that further rows may belong to."""

    kind: Kind
    page: int
    rows: list[Row] = field(default_factory=list)
    level: int = 0


def pieces(pages: Sequence[Sequence[Row]]) -> Iterator[Piece | Dropped]:
    """Pieces of all pages; a paragraph that runs over the end of a page is one."""
    return _Setter(pages).pieces()


class _Setter:
    def __init__(self, pages: Sequence[Sequence[Row]]) -> None:
        self._pages = pages
        rows = [row for page in pages for row in page if row.text]
        letters: Counter[float] = Counter()
        for row in rows:
            letters[row.size_pt] += len(row.text)
        self._body_pt = letters.most_common(1)[0][0] if letters else 0.0
        self._typewritten = sum(row.typewriter for row in rows) > len(rows) / 2
        sizes = sorted({row.size_pt for row in rows if self._is_large(row)}, reverse=True)[: MOST_LEVELS - 1]
        self._levels = {size: level for level, size in enumerate(sizes, 1)}
        gaps = [a.y_pt - b.y_pt for page in pages for a, b in pairwise(page) if self._is_text(a) and self._is_text(b)]
        within = [gap for gap in gaps if 0 < gap <= MOST_LEADING * self._body_pt]
        self._leading_pt = median(within) if within else 0.0
        self._running = _running(pages)
        self._offset = _offset(pages)
        self._heads = _heads(pages, self._offset)
        self._open: _Open | None = None

    def pieces(self) -> Iterator[Piece | Dropped]:
        for number, page in enumerate(self._pages, 1):
            filled = [at for at, row in enumerate(page) if row.text]
            if not filled:
                yield Dropped("picture", "There is no text on this page.", "", f"page {number}")
                continue
            edges = {*filled[:EDGE_ROWS], *filled[-EDGE_ROWS:]}
            printed = any(PAGE_ADDRESS.fullmatch(clean(page[at].text)) for at in edges)
            widest = max(len(page[at].text) for at in filled)
            left_pt = Counter(round(page[at].x_pt) for at in filled).most_common(1)[0][0]
            tabular = _tabular(page)
            before: Row | None = None
            for at, row in enumerate(page):
                if not row.text:
                    if self._open and self._open.kind is Kind.BODY and ENDS.search(self._open.rows[-1].text):
                        yield from self._close()
                    continue
                if at in edges and printed and _is_printed(row.text):
                    yield Dropped(
                        "running head", "A browser has printed it beside the page.", row.text, f"page {number}"
                    )
                    continue
                beside = _beside(row.text, number + self._offset)
                if at in edges and (_bare(row.text) in self._running or beside in self._heads):
                    yield Dropped("running head", "The same line stands on most pages.", row.text, f"page {number}")
                    continue
                kind, level = self._kind(page, at, tabular)
                if self._open and not self._goes_on(kind, level, row, before, left_pt):
                    yield from self._close()
                if self._open is None:
                    self._open = _Open(kind, number, level=level)
                self._open.rows.append(row)
                before = row
                if kind in (Kind.BODY, Kind.LIST) and len(row.text) < SHORT_SHARE * widest and ENDS.search(row.text):
                    yield from self._close()
        yield from self._close()

    def _kind(self, page: Sequence[Row], at: int, tabular: frozenset[int]) -> tuple[Kind, int]:
        row = page[at]
        if row.typewriter and not self._typewritten:
            return Kind.CODE, 0
        if at in tabular:
            return Kind.TABLE, 0
        if self._is_large(row) and len(row.text) <= LARGE_HEADING_CHARACTERS and any(map(str.isalpha, row.text)):
            return Kind.HEADING, self._levels.get(row.size_pt, MOST_LEVELS)
        if 0 < row.size_pt < SMALLER * self._body_pt and (MARKED.match(row.text) or self._in(Kind.NOTE)):
            return Kind.NOTE, 0
        if _is_heading(page, at) or (row.bold and self._stands_alone(page, at)):
            return Kind.HEADING, min(len(self._levels) + (1 if NUMBERED.match(row.text) else 2), MOST_LEVELS)
        if ITEM.match(row.text):
            return Kind.LIST, 0
        return (Kind.LIST if self._in(Kind.LIST) else Kind.BODY), 0

    def _in(self, kind: Kind) -> bool:
        return self._open is not None and self._open.kind is kind

    def _goes_on(self, kind: Kind, level: int, row: Row, before: Row | None, left_pt: float) -> bool:
        """Whether a row belongs to the piece that is open."""
        assert self._open is not None
        last = self._open.rows[-1]
        if kind is not self._open.kind or level != self._open.level:
            return False
        if kind in (Kind.CODE, Kind.TABLE):
            return True
        if ITEM.match(row.text) and kind is Kind.LIST:
            return False
        apart = before is not None and self._is_apart(before, row)
        if kind is Kind.HEADING:
            return not apart and row.size_pt > 0 and row.size_pt == last.size_pt and before is not None
        if kind is Kind.NOTE:
            return not MARKED.match(row.text)
        if not ENDS.search(last.text) and row.text[:1].islower():
            return True  # a figure, or the end of a page, stands in a sentence
        indented = kind is Kind.BODY and row.x_pt - left_pt > INDENT_PT > abs(last.x_pt - left_pt)
        return not apart and not (indented and ENDS.search(last.text))

    def _is_apart(self, before: Row, row: Row) -> bool:
        return 0 < self._leading_pt * APART * max(1.0, row.size_pt / (self._body_pt or 1)) < before.y_pt - row.y_pt

    def _is_large(self, row: Row) -> bool:
        return row.size_pt > LARGER * self._body_pt > 0 and not row.typewriter

    def _is_text(self, row: Row) -> bool:
        return row.size_pt == self._body_pt

    def _stands_alone(self, page: Sequence[Row], at: int) -> bool:
        """Whether a heavy row is short, and apart from what is before it."""
        row = page[at]
        if len(row.text) > HEADING_CHARACTERS or ENDS.search(row.text) or not self._is_text(row):
            return False
        return at == 0 or (self._is_apart(page[at - 1], row) and not page[at - 1].bold)

    def _close(self) -> Iterator[Piece]:
        done, self._open = self._open, None
        if done is None:
            return
        place = f"page {done.page}"
        if done.kind is Kind.TABLE:
            text = "\n".join(" | ".join(cell.strip() for _, cell in row.cells) for row in done.rows)
        elif done.kind is Kind.CODE:
            text = "\n".join(row.text for row in done.rows)
        else:
            text = _joined([row.text for row in done.rows])
        if done.kind is Kind.LIST:
            text = ITEM.sub("", text, count=1)
        yield Piece(done.kind, text, place, done.level)


def _bare(text: str) -> str:
    return re.sub(r"\d+", "0", text).casefold()


def _is_printed(text: str) -> bool:
    return any(pattern.fullmatch(clean(text)) for pattern in (PAGE_ADDRESS, PRINTED))


def _running(pages: Sequence[Sequence[Row]]) -> frozenset[str]:
    """Rows at the edges of pages that most pages share, but for their digits."""
    seen: Counter[str] = Counter()
    for page in pages:
        seen.update({_bare(text) for text in _edges(page)})
    most = max(3, REPEATS_SHARE * len(pages))
    return frozenset(text for text, times in seen.items() if times >= most)


def _numbers(text: str) -> frozenset[int]:
    """Numbers that a row begins or ends with, as running heads do with that of their page."""
    found = re.findall(r"^\d{1,4}(?=\D|$)|(?:^|(?<=\D))\d{1,4}$", text)
    return frozenset(map(int, found))


def _offset(pages: Sequence[Sequence[Row]]) -> int:
    """By how much the numbers that pages carry are off from where they are in the file."""
    seen: Counter[int] = Counter()
    for number, page in enumerate(pages, 1):
        seen.update({n - number for text in _edges(page) for n in _numbers(text)})
    offset, times = seen.most_common(1)[0] if seen else (0, 0)
    return offset if times >= max(3, REPEATS_SHARE * len(pages)) else NO_NUMBERS


def _heads(pages: Sequence[Sequence[Row]], offset: int) -> frozenset[str]:
    """What stands beside the numbers of pages: nothing, or what stands there on another page too. A row that begins or
    ends with the number of its page is else a sentence with a number in it."""
    seen: Counter[str | None] = Counter()
    for number, page in enumerate(pages, offset + 1):
        seen.update({_beside(text, number) for text in _edges(page)})
    return frozenset(head for head, times in seen.items() if head is not None and (times > 1 or not head))


def _beside(text: str, number: int) -> str | None:
    """What a row says beside a number that it begins or ends with; ``None`` where it has not that number there."""
    for there in (rf"^\W*{number}(?=\D|$)", rf"(?:^|(?<=\D)){number}\W*$"):
        rest, found = re.subn(there, "", text)
        if found:
            return _bare(re.sub(r"^\W+|\W+$", "", rest))
    return None


def _edges(page: Sequence[Row]) -> frozenset[str]:
    filled = [row.text for row in page if row.text]
    return frozenset([*filled[:EDGE_ROWS], *filled[-EDGE_ROWS:]])


def _is_heading(page: Sequence[Row], at: int) -> bool:
    """Whether a row is one by its words: in capitals, or numbered; what is numbered beside others is a list."""
    text = page[at].text
    if len(text) > HEADING_CHARACTERS or ENDS.search(text):
        return False
    letters = [c for c in text if c.isalpha()]
    shouted = len(letters) > 3 and all(c.isupper() for c in letters)
    beside = any(SECTION.match(page[n].text) for n in (at - 1, at + 1) if 0 <= n < len(page))
    return shouted or NUMBERED.match(text) is not None or (SECTION.match(text) is not None and not beside)


def _tabular(page: Sequence[Row]) -> frozenset[int]:
    """Rows of tables: of several parts that begin below those of the row before, and that are no sentences."""
    found: set[int] = set()
    for at, (upper, lower) in enumerate(pairwise(page)):
        if _may_be_cells(upper) and _may_be_cells(lower):
            columns = [x for x, _ in upper.cells[1:]]
            if any(abs(x - column) <= ALIGNED_PT for x, _ in lower.cells[1:] for column in columns):
                found |= {at, at + 1}
    return frozenset(found)


def _may_be_cells(row: Row) -> bool:
    short = all(len(text.strip()) <= CELL_CHARACTERS for _, text in row.cells)
    return len(row.cells) > 1 and short and not ITEM.match(row.text) and not ENDS.search(row.text)


def _joined(rows: Sequence[str]) -> str:
    """Rows as one text; a word parted at the end of a row is whole again."""
    text = ""
    for row in rows:
        if HYPHENATED.search(text) and row[:1].islower():
            text = text[:-1] + row
        elif NUMBER_CUT.search(text) and row[:1].isdigit():
            text += row
        else:
            text = f"{text} {row}" if text else row
    return text
