"""Sentences and clauses of a text, by their places in it. Nothing is left out between them but spaces."""

from __future__ import annotations

import re
from itertools import pairwise

from speechmill.languages import UNSPACED, base
from tasks.text.saying.tongue import Tongue, tongue
from tasks.text.saying.words import is_abbreviation

LONGEST = 400  # characters of one line: about 27 s, well within the 60 s that MiMo-Audio decodes in one window
SHORT = 25  # a shorter sentence stays with the next: engines say single words badly
JOINED = 200
LOOK = 60  # characters around a full stop that tell whether it ends a sentence

END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[”’」』）]*|[।۔؟]")
CLAUSE = re.compile(r"[,;:–—](?=\s)|[，；：、]")
INITIAL = re.compile(r"(?:^|[\s(])(?:[A-Za-z]|[A-Za-z]\.[A-Za-z])$")  # “J.” of J. Smith, “e.g.”


def sentences(text: str, language: str, longest: int = LONGEST) -> list[tuple[int, int]]:
    """Places ``start:end`` of parts that are said as one line: a sentence, short ones joined, long ones cut at
    clauses."""
    parts = _joined(text, _ends(text, base(language)))
    return [place for start, end in parts for place in clauses(text, start, end, longest, language)]


def _ends(text: str, language: str) -> list[tuple[int, int]]:
    cuts = [0]
    for match in END.finditer(text):
        if match[0] != "." or not _goes_on(text, cuts[-1], match.start(), language):
            cuts.append(match.end())
    cuts.append(len(text))
    return [place for start, end in pairwise(cuts) if (place := _trimmed(text, start, end))[0] < place[1]]


def _goes_on(text: str, start: int, stop: int, language: str) -> bool:
    """Whether the sentence that begins at ``start`` does not end with the full stop at ``stop``."""
    before = text[max(start, stop - LOOK) : stop]
    after = text[stop + 1 : stop + 1 + LOOK].lstrip()
    word = before.split()[-1].strip("(\"“'") if before.split() else ""
    number = word.isdecimal() and len(word) < 3
    if after[:1].islower() or (INITIAL.search(before) and word != "i" and word != "I"):
        return True
    if number and (_is_ordinal(before, after, language) or (after[:1].isupper() and len(before) < 4)):
        return True  # “3. Mai”; “2.” alone is a number of a list
    speaks = tongue(language)
    known = speaks if speaks.part("words") else tongue("en")
    return is_abbreviation(text, stop, known) or _is_short(f"{word}.", after, speaks)


def _is_short(word: str, after: str, speaks: Tongue) -> bool:
    """Whether it is a million (“3 Mio. Euro”), or a unit or a month that no sentence ends with."""
    if word in speaks.part("scales"):
        return True
    month = speaks.numbers.months.get(word[:-1], word[:-1]) != word[:-1]
    return (month or word in speaks.units) and not after[:1].isupper()


def _is_ordinal(before: str, after: str, language: str) -> bool:
    """Whether “2.” in “am 2. Platz” is a German ordinal rather than the end of “Er wurde 21. Danach”."""
    if language != "de":
        return False
    speaks = tongue(language)
    words, noun = before.split(), re.match(r"\w+", after)
    if len(words) > 1 and speaks.ordinal_after(words[-2]) is not None:
        return True
    return noun is not None and (
        noun[0] in speaks.numbers.months or noun[0] in speaks.part("ordinals")["nouns"].split()
    )


def _joined(text: str, parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, end in parts:
        if found:
            first, last = found[-1]
            if (last - first < SHORT or end - start < SHORT) and end - first <= JOINED:
                found[-1] = (first, end)
                continue
        found.append((start, end))
    return [place for place in found if any(c.isalnum() for c in text[slice(*place)])]


def clauses(text: str, start: int, end: int, longest: int, language: str) -> list[tuple[int, int]]:
    """A part as pieces of at most ``longest`` characters, cut after a clause where there is one, or at a space."""
    start, end = _trimmed(text, start, end)
    if end - start <= longest:
        return [(start, end)] if start < end else []
    low, high, middle = start + (end - start) // 4, end - (end - start) // 4, (start + end) / 2
    ends = [match.end() for match in CLAUSE.finditer(text, low, high)]
    if not ends:
        ends = [at for at in range(low, high) if text[at].isspace()]
    if not ends and base(language) in UNSPACED:
        ends = [round(middle)]
    if not ends:
        ends = [start + longest]  # one word of hundreds of characters
    cut = min(ends, key=lambda at: abs(at - middle))
    return clauses(text, start, cut, longest, language) + clauses(text, cut, end, longest, language)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end
