"""Fractions: “½”, “2½ l”, “1 1/2 cups”, “3/4”, “8/10”, and other numbers with a slash between them."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from tasks.text.saying import units
from tasks.text.saying.figures import years
from tasks.text.saying.tongue import Kept, Tongue, after, any_of

VULGAR = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
NAMES = frozenset({(9, 11), (24, 7), (50, 50), (20, 20), (7, 7)})  # said as two numbers: “twenty-four seven”
MOST_PARTS = 20  # more of them are no fraction that one says as such
TENTHS = 10  # “eight out of ten”: mostly marks and counts
MOST_OF = 100
MOST_DIGITS_OVER = 999  # “one hundred twenty over eighty”; beyond are years and numbers of files


def said(text: str, tongue: Tongue, kept: Kept) -> str:
    if not tongue.word("over"):
        return text
    sign, slash = _patterns(tongue)

    def vulgar(found: re.Match[str]) -> str:
        top, _, bottom = unicodedata.normalize("NFKC", found["sign"]).partition("⁄")
        return kept.keep(_measured(found, int(top), int(bottom), tongue))

    text = sign.sub(vulgar, text)
    text = re.sub(r"(?<=\d)\s/\s(?=\d)", " ÷ ", text)
    return slash.sub(lambda m: kept.keep(_slash(m, tongue)), text)


@cache
def _patterns(tongue: Tongue) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """“2½ l”, and “1 1/2 l”."""
    unit = rf"(?:\s?(?P<unit>{any_of(tongue.units)})(?![\w/²³°]))?"
    both = r"(?P<top>\d{1,4})[/⁄](?P<bottom>\d{1,4})"
    return (
        re.compile(rf"(?:{tongue.before}(?P<whole>\d{{1,3}})\s?)?(?P<sign>[{VULGAR}]){unit}"),
        re.compile(rf"{tongue.before}(?:(?P<whole>\d{{1,3}})\s)?{both}{tongue.after}{unit}"),
    )


def _slash(found: re.Match[str], tongue: Tongue) -> str:
    top, bottom = int(found["top"]), int(found["bottom"])
    fraction = str(bottom) in tongue.part("fractions") or bool(tongue.word("fraction"))
    if fraction and (found["unit"] or (found["whole"] and top < bottom)):
        return _measured(found, top, bottom, tongue)
    if fraction and bottom != TENTHS and (top, bottom) not in NAMES and top <= MOST_PARTS:
        words = _measured(found, top, bottom, tongue) if not found["whole"] else _part(top, bottom, tongue)
    else:
        words = _slashed(top, bottom, tongue)
    whole = tongue.numbers.cardinal(int(found["whole"])) if found["whole"] else ""
    return tongue.joined(whole, words, units.name(tongue.units[found["unit"]], 2, tongue) if found["unit"] else "")


def _slashed(top: int, bottom: int, tongue: Tongue) -> str:
    if max(top, bottom) > MOST_DIGITS_OVER or not bottom:
        return " ".join(years(str(number), tongue) for number in (top, bottom))
    a, b = tongue.numbers.cardinal(top), tongue.numbers.cardinal(bottom)
    if (top, bottom) in NAMES:
        return f"{a} {b}"
    return tongue.word("out_of" if top < bottom <= MOST_OF else "over").format(a=a, b=b)


def _measured(found: re.Match[str], top: int, bottom: int, tongue: Tongue) -> str:
    """A fraction with what it measures: “half a litre”, “three quarters of a litre”, “two and a half litres”."""
    unit = tongue.units[found["unit"]] if found["unit"] else None
    if found["whole"]:
        several = units.name(unit, 2, tongue) if unit else ""
        return tongue.joined(_mixed(int(found["whole"]), top, bottom, tongue), several)
    noun = units.name(unit, 1, tongue) if unit else _noun(found)
    halves = tongue.table.get("half")
    if (top, bottom) == (1, 2) and halves and noun:
        half = str(halves[1 if tongue.gender(noun) == "feminine" else 0])
        if tongue.language == "en" and noun[0] in "aeiou" + "h" * noun.startswith("hour"):
            half = half.replace(" a", " an")
        return tongue.joined(half, noun if unit else "")
    return tongue.joined(_part(top, bottom, tongue), tongue.word("part_of") if unit else "", noun if unit else "")


def _noun(found: re.Match[str]) -> str:
    """The word after a fraction, where that may be what it measures."""
    noun = re.match(r"\s+([^\W\d_]{3,})", after(found))
    return noun[1] if noun and noun[1] not in ("and", "und", "der", "the", "des", "del", "van") else ""


def _mixed(whole: int, top: int, bottom: int, tongue: Tongue) -> str:
    part = _part(top, bottom, tongue)
    if tongue.language == "en" and top == 1:
        part = f"a {part.removeprefix('one ')}"
    if (top, bottom) == (1, 2) and tongue.word("and_half"):
        return tongue.word("and_half").format(n=tongue.numbers.cardinal(whole, "masculine"))
    return tongue.word("mixed").format(n=tongue.numbers.cardinal(whole), part=part)


def _part(top: int, bottom: int, tongue: Tongue) -> str:
    """A fraction: “three quarters”."""
    names = tongue.part("fractions").get(str(bottom))
    if names is None:
        form = tongue.word("fraction") or tongue.word("over")
        return form.format(a=tongue.numbers.cardinal(top), b=tongue.numbers.cardinal(bottom))
    return f"{tongue.numbers.cardinal(top, 'masculine')} {names[0] if top == 1 else names[1]}"
