"""Numbers, dates, units and money in the words of a language, from CLDR (unicode-rbnf, Babel)."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Literal

from speechmill.languages import base

Number = int | Decimal
Gender = Literal["", "masculine", "feminine"]
"""Of what is counted (Spanish “veintiún libros”, “veintiuna horas”); empty: nothing is, as in “veintiuno”."""

DECIMALS = frozenset({"en", "es", "fr", "de", "it", "pt", "nl", "sv", "da", "nb", "zh", "ja", "ca", "id", "tr", "vi"})
"""Languages whose decimals RBNF words well; elsewhere (it says “целых” without its number in Russian) digits stay."""
POINTS = {
    "en": "point", "es": "coma", "fr": "virgule", "de": "Komma", "it": "virgola", "pt": "vírgula", "nl": "komma",
    "zh": "点",
}  # fmt: skip
PAIRS = frozenset({"es", "fr", "it", "pt", "nl"})  # two digits of a fraction are a number: “trois virgule quatorze”
USUAL_MONTHS = {("en", 9): ("Sept",), ("fr", 7): ("juill",), ("es", 9): ("set",)}  # as CLDR does not shorten them
SPACES = "\u00a0\u202f\u2009"  # of every width: they part groups of digits in any language


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
        group, self.point = (",", ".")
        if self._locale is not None:
            symbols = self._locale.number_symbols.get("latn", {})
            group, self.point = symbols.get("group", ","), symbols.get("decimal", ".")
        self._group = SPACES + (group if group.strip() else " ")
        other = "," if self.point == "." else r"\."
        grouped = rf"\d{{1,3}}(?:[{re.escape(self._group)}]\d{{3}})+"
        decimals = rf"(?:{re.escape(self.point)}\d+)?"
        # Two groups or more are thousands whatever parts them: “1.000.000” is a million in English too.
        foreign = r"\d{1,3}(?:\.\d{3}){2,}" if other == "," else r"\d{1,3}(?:,\d{3}){2,}"
        self._foreign = re.compile(foreign)
        # “100 000”, “1 000 000”, which no language takes for two numbers; “1 200” may be two.
        spaced = rf"(?:\d{{2,3}} \d{{3}}|\d{{1,3}}(?: \d{{3}}){{2,}})(?! ?\d){decimals}"
        self.pattern = rf"(?:{grouped}{decimals}|{spaced}|{foreign}|\d+{decimals})"
        self.months = self._months()

    def value(self, written: str) -> Number:
        """The number that is written with this language's separators, or with another's where that is plain."""
        if self._foreign.fullmatch(written.lstrip("-−")):
            written = written.replace(".", "").replace(",", "")
        plain = "".join(c for c in written if c not in self._group and not c.isspace())
        plain = plain.replace(self.point, ".").replace("−", "-")
        try:
            return Decimal(plain) if "." in plain else int(plain)
        except (InvalidOperation, ValueError):
            return 0

    def cardinal(self, value: Number, gender: Gender = "") -> str:
        """In words."""
        if isinstance(value, Decimal) and value == value.to_integral_value():
            value = int(value)
        if isinstance(value, Decimal) and self.language not in DECIMALS:
            return str(value).replace(".", self.point)
        if isinstance(value, Decimal) and self.language in POINTS:
            return self._decimal(value)
        if isinstance(value, Decimal):
            return self._say(value)
        return self._say(value, f"spellout-cardinal-{gender}" if gender else "")

    def _decimal(self, value: Decimal) -> str:
        """RBNF has the whole part feminine in French and Portuguese, and joins digits in English."""
        whole, _, digits = str(abs(value)).partition(".")
        minus = self._say(-1).removesuffix(self._say(1)) if value < 0 else ""
        pair = self.language in PAIRS and len(digits) == 2 and digits[0] != "0"
        fraction = self._say(int(digits)) if pair else self.digits(digits)
        joint = "" if self.language == "zh" else " "
        return minus + joint.join((self._say(int(whole)), POINTS[self.language], fraction))

    def digits(self, written: str) -> str:
        """Digit by digit."""
        return ("" if self.language == "zh" else " ").join(
            self._say(int(digit)) for digit in written if digit.isdigit()
        )

    def ordinal(self, value: int, ruleset: str = "") -> str:
        """“Third”, in words; ``ruleset`` names a form of it (CLDR: “feminine”, “n”), where the language has that."""
        assert self._rules is not None
        from unicode_rbnf import FormatPurpose

        result = self._rules.format_number(value, FormatPurpose.ORDINAL)
        forms = result.text_by_ruleset
        return _soft(str(forms.get(f"spellout-ordinal-{ruleset or 'masculine'}") or result.text))

    def year(self, value: int) -> str:
        assert self._rules is not None
        from unicode_rbnf import FormatPurpose

        if self.language in ("zh", "yue"):  # digit by digit; RBNF leaves the zero out
            return self.digits(str(value))
        return _soft(self._rules.format_number(value, FormatPurpose.YEAR).text)

    def unit(self, unit: str, value: Number) -> tuple[str, str]:
        """What stands before and after the number of “3 kilometres”; empty where CLDR has no name."""
        from babel.units import UnknownUnitError, format_unit

        written = ""
        lengths: tuple[Literal["long", "short"], ...] = ("long", "short")
        for length in lengths:  # Babel has no long names of Chinese units, and writes their ids instead
            try:
                written = format_unit(float(value), unit, length=length, locale=self._locale, format="0.####")
            except UnknownUnitError:
                return "", ""
            if unit not in written:
                break
        match = re.search(r"[-−\u200e]?\d+(?:[.,]\d+)?", written)
        return (written[: match.start()].strip(), written[match.end() :].strip()) if match else ("", "")

    def unit_name(self, unit: str, value: Number) -> str:
        """“Kilometres”, alone."""
        return " ".join(part for part in self.unit(unit, value) if part)

    def is_one(self, value: Number) -> bool:
        """Whether a name is in the singular after it (French “1,5 euro”)."""
        return self._locale is not None and self._locale.plural_form(float(abs(Decimal(value)))) == "one"

    def currency(self, code: str, value: Number) -> str:
        """Its name, in the number that goes with the value."""
        from babel.numbers import get_currency_name

        name = str(get_currency_name(code, count=float(value), locale=self._locale))
        return name if self.language == "de" or self.language == "en" else name.lower()

    @property
    def order(self) -> str:
        """The order of day, month and year in dates of digits: “dmy”, “mdy”, “ymd”."""
        if self._locale is None:
            return "ymd"
        pattern = str(self._locale.date_formats["short"].pattern).lower()
        return "".join(sorted("dmy", key=pattern.find))

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
        said = _soft(str(result.text_by_ruleset.get(ruleset) or result.text))
        return said.replace("〇", "零")

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
                for usual in USUAL_MONTHS.get((self.language, number), ()):
                    found.setdefault(usual, name)
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
