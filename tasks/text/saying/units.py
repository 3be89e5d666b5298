"""Units of measure and percentages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from tasks.text.saying.numerals import Number
from tasks.text.saying.tongue import DONE, Kept, Tongue, after, any_of, before

ALONE = ("m²", "km²", "cm²", "m³", "cm³", "km/h", "m/s", "kWh")  # units that no word is written like
PER = re.compile(rf"(?<=[{DONE[1]}])\s?/\s?([^\W\d_]+)(?!\w)")
SIDES = re.compile(rf"(?<={DONE[1]})\s?[×x]\s?(?={DONE[0]})")
INVERSE = re.compile(r"(?<=\w|{DONE})\s(km|cm|mm|m|kg|g|l|s|min|h|yr|V)⁻([¹²³])(?!\w)".replace("{DONE}", DONE[1]))
"""“W m⁻²”, “Gt yr⁻¹”."""
FEET = re.compile(r"""(?<![\w'’′])(\d{1,2})\s?(?:['’′]|ft\s)\s?(\d{1,2})\s?(?:["”″]|in\b)""")
DETERMINER = re.compile(
    r"\b(?:an?|the|this|that|another|every|each|its|their|his|her|our|my)\s+(?:\w+ly\s+)?$", re.IGNORECASE
)
THING = re.compile(
    r"\s(?!(?:in|for|of|to|and|or|an?|the|is|was|were|are|on|at|by|per|from|that|which|it|he|she|they|we|you|more|less|"
    r"when|if|as|with|than|because|each|every|away|ago|long|wide|high|tall|deep|over|under|after|before|between|into|"
    r"down|up|off|out)\b)[a-z]{2,}"
)


def said(text: str, tongue: Tongue, kept: Kept) -> str:
    """“5 km”, “10–20 °C”, “5 GB/s”, “per m²”, “45 %”."""
    known = tongue.units
    if tongue.word("feet"):  # 5'10"
        text = FEET.sub(lambda m: kept.keep(_feet(m, tongue)), text)
    first, amount, alone = _patterns(tongue)
    if tongue.word("to"):
        text = first.sub(lambda m: kept.keep(_to(m, tongue)), text)

    def say(found: re.Match[str]) -> str:
        value = tongue.numbers.value(found[1])
        if found[2] == "%" and tongue.word("percent"):
            return kept.keep(tongue.word("percent").format(n=tongue.numbers.cardinal(value)))
        spoken = measured(value, known[found[2]], tongue, 1 if is_attribute(found, tongue) else value)
        return kept.keep(spoken) if spoken else found[0]

    text = PER.sub(lambda m: _per(m[1], known, tongue, kept), amount.sub(say, text))
    text = INVERSE.sub(lambda m: _inverse(m, tongue, kept), text)
    text = SIDES.sub(f"{tongue.joint}{tongue.word('by')}{tongue.joint}", text)
    return alone.sub(lambda m: kept.keep(name(known[m[0]], 1, tongue) or m[0]), text)


@cache
def _patterns(tongue: Tongue) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """The first number of “10–20 km”, “5 km”, and a unit without a number."""
    unit = rf"\s?({any_of(tongue.units)}){tongue.after_unit}(?:(?<=[a-z])\.(?=\s+[a-zà-ÿ]))?"
    return (
        re.compile(rf"(?<!-){tongue.before}({tongue.number})\s?[–~-]\s?(?={tongue.number}{unit})"),
        re.compile(rf"{tongue.before}((?:(?<![\w)])[-−])?{tongue.number}){unit}"),
        re.compile(rf"{tongue.before}(?:{any_of(ALONE)}){tongue.after}"),
    )


def _feet(found: re.Match[str], tongue: Tongue) -> str:
    a, b = (tongue.numbers.cardinal(int(found[n])) for n in (1, 2))
    return tongue.word("feet").format(a=a, b=b)


def is_attribute(found: re.Match[str], tongue: Tongue) -> bool:
    """“A $5 bill”, “a 5 km run”: in English what measures a thing is in the singular before it."""
    if tongue.language != "en":
        return False
    return DETERMINER.search(before(found)) is not None and THING.match(after(found)) is not None


def measured(value: Number, unit: Any, tongue: Tongue, named: Number) -> str:
    """A number with its unit, named as of ``named`` of them; ``unit`` is CLDR's id, or its singular and plural."""
    if not isinstance(unit, str):
        noun = name(unit, named, tongue)
        return tongue.joined(tongue.counted(value, noun), noun)
    before, after = tongue.numbers.unit(unit, named)
    noun = after or before
    return tongue.joined(before, tongue.counted(value, noun), after) if noun else ""


def name(unit: Any, value: Number, tongue: Tongue) -> str:
    """The name of a unit, in the number that goes with a value."""
    if isinstance(unit, str):
        return tongue.numbers.unit_name(unit, value)
    return str(unit[0] if tongue.numbers.is_one(value) else unit[1])


def _per(written: str, known: Mapping[str, Any], tongue: Tongue, kept: Kept) -> str:
    said = name(known[written], 1, tongue) if written in known else written
    return tongue.joint + kept.keep(tongue.joined(tongue.word("per"), said))


def _inverse(found: re.Match[str], tongue: Tongue, kept: Kept) -> str:
    unit = tongue.units.get(found[1] + ("" if found[2] == "¹" else found[2]))
    return tongue.joint + kept.keep(tongue.joined(tongue.word("per"), name(unit, 1, tongue))) if unit else found[0]


def _to(found: re.Match[str], tongue: Tongue) -> str:
    first = tongue.numbers.cardinal(tongue.numbers.value(found[1]))
    return tongue.joined(first, tongue.word("to")) + tongue.joint
