"""Telephone numbers and other numbers that are read digit by digit."""

from __future__ import annotations

import re

from tasks.text.saying.tongue import Kept, Tongue

ABROAD = r"\+\d{1,3}(?:[\s.\-/]?\(?\d{1,5}\)?){2,6}"
# “(030) 2970 1234”, “(555) 010-9999”; but “(2020) 15-20” is a year, and “(12) 150-200” too short.
AREA = r"\((?:0\d{1,4}\)|(?!(?:1[5-9]|20)\d\d\))\d{2,5}\)(?=(?:[\s.\-]?\d){7}))\s?\d{2,5}(?:[\s.\-]\d{2,5}){1,4}"
TRUNK = r"0\d{1,4}(?:[\s/.\-]+\d{2,8}){1,5}"
GROUPS = r"\d{1,7}(?:-\d{1,7}){3,6}|\d{3}[-.]\d{3}[-.]\d{4}|\d{3}-0\d{3}|\d{2,3}(?:\s\d{2,3}){3}"
CALLED = re.compile(
    r"(\b(?:tel|tél|telefon|telefono|teléfono|telefone|telefoon|téléphone|phone|call|dial|fax|mobile)\b\.?|电话|热线)"
    r"(\s*[:：]?\s*)(\d[\d\s./-]{5,}\d)(?![\w/-]|[.,:]\d)",
    re.IGNORECASE,
)
NUMBER = re.compile(rf"(?<![\w.,/+-])(?:{ABROAD}|{AREA}|{TRUNK}|{GROUPS})(?![\w/-]|[.,:]\d|\s\d)")
EMERGENCY = re.compile(r"(?<=\b[Cc]all )\d{3}\b(?! \w)|(?<=\b[Dd]ial )\d{3}\b")
FEWEST_DIGITS = 7
MOST_DIGITS = 15  # ITU-T E.164


def said(text: str, tongue: Tongue, kept: Kept) -> str:
    text = CALLED.sub(lambda m: m[1] + m[2] + _by_digits(m[3], tongue, kept, called=True), text)
    if tongue.language == "en":  # “call 911”
        text = EMERGENCY.sub(lambda m: kept.keep(tongue.numbers.digits(m[0])), text)
    return NUMBER.sub(lambda m: _by_digits(m[0], tongue, kept), text)


def _by_digits(written: str, tongue: Tongue, kept: Kept, *, called: bool = False) -> str:
    groups = re.findall(r"\d+", written)
    count = sum(map(len, groups))
    thousands = not called and re.fullmatch(r"\d{1,3}(?:\s\d{3})+", written)
    if not FEWEST_DIGITS <= count <= MOST_DIGITS or thousands:
        return written
    plus = str(tongue.part("signs").get("+", "")) if written.startswith("+") else ""
    spoken = [_group(group, tongue) for group in groups]
    return kept.keep(tongue.joined(plus, ("，" if tongue.unspaced else ", ").join(spoken)))


def _group(digits: str, tongue: Tongue) -> str:
    """French numbers are read by twos."""
    if tongue.language == "fr" and len(digits) == 2 and digits[0] != "0":
        return tongue.numbers.cardinal(int(digits))
    return tongue.numbers.digits(digits)
