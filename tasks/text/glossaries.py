"""Glossaries: what a term is called in another language, and how that is said."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from speechmill.errors import UnreadableScript, UnsupportedLanguage
from speechmill.languages import UNSPACED, base, canonical
from speechmill.roots import Roots
from tasks.text.texts import read_text

HEADERS = frozenset({"source", "term", "original", "from"})  # a first row that begins with one of these is a header
MOST_TERMS = 20_000
EVERY = "*"  # the language of a term that is the same in all of them


@dataclass(frozen=True, slots=True)
class Term:
    source: str
    target: str
    spoken: str = ""  # how the target is said, where that is not as it is written
    language: str = ""  # of the target; ``EVERY``; empty where the file does not say


@dataclass(frozen=True, slots=True)
class Glossary:
    """Terms in the order of the file. An empty glossary changes nothing."""

    terms: tuple[Term, ...] = ()

    def of(self, language: str) -> Glossary:
        """What holds in a language: what is said of it goes before what is said of all, of its region before both."""
        tags = dict.fromkeys(("", EVERY, base(language), language))
        found = {term.source: term for tag in tags for term in self.terms if term.language == tag}
        return Glossary(tuple(found.values()))

    @property
    def homeless(self) -> tuple[Term, ...]:
        """Terms that do not say which language they are of."""
        return tuple(term for term in self.terms if not term.language)

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


def read_glossary(path: Path, within: Roots | None = None) -> Glossary:
    """A CSV file of source, target and, where there are any, spoken form and language; a header row may come first.

    Columns are parted by comma, semicolon or tab. Raises ``UnreadableScript`` naming the row that is wrong, and
    ``ForbiddenSource`` for what does not lie under the roots ``within``.
    """
    terms: dict[tuple[str, str], Term] = {}
    for at, row in rows(read_text(path, within=within), path.name):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (not terms and cells[0].casefold() in HEADERS):
            continue
        term = _term(path.name, at, cells)
        if terms.setdefault((term.source, term.language), term) != term:
            raise UnreadableScript(
                f"row {at} of {path.name} gives “{term.source}” a second translation",
                hint="keep one of the two, or say their languages in a fourth column",
            )
        if len(terms) > MOST_TERMS:
            raise UnreadableScript(f"{path.name} has more than {MOST_TERMS} terms", hint="check that it is a glossary")
    if not terms:
        raise UnreadableScript(f"{path.name} has no terms in it", hint="write each term as source,target")
    return Glossary(tuple(terms.values()))


def _term(name: str, at: int, cells: list[str]) -> Term:
    while len(cells) > 4 and not cells[-1]:
        cells.pop()
    if not 2 <= len(cells) <= 4 or not cells[0] or not cells[1]:
        raise UnreadableScript(
            f"row {at} of {name} is not source, target and (if you like) spoken form and language",
            hint="write each term as source,target or source,target,spoken or source,target,spoken,language",
        )
    source, target, spoken, language = (*cells, "", "")[:4]
    if language in ("", EVERY):
        return Term(source, target, spoken, language)
    try:
        return Term(source, target, spoken, canonical(language))
    except UnsupportedLanguage as error:
        raise UnreadableScript(
            f"row {at} of {name}: {error.message}", hint=f"write a tag such as es or pt-BR, or {EVERY} for all"
        ) from None


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
