"""The spoken form of a text: numbers, dates, times, units, money, formulas, abbreviations and signs as they are said.

The display form stays as it was; where nothing is to be said otherwise the spoken form is the same. The rules are in
``saying``, each for one kind of thing; they are applied one after the other, what is long and certain first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from speechmill.languages import is_unspaced
from tasks.text.saying import (
    addresses,
    angles,
    asides,
    clock,
    dates,
    figures,
    formulas,
    fractions,
    money,
    romans,
    telephone,
    units,
    words,
)
from tasks.text.saying.tongue import Kept, tongue

NUMBERS = (
    dates.said, clock.said, telephone.said, money.said, figures.ordinals, fractions.said,
    figures.ratios, money.scales, angles.said, units.said, figures.ranges, formulas.shifted, figures.plain,
)  # fmt: skip

UNITS = "/$€£¥%°"  # which may stand alone
SWISS = re.compile(r"(?<=\d)['’](?=\d{3}(?:['’]\d{3})*(?![\d'’\"″]))")  # of “3'500”, which feet and inches never have
ELIDED = re.compile(r"(?<=\bd') |(?<=\bun') ")
"""The space after “d'” of “d'euros”, “un'” of “un'ora”."""


def spoken_form(text: str, language: str, lexicon: Mapping[str, str] | None = None) -> str:
    """The text as it is said. ``lexicon`` (term: respelling) goes before everything else and is said as it stands."""
    kept = Kept()
    speaks = tongue(language)
    text = re.sub("[\ue000-\uf8ff]", "", text)
    for term in sorted(lexicon or {}, key=len, reverse=True):
        text = _bounded(term, language).sub(lambda _, said=(lexicon or {})[term]: kept.keep(said), text)  # type: ignore[misc]
    text = asides.without(words.unmarked(text), speaks)
    text = formulas.said(text, speaks, kept)
    text = words.comparisons(text, speaks)
    text = addresses.said(text, speaks, kept)
    if speaks.numbers.known:
        text = romans.said(SWISS.sub("", text), speaks, kept)
        if any(c.isnumeric() or c in UNITS for c in text):
            for rule in NUMBERS:
                text = rule(text, speaks, kept)
    text = formulas.greek(words.abbreviations(text, speaks), speaks)
    return ELIDED.sub("", " ".join(kept.back(words.signs(text, speaks)).split()))


def directions(text: str, language: str) -> list[str]:
    """What of a text is not said, since it says how the rest is: “[laughs]”, as written."""
    return list(asides.of(words.unmarked(text), tongue(language)))


def without_tags(text: str) -> str:
    """The text without HTML tags, which people write into scripts."""
    return " ".join(words.TAG.sub(lambda tag: " " if words.BREAK.match(tag[0]) else "", text).split())


def _bounded(term: str, language: str) -> re.Pattern[str]:
    escaped = re.escape(term)
    if is_unspaced(language):
        return re.compile(escaped)
    before = r"(?<!\w)" if term[:1].isalnum() else ""
    after = r"(?!\w)" if term[-1:].isalnum() else ""
    return re.compile(before + escaped + after)
