"""Sentences and clauses of a text, by their places in it. Nothing is left out between them but spaces."""

from __future__ import annotations

import re
from itertools import pairwise

from speechmill.languages import UNSPACED, base
from tasks.text.saying.tongue import tongue

LONGEST = 400  # characters of one line: about 27 s, well within the 60 s that MiMo-Audio decodes in one window
SHORT = 25  # a shorter sentence stays with the next: engines say single words badly
JOINED = 200

END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[”’」』）]*|[।۔؟]")
CLAUSE = re.compile(r"[,;:–—](?=\s)|[，；：、]")
INITIAL = re.compile(r"(?:^|[\s(])(?:[A-Za-z]|[A-Za-z]\.[A-Za-z])$")  # “J.” of J. Smith, “e.g.”
ABBREVIATED = frozenset(
    re.findall(
        r"\S+",
        """mr mrs ms dr prof sr sra dra srta dña st jr vs cf ca approx etc ed al inc ltd co corp dept est incl excl gen
        gov sen rep capt col lt sgt rev hon mt jan feb mar apr jun jul aug sep sept oct nov dec okt dez mon tue wed thu
        fri bzw usw vgl hr fr evtl ggf inkl exkl zzgl bspw bzgl sog zw dt u jh jhd std min sek mio mrd tsd str geb gest
        hl aprox ud uds av avda lun mié jue vie sáb dto env m mm mme mlle dott sig sigg ecc ing avv on cfr bijv bv dhr
        mevr mw drs enz resp tel tél s c b d""",
    )
)
NEEDS_CAPITAL = frozenset(
    ("etc", "usw", "ecc", "enz", "al", "inc", "ltd", "co", "corp", "jh", "std", "min", "sek", "dto")
)
"""Abbreviations that may also end a sentence."""
NUMBERED = frozenset(
    [
        "no",
        "nos",
        "fig",
        "figs",
        "eq",
        "sec",
        "p",
        "pp",
        "vol",
        "ch",
        "art",
        "nr",
        "abb",
        "tab",
        "kap",
        "bd",
        "pág",
        "págs",
        "pag",
        "pagg",
        "núm",
        "cap",
        "n",
        "blz",
        "chap",
        "tel",
        "tél",
        "s",
        "c",
    ]
)
"""Abbreviations of what has a number: without one behind it, the word ends a sentence (“No.”)."""


def sentences(text: str, language: str, longest: int = LONGEST) -> list[tuple[int, int]]:
    """Places ``start:end`` of parts that are said as one line: a sentence, short ones joined, long ones cut at
    clauses."""
    parts = _joined(text, _ends(text, base(language)))
    return [place for start, end in parts for place in clauses(text, start, end, longest, language)]


def _ends(text: str, language: str) -> list[tuple[int, int]]:
    cuts = [0]
    for match in END.finditer(text):
        before = text[cuts[-1] : match.start()]
        word = before.rsplit(None, 1)[-1].lower().strip("(\"“'") if before.split() else ""
        following = text[match.end() :].lstrip()[:1]
        if match[0].startswith(".") and len(match[0]) == 1:
            if word in NUMBERED and (following.isdigit() or following == "("):
                continue
            if (
                language == "de"
                and word.isdecimal()
                and len(word) < 3
                and _is_german_ordinal(before, text[match.end() :])
            ):
                continue
            if word in ABBREVIATED and word not in NUMBERED and not (word in NEEDS_CAPITAL and following.isupper()):
                continue
            if INITIAL.search(before) and word != "i":
                continue
            if following.islower() or (word.isdecimal() and len(word) < 3 and following.isupper() and len(before) < 4):
                continue  # “3. Mai” goes on; “2.” alone is a number of a list
        cuts.append(match.end())
    cuts.append(len(text))
    return [place for start, end in pairwise(cuts) if (place := _trimmed(text, start, end))[0] < place[1]]


def _is_german_ordinal(before: str, after: str) -> bool:
    """Whether “2.” in “am 2. Platz” is an ordinal rather than the end of “Er wurde 21. Danach”."""
    rules = tongue("de").part("ordinals")
    words = before.split()
    said_so = len(words) > 1 and words[-2].lower().strip('(„“"') in f"{rules['before_n']} {rules['before_e']}".split()
    noun = re.match(r"\s+(\w+)", after)
    return said_so or (
        noun is not None and noun[1] in f"{rules['nouns']} {' '.join(tongue('de').numbers.months)}".split()
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
