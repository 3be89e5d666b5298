"""Angles in degrees and minutes, and places on the globe: “48°51′N, 2°21′E”."""

from __future__ import annotations

import re
from functools import cache

from tasks.text.saying.tongue import Kept, Tongue, any_of
from tasks.text.saying.units import measured

UNITS = (("°",), ("′", "min"), ("″", "s"))  # the first that a language has


def said(text: str, tongue: Tongue, kept: Kept) -> str:
    """Angles with minutes, or with the direction that they are counted in; other degrees are units like any."""
    return _pattern(tongue).sub(lambda found: _said(found, tongue, kept), text)


@cache
def _pattern(tongue: Tongue) -> re.Pattern[str]:
    letters = any_of(tongue.part("globe"))
    return re.compile(
        rf"""{tongue.before}(\d{{1,3}}(?:[.,]\d{{1,6}})?)\s?°
        (?:\s?(\d{{1,2}}(?:[.,]\d{{1,4}})?)\s?['’′](?!['’′]))?
        (?:\s?(\d{{1,2}}(?:[.,]\d{{1,4}})?)\s?(?:["”″]|['’′]{{2}}))?
        (?:\s?({letters})(?![A-Za-zÀ-ÿ-]))?""",
        re.VERBOSE,
    )


def _said(found: re.Match[str], tongue: Tongue, kept: Kept) -> str:
    direction = tongue.part("globe").get(found[4] or "", "")
    if not (found[2] or found[3] or direction):
        return found[0]
    parts = []
    for written, names in zip(found.group(1, 2, 3), UNITS, strict=True):
        if written:
            value = tongue.numbers.value(re.sub("[.,]", tongue.numbers.point, written))
            unit = next(tongue.units[name] for name in names if name in tongue.units)
            parts.append(measured(value, unit, tongue, value))
    if not all(parts):  # the language has no name for one of them
        return found[0]
    if tongue.unspaced:
        return kept.keep(direction + "".join(parts))
    return kept.keep(" ".join([*parts, direction]).strip())
