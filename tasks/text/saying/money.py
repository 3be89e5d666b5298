"""Money, and thousands and millions that are written short."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from tasks.text.saying.numerals import Number
from tasks.text.saying.tongue import DONE, Kept, Tongue, after, any_of, before
from tasks.text.saying.units import is_attribute, measured

CURRENCIES = {
    "US$": "USD", "US-$": "USD",
    "R$": "BRL", "C$": "CAD", "CA$": "CAD", "A$": "AUD", "AU$": "AUD", "NZ$": "NZD", "HK$": "HKD",
    "S$": "SGD", "MX$": "MXN", "NT$": "TWD", "$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "￥": "CNY", "₹": "INR",
    "₽": "RUB", "₩": "KRW", "₺": "TRY", "₴": "UAH", "₫": "VND", "₪": "ILS",
}  # fmt: skip
CODES = ("USD", "EUR", "GBP", "JPY", "CHF", "CNY", "RMB", "INR", "CAD", "AUD", "SEK", "NOK", "DKK", "PLN", "BRL", "MXN")
MOST_CENTS = 2  # digits
NAMED = re.compile(r"(?<=[\w,;)’'”] )[A-Z][\w-]*\s+$")  # “at Gate ” of “at Gate 4B”, but not “About 4B”

Scales = Mapping[str, Any]


def said(text: str, tongue: Tongue, kept: Kept) -> str:
    """“$5”, “5 €”, “USD 5”, “€2.2bn”, “$5–10”."""
    patterns = _patterns(tongue)
    point = tongue.numbers.point
    text = patterns.cents_after.sub(rf"\1{point}", patterns.cents_before.sub(rf"\1{point}", text))
    scales = _scales(tongue)
    for pattern in (patterns.before, patterns.after):
        text = pattern.sub(lambda m: kept.keep(_amount(m, tongue, scales)), text)
    return patterns.alone.sub(lambda m: f" {kept.keep(_name(m[1], 2, tongue))}", text)


class _Patterns(NamedTuple):
    before: re.Pattern[str]  # “$5”
    after: re.Pattern[str]  # “5 €”
    alone: re.Pattern[str]  # of “3 Millionen €”
    cents_before: re.Pattern[str]  # behind the point of another language: “€5,50” in English
    cents_after: re.Pattern[str]


@cache
def _patterns(tongue: Tongue) -> _Patterns:
    sign, codes, number = any_of(CURRENCIES), any_of(CODES), tongue.number
    scales = _scales(tongue)
    whole = any_of({word for names in scales.values() for word in names})
    scale = rf"(?:\s?(?P<scale>{any_of(scales)})(?!\w))?(?P<big>\s(?:{whole})\b)?"
    minus = r"(?P<minus>(?<![\w)])[-−])?"
    to = rf"(?:\s?[–-]\s?(?:{sign})?(?P<to>{number}))?"
    other = "," if tongue.numbers.point == "." else r"\."
    return _Patterns(
        re.compile(
            rf"(?<![A-Za-z{DONE[1]}]){minus}(?P<sign>{sign}|(?:{codes})(?=\s?\d))\s?(?P<number>{number}){to}{scale}"
        ),
        re.compile(rf"{tongue.before}{minus}(?P<number>{number}){to}{scale}\s?(?P<sign>{sign}|(?:{codes})\b)"),
        re.compile(rf"(?<=\w)\s({sign})(?![\w$])"),
        re.compile(rf"((?:{sign})\s?\d+){other}(?=\d\d(?!\d))"),
        re.compile(rf"(?<![\d.,])(\d+){other}(?=\d\d\s?(?:{sign}))"),
    )


@cache
def _scales(tongue: Tongue) -> Scales:
    return {**tongue.part("scales"), **tongue.part("scales_of_money")}


def _of_scale(names: Sequence[str], value: Number, tongue: Tongue) -> str:
    return f" {names[0 if tongue.numbers.is_one(value) else 1]}"


def _amount(found: re.Match[str], tongue: Tongue, scales: Scales) -> str:
    value = tongue.numbers.value(found["number"])
    last = tongue.numbers.value(found["to"]) if found["to"] else value
    big = found["big"] or (_of_scale(scales[found["scale"]], last, tongue) if found["scale"] else "")
    named = 1 if is_attribute(found, tongue) else 2 if big else last
    name = _name(found["sign"], named, tongue)
    minus = f"{tongue.part('signs').get('−', '')}{tongue.joint}" if found["minus"] else ""
    if found["to"]:
        first = tongue.numbers.cardinal(value)
        return minus + tongue.joined(first, tongue.word("to"), _named(last, big, name, tongue))
    whole, cents = divmod(value, 1)
    if cents and not big and not tongue.unspaced and len(str(cents).partition(".")[2]) <= MOST_CENTS:
        return minus + _with_cents(found, int(whole), round(cents * 100), tongue)
    return minus + _named(value, big, name, tongue)


def _with_cents(found: re.Match[str], whole: int, cents: int, tongue: Tongue) -> str:
    if not whole and (alone := tongue.part("cents").get(_sign(found["sign"], tongue))):
        return measured(cents, alone, tongue, 1 if is_attribute(found, tongue) else cents)
    name = _name(found["sign"], whole, tongue)
    form = str(tongue.part("money").get("cents", "{whole} {name} {cents}"))
    return form.format(whole=tongue.counted(whole, name), name=name, cents=tongue.numbers.cardinal(cents))


def _named(value: Number, big: str, name: str, tongue: Tongue) -> str:
    """A number with its million and the name of what it counts."""
    if not big:
        return tongue.joined(tongue.counted(value, name), name)
    counted = tongue.joined(tongue.counted(value, big), big.strip())
    return tongue.joined(counted, tongue.of_million(name) if tongue.is_million(counted) else "", name)


def _sign(sign: str, tongue: Tongue) -> str:
    """A sign or a code as the sign that the table has."""
    yuan = {"￥": "¥"} if tongue.language == "zh" else {}
    return {"US$": "$", "US-$": "$", "USD": "$", "EUR": "€", "GBP": "£", **yuan}.get(sign, sign)


def _name(sign: str, value: Number, tongue: Tongue) -> str:
    """A dollar is simply that, whosever it is."""
    known = tongue.part("currencies")
    plain = _sign(sign, tongue)
    if plain in known:
        one, several = known[plain]
        return str(one if tongue.numbers.is_one(value) else several)
    code = {"RMB": "CNY"}.get(sign, CURRENCIES.get(sign, sign))
    return tongue.numbers.currency(code, value)


def scales(text: str, tongue: Tongue, kept: Kept) -> str:
    """“2.2 bn”, “10k people”, “3 Mio. Menschen”; a house is “221B”, and a film “4k”."""
    known = tongue.part("scales")

    def say(found: re.Match[str]) -> str:
        if found[2][-1].isupper() and NAMED.search(before(found)):
            return found[0]
        value = tongue.numbers.value(found[1])
        big = _of_scale(known[found[2].strip()], value, tongue)
        spoken = tongue.joined(tongue.counted(value, big), big.strip())
        counts = re.match(r"\s+(?!de\b|di\b|d')[^\W\d_]{2}", after(found))
        if tongue.is_million(spoken) and counts:
            spoken = tongue.joined(spoken, tongue.of_million(counts[0].strip()))
        return kept.keep(spoken)

    return _short(tongue).sub(say, text) if known else text


@cache
def _short(tongue: Tongue) -> re.Pattern[str]:
    known = tongue.part("scales")
    named = any_of(scale for scale in known if len(scale) > 1)
    letter = any_of(scale for scale in known if len(scale) == 1)
    of = r"(?:d(?:[ei]\s+|['’]))?" if tongue.word("of_million") else ""
    many = "".join(tongue.word("plural").split()) or "(?!)"
    return re.compile(
        rf"{tongue.before}({tongue.number})(\s?(?:{named})(?!\w)|\s?(?:{letter})(?=\s+{of}(?:{many})(?!\w)))"
    )
