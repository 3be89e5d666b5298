"""Lexicons: how the words of a show are said, as respellings that any engine reads.

A CSV file of term, respelling and (where the term is said so in one language only) language. Markup of an engine stays
out: what is heard is what stands there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from speechmill.errors import UnreadableScript, UnsupportedLanguage
from speechmill.languages import base, canonical
from speechmill.roots import Roots
from tasks.text.glossaries import MOST_TERMS, rows
from tasks.text.texts import read_text

HEADERS = frozenset({"term", "word", "written"})
_MARKUP = re.compile(r"[<>\[\]{}|\\]")  # SSML, eSpeak's [[phonemes]], ARPAbet in braces
EVERY = ""  # the language of a term that is said so in all of them


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Respellings by term, by language. An empty lexicon changes nothing."""

    terms: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, language: str) -> dict[str, str]:
        """What holds in a language: of all, then of the language, then of its region."""
        tags = dict.fromkeys((EVERY, base(language), language))
        return {term: said for tag in tags for term, said in self.terms.get(tag, {}).items()}

    def over(self, other: Lexicon) -> Lexicon:
        """Both; where they differ, this one."""
        tags = {*self.terms, *other.terms}
        return Lexicon({tag: {**other.terms.get(tag, {}), **self.terms.get(tag, {})} for tag in tags})


def read_lexicon(path: Path, within: Roots | None = None) -> Lexicon:
    """Raises ``UnreadableScript`` naming the row that is wrong, and ``ForbiddenSource`` for what does not lie under
    the roots ``within``."""
    terms: dict[str, dict[str, str]] = {}
    for at, row in rows(read_text(path, within=within), path.name):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#") or (not terms and cells[0].casefold() in HEADERS):
            continue
        term, said, language = _term(path.name, at, cells)
        known = terms.setdefault(language, {})
        if known.setdefault(term, said) != said:
            raise UnreadableScript(
                f"row {at} of {path.name} has “{term}” said in a second way", hint="keep one of the two"
            )
        if len(known) > MOST_TERMS:
            raise UnreadableScript(f"{path.name} has more than {MOST_TERMS} terms", hint="check that it is a lexicon")
    if not terms:
        raise UnreadableScript(f"{path.name} has no terms in it", hint="write each term as term,respelling")
    return Lexicon(terms)


def _term(name: str, at: int, cells: list[str]) -> tuple[str, str, str]:
    while len(cells) > 2 and not cells[-1]:
        cells.pop()
    if not 2 <= len(cells) <= 3 or not cells[0] or not cells[1]:
        raise UnreadableScript(
            f"row {at} of {name} is not term, respelling and (if you like) language",
            hint="write each term as term,respelling or term,respelling,language",
        )
    if _MARKUP.search(cells[1]):
        raise UnreadableScript(
            f"row {at} of {name} has markup: “{cells[1][:40]}”", hint="spell it in letters, as it is said"
        )
    try:
        language = canonical(cells[2]) if len(cells) == 3 else EVERY
    except UnsupportedLanguage as error:
        raise UnreadableScript(f"row {at} of {name}: {error.message}", hint="write a tag such as en or pt-BR") from None
    return cells[0], cells[1], language
