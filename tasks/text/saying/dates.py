"""Dates, by the order of their parts in a language; decades and centuries."""

from __future__ import annotations

import re
from functools import cache

from tasks.text.saying.tongue import Kept, Tongue

ISO = re.compile(
    r"(?<![\d-])(\d{4})-(\d{2})-(\d{2})(?![-\d])(?:T(\d{2}:\d{2})(?::\d{2}(?:[.,]\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
)
DIGITS = re.compile(
    r"(?<![\d./-])(?:(\d{4})([./-])(\d{1,2})\2(\d{1,2})|(\d{1,2})([./-])(\d{1,2})\6(\d{4}|\d{2}))(?![\d/-]|\.\d)"
)
YEAR = r"(?:,?\s+(?P<year>[12]\d{3}))?(?!\d)"
FULL_YEAR = 4  # digits
TURN = 70  # years of two digits from here on are of the last century


def said(text: str, tongue: Tongue, kept: Kept) -> str:
    numbers = tongue.numbers
    text = ISO.sub(lambda m: _long(tongue, int(m[1]), int(m[2]), int(m[3]), m[0]) + (f", {m[4]}" if m[4] else ""), text)
    if tongue.language == "de":  # “5. 6. 2023”
        text = re.sub(r"(?<![\w.])(\d{1,2}\.)\s(\d{1,2}\.)\s(?=\d{4}\b)", r"\1\2", text)
    text = DIGITS.sub(lambda m: _of_digits(m, tongue), text)
    if not numbers.months:
        return text
    named = _named(tongue)
    if tongue.language == "en":
        return _english(text, named, tongue, kept)
    return (_german if tongue.language == "de" else _of_others)(text, named, tongue, kept)


@cache
def _named(tongue: Tongue) -> str:
    months = tongue.numbers.months.items()
    return "|".join(sorted((_written(short, full) for short, full in months), key=len, reverse=True))


def _written(month: str, full: str) -> str:
    """A pattern of a month; only a short name has a full stop."""
    return rf"{re.escape(month)}\b" if month == full else rf"{re.escape(month)}\b\.?"


def _month(written: str, tongue: Tongue) -> str:
    return tongue.numbers.months[written.rstrip(".")]


def _english(text: str, named: str, tongue: Tongue, kept: Kept) -> str:
    text = re.sub(rf"\b(?P<month>{named})\s+(?P<day>[0-3]?\d)(?:st|nd|rd|th)?(?![\d:.,]\d|\s?%){YEAR}",
                  lambda m: _date("{month} {day}", m, tongue, kept), text)  # fmt: skip
    day = r"\b(?P<day>[0-3]?\d)(?:st|nd|rd|th)?\s+(?:of\s+)?"
    text = re.sub(
        rf"(?P<before>\b[Tt]he\s+)?{day}(?P<month>{named}){YEAR}",
        lambda m: (m["before"] or "the ") + _date("{day} of {month}", m, tongue, kept),
        text,
    )
    text = re.sub(rf"\b({named})(?=\s+[12]\d{{3}}\b)", lambda m: _month(m[1], tongue), text)
    decade = re.compile(
        r"(?<![\w'’])((?:1[1-9]|20)\d0)s\b|"
        r"(?:(?<!\w)['’]|(?<=\b[Tt]he )|(?<=\bearly )|(?<=\blate )|(?<=\bmid-)|(?<=\band ))([2-9]0)s\b"
    )
    return decade.sub(lambda m: kept.keep(_several(_decade(m, tongue))), text)


def _german(text: str, named: str, tongue: Tongue, kept: Kept) -> str:
    text = re.sub(
        r"\b((?:[Aa]m|[Vv]om|[Zz]um|[Bb]is|[Ss]eit|[Aa]b|[Dd]en|[Dd]em)\s+[0-3]?\d\.)([01]?\d)\.(?!\d)",
        lambda m: _month_of(m, tongue),
        text,
    )
    return re.sub(
        rf"(?P<before>\b\w+\s+)?\b(?P<day>[0-3]?\d)\.\s+(?P<month>{named}){YEAR}",
        lambda m: (m["before"] or "") + _date("{day} {month}", m, tongue, kept, _form(m, tongue)),
        text,
    )


def _of_others(text: str, named: str, tongue: Tongue, kept: Kept) -> str:
    """Short names of months after a day are written out, and the first of a month is the first."""
    day = r"(?<![\d.,/])([0-3]?\d(?:er|º|°)?)(\s+(?:de\s+)?)"
    text = re.sub(rf"{day}({named})", lambda m: f"{m[1]}{m[2]}{_month(m[3], tongue)}", text)
    if not tongue.word("first_of_month"):
        return text
    first = rf"(?<![\d.,/])1(?:er|º|°|\.º)?(?=\s+(?:de\s+)?(?:{named}))"
    return re.sub(first, lambda _: kept.keep(tongue.numbers.ordinal(1)), text)


def _date(order: str, found: re.Match[str], tongue: Tongue, kept: Kept, ruleset: str = "") -> str:
    day = int(found["day"])
    if not 1 <= day <= 31:
        return found[0]
    words = order.format(month=_month(found["month"], tongue), day=tongue.numbers.ordinal(day, ruleset))
    return kept.keep(f"{words}, {tongue.numbers.year(int(found['year']))}" if found["year"] else words)


def _form(found: re.Match[str], tongue: Tongue) -> str:
    form = tongue.ordinal_after(found["before"] or "")
    return "r" if form is None else form  # “dritter Mai”


def _month_of(found: re.Match[str], tongue: Tongue) -> str:
    month = _long(tongue, 2000, int(found[2]), 1, "").split()
    return f"{found[1]} {month[1]}" if len(month) > 1 else found[0]


def _of_digits(found: re.Match[str], tongue: Tongue) -> str:
    first, mark, *others = [part for part in found.groups() if part is not None]
    parts = [first, *others]
    order = "ymd" if len(first) == FULL_YEAR else tongue.numbers.order
    if len(first) != FULL_YEAR and order[0] == "y":
        order = "dmy"
    by = dict(zip(order, parts, strict=True))
    if len(by["y"]) != FULL_YEAR and (mark != "/" and tongue.language != "de"):
        return found[0]  # “1.2.34” is a version, a section, an address
    year, month, day = int(by["y"]), int(by["m"]), int(by["d"])
    if len(by["y"]) != FULL_YEAR:
        year += 2000 if year < TURN else 1900
    if month > 12 >= day:
        month, day = day, month
    return _long(tongue, year, month, day, found[0])


def _long(tongue: Tongue, year: int, month: int, day: int, otherwise: str) -> str:
    return tongue.numbers.long_date(year, month, day) or otherwise


def _decade(found: re.Match[str], tongue: Tongue) -> str:
    return tongue.numbers.year(int(found[1])) if found[1] else tongue.numbers.cardinal(int(found[2]))


def _several(word: str) -> str:
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
