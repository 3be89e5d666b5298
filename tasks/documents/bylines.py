"""Bylines: who wrote a text, when, and how long it takes to read. Pure.

A byline is names, dates and times, and nothing else: a year alone, a place or the word “By” makes none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tasks.text.saying.numerals import numerals

LONGEST = 160
NAME_WORDS = 4  # of one person, but for “de la”
FACT_WORDS = 8  # of what a person is, of a date with its time
SHORT = 3  # letters of “de”, “at”, “Uhr”, “GMT” beside the numbers of a date

SENTENCE = tuple(".!?。！？:：")
PARTED = re.compile(r"\s*[·•|｜—–]\s*|\s+/\s+|,\s+")
BETWEEN = r"(?:and|und|y|et|e|en|&)"
PARTICLE = r"(?:de|del|la|von|van|der|den|di|da|dos|du|le)"
OF_NAME = r"[^\W\d_a-zà-öø-ÿ][\w.'’-]*"
PERSON = rf"{OF_NAME}(?:\s+(?:{PARTICLE}\s+)*{OF_NAME}){{0,{NAME_WORDS - 1}}}"
NAMES = re.compile(rf"{PERSON}(?:\s+{BETWEEN}\s+{PERSON})*")
DAY = re.compile(r"(?<!\d)(?:\d{1,2}([./-])\d{1,2}\1\d{2,4}|\d{4}([./-])\d{1,2}\2\d{1,2}|\d{4}年\d{1,2}月)(?!\d)")


@dataclass(frozen=True, slots=True)
class Bylines:
    """The bylines of a language: what begins them, and what tells how long the reading takes."""

    by: re.Pattern[str]
    minutes: re.Pattern[str]
    months: frozenset[str]

    def has(self, text: str, author: str = "") -> bool:
        """“By Ana Prat · 20 Nov 2026 · 5 min read”."""
        text = text.strip("*_ （()）")
        minutes = self.minutes.search(text) is not None
        if len(text) > LONGEST or (not minutes and text.endswith(SENTENCE)):
            return False
        if author and text.casefold() == author.casefold():
            return True
        begins = self.by.match(text)
        parts = [part for part in PARTED.split(text[begins.end() :] if begins else text) if part]
        if begins and parts and _is_person(begins[0], parts[0]):
            return all(len(part.split()) <= FACT_WORDS for part in parts)
        telling = begins is not None or minutes or self._is_day(text)
        return telling and bool(parts) and all(self._is_fact(part) for part in parts)

    def _is_fact(self, part: str) -> bool:
        """Whether it is a name, a date or a time rather than what somebody says."""
        if begins := self.by.match(part):
            part = part[begins.end() :]
        if len(part.split()) > FACT_WORDS or part.casefold() in self.months:
            return False
        return NAMES.fullmatch(part) is not None or self.minutes.search(part) is not None or self._is_time(part)

    def _is_time(self, part: str) -> bool:
        words: list[str] = re.findall(r"[^\W\d_]+", part)
        return re.search(r"\d", part) is not None and all(
            len(word) <= SHORT or word.casefold() in self.months for word in words
        )

    def _is_day(self, text: str) -> bool:
        """Whether it has a whole date, or a month with its year."""
        month = any(word in self.months for word in re.findall(r"[^\W\d_]+", text.casefold()))
        return DAY.search(text) is not None or (month and re.search(r"\b\d{4}\b", text) is not None)


def bylines(language: str, by: re.Pattern[str], minutes: re.Pattern[str]) -> Bylines:
    return Bylines(by, minutes, frozenset(month.casefold() for month in numerals(language).months))


def _is_person(begins: str, named: str) -> bool:
    """Somebody with given and family name, or whoever is announced by “作者：”, “Text:”: what they are may follow."""
    if begins.rstrip().endswith((":", "：", "|", "｜", "/")):
        return NAMES.match(named) is not None
    return " " in named and NAMES.fullmatch(named) is not None
