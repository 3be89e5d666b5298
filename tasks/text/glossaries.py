"""Glossaries: what a term is called in the other language, and how that is said."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from speechmill.errors import UnreadableScript
from speechmill.languages import UNSPACED, base
from tasks.text.texts import read_text

HEADERS = frozenset({"source", "term", "original", "from"})  # a first row that begins with one of these is a header
MOST_TERMS = 20_000


@dataclass(frozen=True, slots=True)
class Term:
    source: str
    target: str
    spoken: str = ""  # how the target is said, where that is not as it is written


@dataclass(frozen=True, slots=True)
class Glossary:
    """Terms in the order of the file. An empty glossary changes nothing."""

    terms: tuple[Term, ...] = ()

    def targets(self) -> dict[str, str]:
        """Target by source, as engines take it."""
        return {term.source: term.target for term in self.terms}

    def missed(self, source_text: str, text: str, source_language: str, language: str) -> tuple[Term, ...]:
        """Terms that stand in the original but not in its translation."""
        return tuple(
            term
            for term in self.terms
            if _pattern(term.source, source_language).search(source_text)
            and not _pattern(term.target, language).search(text)
        )

    def spoken(self, text: str, language: str) -> str:
        """The text as it is said: every target that has a spoken form replaced by it, the longest first."""
        forms = {term.target.casefold(): term.spoken for term in self.terms if term.spoken}
        if not forms:
            return text
        either = "|".join(_bounded(target, language) for target in sorted(forms, key=len, reverse=True))
        return re.sub(either, lambda found: forms.get(found[0].casefold(), found[0]), text, flags=re.IGNORECASE)


def read_glossary(path: Path) -> Glossary:
    """A CSV file of source, target and (where there is one) spoken form; a header row may come first.

    Columns are parted by comma, semicolon or tab. Raises ``UnreadableScript`` naming the row that is wrong.
    """
    text = read_text(path)
    table = rows(text, path.name)
    terms: dict[str, Term] = {}
    for at, row in table:
        cells = [cell.strip() for cell in row]
        if not any(cells) or (not terms and cells[0].casefold() in HEADERS):
            continue
        while len(cells) > 3 and not cells[-1]:
            cells.pop()
        if not 2 <= len(cells) <= 3 or not cells[0] or not cells[1]:
            raise UnreadableScript(
                f"row {at} of {path.name} is not source, target and (if you like) spoken form",
                hint="write each term as source,target or source,target,spoken",
            )
        term = Term(*cells)
        if terms.setdefault(term.source, term) != term:
            raise UnreadableScript(
                f"row {at} of {path.name} gives “{term.source}” a second translation", hint="keep one of the two"
            )
        if len(terms) > MOST_TERMS:
            raise UnreadableScript(f"{path.name} has more than {MOST_TERMS} terms", hint="check that it is a glossary")
    if not terms:
        raise UnreadableScript(f"{path.name} has no terms in it", hint="write each term as source,target")
    return Glossary(tuple(terms.values()))


def rows(text: str, name: str) -> list[tuple[int, list[str]]]:
    """The rows of a CSV file with their numbers; columns parted by comma, semicolon or tab."""
    first = next(line for line in text.split("\n") if line.strip())
    delimiter = max("\t;,", key=first.count)  # the first where all are as often: tabs are never part of a term
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True, skipinitialspace=True)
    try:
        return [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise UnreadableScript(
            f"row {reader.line_num} of {name} is no CSV: {error}", hint="check the quotes in that row"
        ) from None


def _pattern(term: str, language: str) -> re.Pattern[str]:
    return re.compile(_bounded(term, language), re.IGNORECASE)


def _bounded(term: str, language: str) -> str:
    """A term as a whole word, where the language has spaces between words."""
    escaped = r"\s+".join(re.escape(part) for part in term.split())
    if base(language) in UNSPACED:
        return escaped
    return rf"(?<!\w){escaped}(?!\w)"
