"""The spoken form of a text: numbers, dates, times, units, money, abbreviations and signs as they are said.

Words come from CLDR: numbers by unicode-rbnf, units, months and currencies by Babel; what CLDR has not is in
``spoken.toml``. The display form stays as it was; where nothing is to be said otherwise the spoken form is the same.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from speechmill.languages import UNSPACED, base
from tasks.text.numerals import Numerals, numerals

CURRENCIES = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "₽": "RUB", "₩": "KRW"}
CODES = ("USD", "EUR", "GBP", "JPY", "CHF", "CNY", "INR", "CAD", "AUD", "SEK", "NOK", "DKK", "PLN", "BRL", "MXN")
SCALES = {"k": 10**3, "K": 10**3, "M": 10**6, "m": 10**6, "bn": 10**9, "B": 10**9}
UNITS = {
    "km": "length-kilometer", "cm": "length-centimeter", "mm": "length-millimeter", "m": "length-meter",
    "mi": "length-mile", "ft": "length-foot", "kg": "mass-kilogram", "g": "mass-gram", "mg": "mass-milligram",
    "t": "mass-tonne", "lb": "mass-pound", "lbs": "mass-pound", "oz": "mass-ounce", "l": "volume-liter",
    "L": "volume-liter", "ml": "volume-milliliter", "mL": "volume-milliliter", "km/h": "speed-kilometer-per-hour",
    "kph": "speed-kilometer-per-hour", "mph": "speed-mile-per-hour", "m/s": "speed-meter-per-second",
    "°C": "temperature-celsius", "℃": "temperature-celsius", "°F": "temperature-fahrenheit", "°": "angle-degree",
    "h": "duration-hour", "min": "duration-minute", "s": "duration-second", "ms": "duration-millisecond",
    "kB": "digital-kilobyte", "KB": "digital-kilobyte", "MB": "digital-megabyte", "GB": "digital-gigabyte",
    "TB": "digital-terabyte", "Hz": "frequency-hertz", "kHz": "frequency-kilohertz", "MHz": "frequency-megahertz",
    "GHz": "frequency-gigahertz", "W": "power-watt", "kW": "power-kilowatt", "MW": "power-megawatt",
    "GW": "power-gigawatt", "kWh": "energy-kilowatt-hour", "V": "electric-volt", "m²": "area-square-meter",
    "km²": "area-square-kilometer", "m³": "volume-cubic-meter", "ha": "area-hectare", "%": "concentr-percent",
}  # fmt: skip
MARKUP = re.compile(r"[*_`~|<>{}\[\]\\^]+")
PICTOGRAMS = re.compile("[\u2190-\u21ff\u2300-\u27bf\u2b00-\u2bff\ufe0f\u200d\U0001f000-\U0001faff]")
ADDRESS = re.compile(r"\b(?:https?://|www\.)([\w.-]+)(?:/[^\s)\]”\"'»]*[\w/])?")
MAIL = re.compile(r"\b([\w.+-]+)@([\w-]+(?:\.[\w-]+)+)\b")
ROMAN = re.compile(r"\b(Chapter|Part|Book|Act|Volume|Kapitel|Teil|Capítulo|Chapitre|Capitolo)\s+([IVXLC]+)\b")
LETTER_AFTER = re.compile(r"\s+[^\W\d_]")
COUNTED_AFTER = re.compile(r"\s+[a-z]+s\b")


@cache
def tables() -> dict[str, dict[str, Any]]:
    return tomllib.loads(resources.files("tasks.text").joinpath("spoken.toml").read_text("utf-8"))


def spoken_form(text: str, language: str, lexicon: Mapping[str, str] | None = None) -> str:
    """The text as it is said. ``lexicon`` (term: respelling) goes before everything else and is said as it stands."""
    kept: list[str] = []

    def keep(words: str) -> str:
        """Words that are done: set aside, so that no later rule changes them."""
        kept.append(words)
        return f"\ue000{chr(0xE100 + len(kept) - 1)}\ue001"

    text = re.sub("[\ue000-\uf8ff]", "", text)
    for term in sorted(lexicon or {}, key=len, reverse=True):
        text = _bounded(term, language).sub(lambda _, said=(lexicon or {})[term]: keep(said), text)  # type: ignore[misc]
    text = _Said(language, keep).of(text)
    while "\ue000" in text:
        text = re.sub("\ue000(.)\ue001", lambda found: kept[ord(found[1]) - 0xE100], text)
    return " ".join(text.split())


def _bounded(term: str, language: str) -> re.Pattern[str]:
    escaped = re.escape(term)
    if base(language) in UNSPACED:
        return re.compile(escaped)
    before = r"(?<!\w)" if term[:1].isalnum() else ""
    after = r"(?!\w)" if term[-1:].isalnum() else ""
    return re.compile(before + escaped + after)


class _Said:
    """The rules of one language, applied one after the other: what is long and certain first."""

    def __init__(self, language: str, keep: Callable[[str], str]) -> None:
        self.language = base(language)
        self.table = tables().get(self.language, {})
        self.numbers: Numerals = numerals(language)
        self.keep = keep
        self.number = self.numbers.pattern
        letter = "A-Za-z0-9_" if self.language in UNSPACED else r"\w"  # there a number touches the words around it
        self.before, self.after = rf"(?<![{letter}.,/])", rf"(?![{letter}/²³°\ue000])"

    def of(self, text: str) -> str:
        text = self._addresses(text)
        text = ROMAN.sub(lambda m: f"{m[1]} {_roman(m[2])}", text)
        if self.numbers.known:
            for rule in (self._dates, self._clock, self._money, self._ordinals, self._units, self._ranges, self._plain):
                text = rule(text)
        return self._signs(self._abbreviations(text))

    def _addresses(self, text: str) -> str:
        dot, at = self.table.get("dot"), self.table.get("at")
        if not dot or not at:
            return text

        def host(name: str) -> str:
            return name.removeprefix("www.").strip(".").replace(".", f" {dot} ")

        text = ADDRESS.sub(lambda m: self.keep(host(m[1])), text)
        return MAIL.sub(lambda m: self.keep(f"{host(m[1])} {at} {host(m[2])}"), text)

    def _dates(self, text: str) -> str:
        months = self.numbers.months
        text = re.sub(
            r"\b(\d{4})-(\d{2})-(\d{2})\b(?![-\d])",
            lambda m: self.numbers.long_date(int(m[1]), int(m[2]), int(m[3])) or m[0],
            text,
        )
        if not months:
            return text
        named = "|".join(re.escape(month) for month in sorted(months, key=len, reverse=True))
        year = r"(?:,?\s+(?P<year>[12]\d{3}))?(?!\d)"
        if self.language == "en":
            text = re.sub(rf"\b(?P<month>{named})\.?\s+(?P<day>[0-3]?\d)(?:st|nd|rd|th)?(?![\d:.,]\d){year}",
                          lambda m: self._date("{month} {day}", m), text)  # fmt: skip
            day = r"\b(?P<day>[0-3]?\d)(?:st|nd|rd|th)?\s+(?:of\s+)?"
            return re.sub(rf"{day}(?P<month>{named})\b\.?{year}", lambda m: self._date("the {day} of {month}", m), text)
        if self.language == "de":
            return re.sub(
                rf"\b(?P<day>[0-3]?\d)\.\s+(?P<month>{named})\b\.?{year}",
                lambda m: self._date("{day} {month}", m, "spellout-ordinal-n"),
                text,
            )
        return text

    def _date(self, order: str, found: re.Match[str], ruleset: str = "") -> str:
        day = int(found["day"])
        if not 1 <= day <= 31:
            return found[0]
        said = order.format(month=self.numbers.months[found["month"]], day=self.numbers.ordinal(day, ruleset))
        year = found["year"]
        return self.keep(f"{said}, {self.numbers.year(int(year))}" if year else said)

    def _clock(self, text: str) -> str:
        def say(found: re.Match[str]) -> str:
            hour, minute = int(found[1]), int(found[2])
            if hour > 24 or minute > 59:
                return found[0]
            parts = {"hour": self.numbers.cardinal(hour), "minute": self.numbers.cardinal(minute)}
            if minute == 0:
                parts["minute"] = ""
                if self.language == "en":
                    parts["minute"] = "" if found[3] else "o'clock" if 0 < hour <= 12 else "hundred"
            elif minute < 10 and self.language == "en":
                parts["minute"] = f"oh {parts['minute']}"
            said = str(self.table.get("clock", "{hour} {minute}")).format(**parts).strip()
            half = f" {found[3][0].upper()} M" if found[3] else ""
            return self.keep(said + half)

        half_day = r"(?:\s*([ap]\.?\s?m\b(?:\.(?!\s*$|\s+[A-Z]))?))?" if self.language == "en" else r"()"
        return re.sub(rf"(?<![\d:.])([0-2]?\d):([0-5]\d)(?![\d:]){half_day}", say, text)

    def _money(self, text: str) -> str:
        signs = "".join(map(re.escape, CURRENCIES))
        scale = r"(?:\s?(?P<scale>k|K|M|m|bn|B)\b)?(?P<big>\s(?:thousand|[mb]illion|trillion)\b)?"
        before = rf"(?:US)?(?P<sign>[{signs}])\s?(?P<number>{self.number}){scale}"
        after = rf"{self.before}(?P<number>{self.number}){scale}\s?(?P<sign>[{signs}]|(?:{'|'.join(CODES)})\b)"
        text = re.sub(before, self._amount, text)
        return re.sub(after, self._amount, text)

    def _amount(self, found: re.Match[str]) -> str:
        code = CURRENCIES.get(found["sign"], found["sign"])
        value = self.numbers.value(found["number"])
        scale, big = found["scale"], found["big"] or ""
        if scale:
            value = value * SCALES[scale]
            return self.keep(f"{self.numbers.rounded(value)} {self.numbers.currency(code, value)}")
        name = self.numbers.currency(code, 2 if big else value)
        whole, cents = divmod(value, 1)
        if not big and cents and len(str(value).partition(".")[2]) <= 2:
            return self.keep(f"{self.numbers.cardinal(whole)} {name} {self.numbers.cardinal(round(cents * 100))}")
        return self.keep(f"{self.numbers.cardinal(value)}{big} {name}")

    def _units(self, text: str) -> str:
        named = "|".join(re.escape(unit) for unit in sorted(UNITS, key=len, reverse=True))

        def say(found: re.Match[str]) -> str:
            value = self.numbers.value(found[1])
            if found[2] == "%" and "percent" in self.table:
                return self.keep(str(self.table["percent"]).format(n=self.numbers.cardinal(value)))
            said = self.numbers.unit(UNITS[found[2]], value)
            return self.keep(said) if said else found[0]

        pattern = rf"{self.before}([-−]?{self.number})\s?({named}){self.after}"
        return re.sub(pattern, say, self._range_before(text, named))

    def _range_before(self, text: str, units: str) -> str:
        """“10–20 km”: the first number is said alone."""
        to = self.table.get("to")
        if not to:
            return text
        return re.sub(
            rf"(?<!-){self.before}({self.number})\s?[–-]\s?(?={self.number}\s?(?:{units}){self.after})",
            lambda m: self.keep(f"{self.numbers.cardinal(self.numbers.value(m[1]))} {to} "),
            text,
        )

    def _ordinals(self, text: str) -> str:
        marks = {"en": r"(?:st|nd|rd|th)", "es": r"\.?º", "pt": r"\.?º", "it": r"º", "fr": r"(?:er|ère|e|ème)"}
        mark = marks.get(self.language)
        if mark is None:
            return text
        if self.language == "en":  # the 1990s
            text = re.sub(r"\b((?:1[1-9]|20)\d0)s\b", lambda m: self.keep(_several(self.numbers.year(int(m[1])))), text)
        return re.sub(
            rf"(?<![\w.,])(\d{{1,6}}){mark}(?!\w)", lambda m: self.keep(self.numbers.ordinal(int(m[1]))), text
        )

    def _ranges(self, text: str) -> str:
        to = self.table.get("to")
        return re.sub(r"(?<=\d)\s?–\s?(?=\d)", f" {to} ", text) if to else text

    def _plain(self, text: str) -> str:
        def say(found: re.Match[str]) -> str:
            rest = found.string[found.end() :]
            digits = found[0].lstrip("-−")
            if re.fullmatch(r"(?:1[1-9]|20)\d\d", digits) and not COUNTED_AFTER.match(rest):
                return self.keep(self.numbers.year(int(digits)))
            if digits.isdecimal() and (len(digits) > 15 or (len(digits) > 1 and digits.startswith("0"))):
                return self.keep(" ".join(self.numbers.cardinal(int(digit)) for digit in digits))
            counted = LETTER_AFTER.match(rest) is not None
            return self.keep(self.numbers.cardinal(self.numbers.value(found[0]), counted=counted))

        point = self.table.get("point")
        if point:  # versions: 1.2.3
            text = re.sub(
                r"(?<![\w.])v?\d+(?:\.\d+){2,}(?![\w.]*\d)",
                lambda m: self.keep(
                    f" {point} ".join(self.numbers.cardinal(int(p)) for p in m[0].strip("v").split("."))
                ),
                text,
            )
        return re.sub(rf"(?<!\ue001){self.before}(?:(?<![\w)])[-−])?{self.number}{self.after}", say, text)

    def _abbreviations(self, text: str) -> str:
        words: dict[str, str] = self.table.get("words", {})
        for written in sorted(words, key=len, reverse=True):
            # A full stop that ends the sentence too must go on ending it.
            ending = r"(?P<end>(?=\s*$)|(?=\s+[A-ZÀ-Þ]))?" if written in ENDING else "(?P<end>(?!))?"
            after = r"(?!\w)"
            text = re.sub(
                rf"(?<![\w.]){re.escape(written)}{after}{ending}",
                lambda m, said=words[written]: said + ("." if m["end"] is not None else ""),  # type: ignore[misc]
                text,
            )
        return text

    def _signs(self, text: str) -> str:
        signs: dict[str, str] = self.table.get("signs", {})
        for sign, said in signs.items():
            joint = "" if self.language in UNSPACED else " "
            text = text.replace(sign, f"{joint}{said}{joint}")
        return re.sub(r"\s+([,.;:!?])", r"\1", MARKUP.sub(" ", PICTOGRAMS.sub("", text)))


ENDING = frozenset({"etc.", "usw.", "ecc.", "enz."})
"""Abbreviations that may stand at the end of a sentence."""


def _several(word: str) -> str:
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


def _roman(numeral: str) -> int:
    values = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
    total = 0
    for this, following in zip(numeral, [*numeral[1:], ""], strict=True):
        value = values[this]
        total += -value if following and values[following] > value else value
    return total
