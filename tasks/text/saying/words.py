"""Abbreviations, signs, and what is not said at all: tags, citations, pictograms, marks of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from tasks.text.saying.tongue import DONE, NEAR, Tongue

MARKUP = re.compile(r"[*_`~|<>{}\[\]\\^]+")
PICTOGRAMS = re.compile("[\u2190-\u21ff\u2300-\u27bf\u2b00-\u2bff\ufe0f\u200d\U0001f000-\U0001faff™®©†‡]")
PLAIN_TAGS = """a abbr article aside b big blockquote body br center cite code dd del details div dl dt em figcaption
    figure font footer h1 h2 h3 h4 h5 h6 head header hr html i ins kbd li main mark nav ol p pre q rp rt ruby s samp
    section small span strike strong sub summary sup table tbody td tfoot th thead title tr tt u ul var wbr"""
TAG = re.compile(
    rf"</[A-Za-z][\w:-]{{0,20}}\s*>|<(?:{'|'.join(PLAIN_TAGS.split())})\s*/?>"
    r"|<[A-Za-z][\w:-]{0,20}(?:\s+[\w:-]{1,40}\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'<>]+)){1,20}\s*/?>",
    re.IGNORECASE,
)
"""Tags as HTML and SSML have them; what stands between two signs otherwise (“x<y then z>w”, “<name>”) is words."""
PLACEHOLDER = re.compile(r"(?<!\S)<([^\W\d_][^<>]{0,60})(?<=\S)>(?!\w)")
BREAK = re.compile(r"</?(?:br|p|div|li)\b", re.IGNORECASE)
CITATION = re.compile(r"\s?\[(?:\d{1,3}(?:\s?[,–-]\s?\d{1,3})*|sic|…|\.\.\.|citation needed)\]", re.IGNORECASE)
TOGETHER = re.compile(rf"(?<=[^\W\d_])/(?=[^\W\d_]|[\d{DONE[0]}])")
DOT = re.compile(r"\s*(?:\s[·•|]\s|•)\s*")
"""Marks between things that stand side by side: a breath."""
GREATER = re.compile(rf"(?<=[\w{DONE[1]}])\s*([<>])\s*(?=[\w{DONE[0]}])")
BEFORE = re.compile(r"(?<![^\s(（，、：:])([<>])(?=[\d$€£~])")
WORD = re.compile(r"\w+$")
GOES_ON = rf"\s*[,;:–-]|\s+[\da-zß-öø-ÿ{DONE[0]}]"
"""What follows a full stop that ends no sentence."""


def unmarked(text: str) -> str:
    """Without tags and the numbers of citations."""
    return CITATION.sub("", PLACEHOLDER.sub(r"\1", TAG.sub(" ", text)))


def abbreviations(text: str, tongue: Tongue) -> str:
    for pattern, short, words in _short(tongue):
        if short in text or short.capitalize() in text:
            text = pattern.sub(lambda m, short=short, words=words: _written_out(m, short, words), text)  # type: ignore[misc]
    return text


def is_abbreviation(text: str, at: int, tongue: Tongue) -> bool:
    """Whether the full stop at a place belongs to an abbreviation, and ends no sentence."""
    word = WORD.search(text, max(0, at - NEAR), at)
    for pattern, stop, last in _stops(tongue).get(word[0].lower() if word else "", ()):
        found = pattern.match(text, at - stop) if at >= stop else None
        if found is not None and (found["end"] is None or not last):
            return True
    return False


@cache
def _stops(tongue: Tongue) -> dict[str, list[tuple[re.Pattern[str], int, bool]]]:
    """Full stops of abbreviations by the word before each: its pattern, its place in it, whether it is the last."""
    found: dict[str, list[tuple[re.Pattern[str], int, bool]]] = {}
    for pattern, short, _ in _short(tongue):
        for stop in (at for at, sign in enumerate(short) if sign == "."):
            word = WORD.search(short, 0, stop)
            found.setdefault(word[0].lower() if word else "", []).append((pattern, stop, stop == len(short) - 1))
    return found


@cache
def _short(tongue: Tongue) -> tuple[tuple[re.Pattern[str], str, str], ...]:
    """Pattern, abbreviation and words, the longest first. What must stand beside it is in the table: ``#`` a number
    after it, ``^`` a capital, ``@`` what tells a time (“on Sun.”, “Sun. at nine”, but “the Sun.”)."""
    words = sorted(tongue.part("words").items(), key=lambda row: -len(row[0]))
    return tuple(_entry(written, said, tongue) for written, said in words)


def _entry(written: str, words: str, tongue: Tongue) -> tuple[re.Pattern[str], str, str]:
    needs = written[-1] if written[-2:] in (" #", " ^", " @") else ""
    short, said = (part.removesuffix(f" {needs}") if needs else part for part in (written, words))
    first = f"[{short[0].lower()}{short[0].upper()}]" if short[0].islower() else re.escape(short[0])
    plain = rf"{first}{re.escape(short[1:])}"
    beside = {
        "#": rf"{plain}(?=\s*\(?[\d{DONE[0]}])",
        "^": rf"{plain}(?=\s+[^\W\d_a-zß-öø-ÿ])",
        "@": rf"(?:{_after_any(tongue.word('when').split())}{plain}|{plain}(?={GOES_ON}))",
        "": plain,
    }[needs]
    # Before a capital the full stop of an abbreviation that often ends a sentence ends it too.
    often = short.replace(" ", "_") in tongue.word("ending").split()
    ends = r"(?=\s*$)|(?=\s+[A-ZÀ-Þ])" if often else r"(?=\s*$)" if short.endswith(".") else "(?!)"
    return re.compile(rf"(?<![\w.]){beside}(?!\w)(?P<end>{ends})?"), short, said


def _after_any(words: Iterable[str]) -> str:
    behind = (rf"(?<=\b(?i:{word}) )" for word in words)
    return f"(?:{'|'.join(behind)})"


def _written_out(found: re.Match[str], short: str, words: str) -> str:
    spoken = words[0].upper() + words[1:] if found[0][0].isupper() and short[0].islower() else words
    return spoken + ("." if found["end"] is not None else "")


def signs(text: str, tongue: Tongue) -> str:
    known = tongue.part("signs")
    compare = {"<": known.get("<", ""), ">": known.get(">", "")}
    text = DOT.sub("，" if tongue.unspaced else ", ", text)
    text = GREATER.sub(lambda m: _compared(m, compare, tongue), text)
    for sign, words in known.items():
        if sign not in compare:
            text = text.replace(sign, f"{tongue.joint}{words}{tongue.joint}")
    text = TOGETHER.sub(" ", re.sub(rf"(?<={DONE[1]})/(?={DONE[0]})", ", ", text))
    return re.sub(r"\s+([,.;:!?])|(?<=[(“«])\s+", r"\1", MARKUP.sub(" ", PICTOGRAMS.sub("", text)))


def comparisons(text: str, tongue: Tongue) -> str:
    """“<60 s”, “>2 GB”: signs that a number begins with, not those between two sides."""
    words = tongue.part("before")
    if not words:
        return text
    return BEFORE.sub(lambda m: f"{words[m[1]]}{tongue.joint}", text)


def _compared(found: re.Match[str], words: dict[str, str], tongue: Tongue) -> str:
    """“x > 5” compares; “Settings > General” is a way through menus."""
    text = found.string
    near = re.search(r"(\w+)$", text[: found.start()]), re.match(r"(\w+)", text[found.end() :])
    short = any(side is not None and (len(side[0]) == 1 or side[0].isdecimal()) for side in near)
    done = DONE[1] in text[found.start() - 1 : found.start()] or DONE[0] in text[found.end() : found.end() + 1]
    if short or done:
        return f"{tongue.joint}{words[found[1]]}{tongue.joint}"
    return ", " if found[1] == ">" else found[0]
