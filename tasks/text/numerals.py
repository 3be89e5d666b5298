"""Numbers, dates, units and money in the words of a language, from CLDR (unicode-rbnf, Babel)."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any

from speechmill.languages import base

Number = int | Decimal
DECIMALS = frozenset({"en", "es", "fr", "de", "it", "pt", "nl", "sv", "da", "nb", "zh", "ja", "ca", "id", "tr", "vi"})
"""Languages whose decimals RBNF words well; elsewhere (it says “целых” without its number in Russian) digits stay."""


@cache
def numerals(language: str) -> Numerals:
    return Numerals(language)


class Numerals:
    """How one language says numbers. ``known`` is False for a language that CLDR has no rules for."""

    def __init__(self, language: str) -> None:
        self.language = base(language)
        self._rules = _rules(self.language)
        self._locale = _locale(language)
        self.known = self._rules is not None and self._locale is not None
        group, point = (",", ".")
        if self._locale is not None:
            symbols = self._locale.number_symbols.get("latn", {})
            group, point = symbols.get("group", ","), symbols.get("decimal", ".")
        self._group = group if group.strip() else " \u00a0\u202f\u2009"  # spaces of every width part groups
        self._point = point
        groups = f"[{re.escape(self._group)}]" if self._group != "." else r"\."
        self.pattern = rf"\d{{1,3}}(?:{groups}\d{{3}})+(?:{re.escape(point)}\d+)?|\d+(?:{re.escape(point)}\d+)?"
        self.pattern = f"(?:{self.pattern})"
        self.months = self._months()

    def value(self, written: str) -> Number:
        """The number that is written with this language's separators."""
        plain = "".join(c for c in written if c not in self._group and not c.isspace())
        plain = plain.replace(self._point, ".").replace("−", "-")
        try:
            return Decimal(plain) if "." in plain else int(plain)
        except InvalidOperation:
            return 0

    def cardinal(self, value: Number, *, counted: bool = False) -> str:
        """In words. ``counted``: a word that is counted follows (Spanish “veintiún libros”)."""
        if isinstance(value, Decimal) and value != value.to_integral_value() and self.language not in DECIMALS:
            return str(value).replace(".", self._point)
        if self.language == "en" and isinstance(value, Decimal) and value != value.to_integral_value():
            whole, _, digits = str(abs(value)).partition(".")
            sign = "minus " if value < 0 else ""
            return f"{sign}{self._say(int(whole))} point {' '.join(self._say(int(d)) for d in digits)}"
        if isinstance(value, Decimal) and value == value.to_integral_value():
            value = int(value)
        return self._say(value, "spellout-cardinal-masculine" if counted else "")

    def rounded(self, value: Number) -> str:
        """A large amount by its scale: 3.5 million rather than three million five hundred thousand."""
        if self.language == "en":
            for size, name in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
                if value >= size:
                    return f"{self.cardinal((Decimal(value) / size).normalize())} {name}"
        return self.cardinal(value)

    def ordinal(self, value: int, ruleset: str = "") -> str:
        assert self._rules is not None
        from unicode_rbnf import FormatPurpose

        result = self._rules.format_number(value, FormatPurpose.ORDINAL)
        wanted = ruleset or "spellout-ordinal-masculine"
        return str(result.text_by_ruleset.get(wanted) or result.text)

    def year(self, value: int) -> str:
        assert self._rules is not None
        from unicode_rbnf import FormatPurpose

        if self.language in ("zh", "yue"):  # digit by digit; RBNF leaves the zero out
            return "".join("零" if digit == "0" else self._say(int(digit)) for digit in str(value))
        return _soft(self._rules.format_number(value, FormatPurpose.YEAR).text)

    def unit(self, unit: str, value: Number) -> str:
        """“3 kilometres” in words; empty where CLDR has no long name."""
        from babel.units import UnknownUnitError, format_unit

        try:
            written = format_unit(float(value), unit, length="long", locale=self._locale, format="0.####")
        except UnknownUnitError:
            return ""
        match = re.search(r"[-−\u200e]?\d+(?:[.,]\d+)?", written)
        if match is None:
            return written
        return written[: match.start()] + self.cardinal(value, counted=True) + written[match.end() :]

    def currency(self, code: str, value: Number) -> str:
        """Its name, in the number that goes with the value; the dollar is simply that."""
        from babel.numbers import get_currency_name

        name = get_currency_name(code, count=float(value), locale=self._locale)
        return str(name).removeprefix("US ") if self.language == "en" else str(name).replace(" estadounidense", "")

    def long_date(self, year: int, month: int, day: int) -> str:
        """A date as it is written out; empty for one that does not exist."""
        from babel.dates import format_date

        try:
            return str(format_date(datetime.date(year, month, day), "long", locale=self._locale))
        except ValueError:
            return ""

    def _say(self, value: Number, ruleset: str = "") -> str:
        assert self._rules is not None
        result = self._rules.format_number(value)
        return _soft(str(result.text_by_ruleset.get(ruleset) or result.text))

    def _months(self) -> dict[str, str]:
        """Full names by every way a month is written."""
        if self._locale is None:
            return {}
        found: dict[str, str] = {}
        for context in ("format", "stand-alone"):
            full = self._locale.months[context]["wide"]
            for number, name in full.items():
                found[name] = name
                short = self._locale.months[context]["abbreviated"].get(number, name).rstrip(".")
                if len(short) > 2 and short.isalpha() and short != name:
                    found.setdefault(short, name)
        return found


def _soft(text: str) -> str:
    return text.replace("\u00ad", "").replace("\u200b", "")


def _rules(language: str) -> Any:
    from unicode_rbnf import RbnfEngine

    try:
        return RbnfEngine.for_language({"nb": "no"}.get(language, language))
    except (ValueError, KeyError):
        return None


def _locale(language: str) -> Any:
    from babel import Locale, UnknownLocaleError

    for tag in (language.replace("-", "_"), base(language)):
        try:
            return Locale.parse(tag)
        except (UnknownLocaleError, ValueError):
            continue
    return None


def long_date(day: datetime.date, language: str) -> str:
    """A date as it is written out in a language; as ISO 8601 has it where nobody knows how."""
    from babel.dates import format_date

    locale = _locale(language)
    return str(format_date(day, "long", locale=locale)) if locale else day.isoformat()
