"""A tongue: what the rules need to know of a language. Words are in one TOML file for each; numbers are CLDR's."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from speechmill.languages import UNSPACED, base
from tasks.text.saying.numerals import Gender, Number, Numerals, numerals

DONE = "\ue000\ue001"
"""What stands around words that are done. Rules look for digits, and these have none."""
NEAR = 60  # characters: what a number goes with stands beside it, and no text takes longer than it is long


class Kept:
    """Words that are done: set aside under a mark, so that no later rule changes them."""

    def __init__(self) -> None:
        self._words: list[str] = []

    def keep(self, words: str) -> str:
        self._words.append(words)
        return f"{DONE[0]}{chr(0xE100 + len(self._words) - 1)}{DONE[1]}"

    def back(self, text: str) -> str:
        """The text with what was kept in its place."""
        while DONE[0] in text:
            text = re.sub(f"{DONE[0]}(.){DONE[1]}", lambda found: self._words[ord(found[1]) - 0xE100], text)
        return text


class Tongue:
    """One language: its numbers, its words, and where a number begins and ends in it."""

    def __init__(self, language: str) -> None:
        self.language = base(language)
        self.unspaced = self.language in UNSPACED
        self.joint = "" if self.unspaced else " "
        self.table: Mapping[str, Any] = _table(self.language)
        self.numbers: Numerals = numerals(language)
        self.number = self.numbers.pattern
        letter = "A-Za-z0-9_" if self.unspaced else r"\w"  # there a number touches the words around it
        point, group = re.escape(self.numbers.point), "," if self.numbers.point == "." else r"\."
        self.before = rf"(?<![{letter}.])(?<!\d[{point}:/])"
        goes_on = rf"[{point}:]\d|{group}\d{{3}}(?!\d)"
        self.after = rf"(?![{letter}/²³°{DONE[0]}]|{goes_on})"
        self.after_unit = rf"(?![{letter}²³°{DONE[0]}]|{goes_on})"
        self.units: Mapping[str, Any] = {**_table("units"), **self.part("units")}

    def word(self, name: str) -> str:
        """A word by its name in the table; empty where the language has none."""
        return str(self.table.get(name, ""))

    def part(self, name: str) -> Mapping[str, Any]:
        """A table of the table."""
        found: Mapping[str, Any] = self.table.get(name, {})
        return found

    def gender(self, noun: str) -> Gender:
        """Of what is counted, as far as its ending tells."""
        feminine = self.word("feminine")
        first = noun.split()[0] if noun.split() else ""
        return "feminine" if feminine and re.match(feminine, first, re.IGNORECASE | re.VERBOSE) else "masculine"

    def counted(self, value: Number, noun: str) -> str:
        """A number before what it counts: its gender, “un millón de”, “两”."""
        if noun.split() and noun.split()[0].lower() in self.word("uncounted").split():
            noun = ""
        if self.language == "zh" and value == 2 and noun[:1] and noun[0] in self.word("pairs"):
            return "两"
        said = self.numbers.cardinal(value, self.gender(noun) if noun else "")
        if self.language == "it" and said == "una" and noun[0] in "aeiou":
            return "un'"
        return f"{said} {self.of_million(noun)}".strip() if noun and self.is_million(said) else said

    def is_million(self, said: str) -> bool:
        """Whether a number is followed by “de” (Spanish “un millón de euros”)."""
        return bool(self.word("millions")) and re.search(self.word("millions"), said) is not None

    def of_million(self, noun: str) -> str:
        """The “de” between a million and its noun."""
        of = self.word("of_million")
        return f"{of[0]}'" if self.language == "fr" and noun[:1].lower() in "aeiouyéèêh" and noun else of

    def ordinal_after(self, word: str) -> str | None:
        """The form of a German ordinal after the word before it: “am dritten” (“n”), “der dritte” (empty); ``None``
        after a word that tells nothing."""
        rules = self.part("ordinals")
        word = word.strip('(„“" ').lower()
        return "n" if word in rules["before_n"].split() else "" if word in rules["before_e"].split() else None

    def joined(self, *parts: str) -> str:
        """Words one after the other, as the language parts them."""
        return self.joint.join(part for part in parts if part)


def before(found: re.Match[str]) -> str:
    """What stands before something that was found, as far as a rule may ask."""
    return found.string[max(0, found.start() - NEAR) : found.start()]


def after(found: re.Match[str]) -> str:
    """What stands after it."""
    return found.string[found.end() : found.end() + NEAR]


def any_of(written: Iterable[str]) -> str:
    """A pattern of any of these, the longest first; of nothing where there are none."""
    return "|".join(re.escape(one) for one in sorted(written, key=len, reverse=True)) or "(?!)"


@cache
def tongue(language: str) -> Tongue:
    return Tongue(language)


@cache
def _table(language: str) -> Mapping[str, Any]:
    """The words of a language, empty for one that has no file; ``units``: CLDR's ids of units, the same in all."""
    found = resources.files("tasks.text.saying").joinpath(f"{language}.toml")
    return tomllib.loads(found.read_text("utf-8")) if language.isalpha() and found.is_file() else {}
