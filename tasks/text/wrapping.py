"""Where a text is best broken: into pages of a few lines, and lines of so many characters. Nothing is ever left out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

SENTENCE_END = re.compile(r"[.!?…。！？।؟]['\"”’»)\]」』]*$")
CLAUSE_END = re.compile(r"[,;:，；：、،–—]['\"”’»)\]」』]*$")
NO_BREAK_SPACE, WORD_JOINER = "\u00a0", "\u2060"
WORD = re.compile(rf"\S+(?:[{NO_BREAK_SPACE}\u202f]\S+)*")
NOT_AT_START = frozenset("。，、；：？！）」』】》〉”’…·ー々ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ%‰℃)]!?,.:;")
NOT_AT_END = frozenset(f"（「『【《〈“‘¥$£#([{WORD_JOINER}")
ATOM = re.compile(r"[^\W\u0e00-\u9fff\uac00-\ud7af]+(?:[.'’-][^\W\u0e00-\u9fff\uac00-\ud7af]+)*|\S")
# Conjunctions and prepositions of the languages dubbed most: a line is better broken before one than after it.
JOINING = frozenset(
    [
        *("and", "or", "but", "because", "that", "which", "who", "when", "if", "to", "of", "in", "on", "with", "for"),
        *("y", "o", "pero", "porque", "que", "cuando", "si", "de", "en", "con", "para", "por", "a", "como"),
        *("et", "ou", "mais", "parce", "qui", "quand", "dans", "avec", "pour", "sur", "à"),
        *("und", "oder", "aber", "weil", "dass", "wenn", "von", "mit", "für", "auf", "zu"),
        *("e", "ma", "perché", "che", "quando", "di", "per", "mas", "em", "com"),
    ]
)
ARTICLES = frozenset(
    [
        *(
            "the",
            "a",
            "an",
            "el",
            "la",
            "los",
            "las",
            "un",
            "una",
            "le",
            "les",
            "une",
            "der",
            "die",
            "das",
            "il",
            "os",
            "as",
        )
    ]
)

AFTER_SENTENCE, AFTER_CLAUSE, BEFORE_JOINING, ANYWHERE, AFTER_ARTICLE, INSIDE_WORD = 0.0, 0.1, 0.3, 0.6, 1.5, 2.0
"""How bad a break is. One page or line less than needed is worth more than any of them (``ONE_MORE``)."""
ONE_MORE = 1000.0
LINE_BREAK, PAGE_BREAK = 1.0, 3.0  # how much places count against evenness: a page breaks where a speaker breathes


@dataclass(frozen=True, slots=True)
class Atom:
    """What is never broken."""

    text: str
    spaced: bool  # a space stands before it, where it is not the first of its line
    inside: bool = False  # it goes on a word that is too wide for a line


def width(text: str) -> int:
    """Characters that take room: marks that combine with the one before them do not."""
    if text.isascii():
        return len(text)
    return sum(1 for character in text if unicodedata.category(character) not in ("Mn", "Me", "Cf"))


def atoms(text: str, most: int, *, unspaced: bool) -> tuple[Atom, ...]:
    """Words; in languages without spaces single characters, with the marks that may not part from them. A no-break
    space does not part words, nor a word joiner characters."""
    found: list[Atom] = []
    for word in text.split() if unspaced else _words(text, most):
        pieces = _characters(word) if unspaced else [word]
        for n, piece in enumerate(pieces):
            cut = _cut(piece, most)
            found.extend(Atom(part, spaced=n == m == 0, inside=m > 0) for m, part in enumerate(cut))
    return tuple(found)


def _words(text: str, most: int) -> Iterator[str]:
    """Words, and those that no-break spaces hold together, as long as they have room in a line."""
    for word in WORD.findall(text):
        yield from [word] if width(word) <= most else word.split()


def pages(text: str, most: int, lines: int, *, at_least: int = 1, unspaced: bool = False) -> list[tuple[str, ...]]:
    """A text as pages of at most ``lines`` lines of at most ``most`` characters: as few as possible, but about
    ``at_least``, broken where a reader would pause and as even as that allows."""
    units = atoms(text, most, unspaced=unspaced)
    ruler = _Ruler(units)
    whole = ruler.width(0, len(units))
    fewest = -(-whole // (most * lines))
    needed = max(at_least, fewest)
    room = most * lines if at_least <= fewest else min(most * lines, -(-whole // at_least) + most // 2)

    def fits(first: int, end: int) -> bool:
        return end - first == 1 or (ruler.width(first, end) <= room and ruler.lines(first, end, most) <= lines)

    return [_broken(units[a:b], most) for a, b in _partition(units, ruler, fits, whole / needed, PAGE_BREAK)]


def join(units: Sequence[Atom]) -> str:
    """The text of consecutive atoms."""
    return "".join((" " if unit.spaced and n else "") + unit.text for n, unit in enumerate(units))


class _Ruler:
    """How wide runs of atoms are, by running sums: a long text is measured once, not once for every way to break it."""

    def __init__(self, units: Sequence[Atom]) -> None:
        self._spaces = [int(unit.spaced) for unit in units]
        self._wide = [width(unit.text) for unit in units]
        self._until = [0]
        for space, wide in zip(self._spaces, self._wide, strict=True):
            self._until.append(self._until[-1] + space + wide)

    def width(self, first: int, end: int) -> int:
        """Of ``join(units[first:end])``."""
        return self._until[end] - self._until[first] - self._spaces[first] if end > first else 0

    def lines(self, first: int, end: int, most: int) -> int:
        """How many lines of at most ``most`` characters they need."""
        count, used = 1, 0
        for at in range(first, end):
            wide, space = self._wide[at], self._spaces[at]
            if used and used + space + wide > most:
                count, used = count + 1, wide
            else:
                used += wide + (space if used else 0)
        return count


def _broken(page: Sequence[Atom], most: int) -> tuple[str, ...]:
    ruler = _Ruler(page)

    def fits(first: int, end: int) -> bool:
        return end - first == 1 or ruler.width(first, end) <= most

    target = ruler.width(0, len(page)) / ruler.lines(0, len(page), most)
    return tuple(join(page[a:b]) for a, b in _partition(page, ruler, fits, target, LINE_BREAK))


def _partition(
    units: Sequence[Atom], ruler: _Ruler, fits: Callable[[int, int], bool], target: float, weight: float
) -> list[tuple[int, int]]:
    """The cheapest way to cut ``units`` into parts that fit; a single unit always does. By dynamic programming."""
    best: list[tuple[float, int]] = [(0.0, 0)]  # cost of the units before, and where the last part starts
    broken = [0.0, *(weight * _badness(before, after) for before, after in pairwise(units))]
    for end in range(1, len(units) + 1):
        choices: list[tuple[float, int]] = []
        for first in range(end - 1, -1, -1):
            if not fits(first, end):
                break
            uneven = (ruler.width(first, end) - target) / max(1.0, target)
            choices.append((best[first][0] + ONE_MORE + uneven * uneven + broken[first], first))
        best.append(min(choices))
    parts: list[tuple[int, int]] = []
    end = len(units)
    while end:
        parts.append((best[end][1], end))
        end = best[end][1]
    return parts[::-1]


def _badness(before: Atom, after: Atom) -> float:
    if after.inside:
        return INSIDE_WORD
    if SENTENCE_END.search(before.text):
        return AFTER_SENTENCE
    if CLAUSE_END.search(before.text):
        return AFTER_CLAUSE
    if before.text.casefold() in ARTICLES:
        return AFTER_ARTICLE
    return BEFORE_JOINING if after.text.casefold() in JOINING else ANYWHERE


def _characters(word: str) -> list[str]:
    """Characters and Latin words, with punctuation on the side where it belongs."""
    pieces: list[str] = []
    for piece in ATOM.findall(word):
        combines = unicodedata.category(piece[0]) in ("Mn", "Mc", "Me", "Cf")
        if pieces and (combines or piece[0] in NOT_AT_START or pieces[-1][-1] in NOT_AT_END):
            pieces[-1] += piece
        else:
            pieces.append(piece)
    return pieces


def _cut(word: str, most: int) -> list[str]:
    if width(word) <= most:
        return [word]
    parts, part = [], ""
    for character in word:
        if part and width(part + character) > most:
            parts.append(part)
            part = ""
        part += character
    return [*parts, part]
