"""Whether the document bears out what is said: quotations word for word, numbers, and the words of what it cites."""

from __future__ import annotations

import re
import unicodedata

from speechmill.languages import UNSPACED, base

QUOTED = re.compile(r"“([^“”]+)”|\"([^\"]+)\"|«([^«»]+)»|„([^„“”]+)[“”]|「([^「」]+)」")
QUOTE_WORDS = 3  # fewer words between quotation marks are a name or irony
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
CONTENT = re.compile(r"[^\W\d_]{4,}")
ASSERTS_WORDS = 9  # a shorter line without a source is talk: a greeting, an answer, a question
SHARED = 0.25  # of a line's longer words stand in what it cites; below this it says something else
STEM = 5  # letters: enough that “trains” is found in “training”, little enough that forms of a word agree


def folded(text: str) -> str:
    """A text as it is compared: without case, marks or differences of spaces and apostrophes."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return " ".join(re.sub(r"[^\w']+", " ", text).split())


def false_quotes(line: str, document: str) -> list[str]:
    """Quotations of a line that do not stand in the document (``folded``) word for word."""
    found = [next(filter(None, groups)) for groups in QUOTED.findall(line)]
    return [
        quote for quote in found if len(quote.split()) >= QUOTE_WORDS and f" {folded(quote)} " not in f" {document} "
    ]


def without_quotes(line: str, quotes: list[str]) -> str:
    """The line with these quotations said as anybody's words."""
    for quote in quotes:
        line = re.sub(rf"[“\"«„「]{re.escape(quote)}[”\"»“」]", lambda _, said=quote: said, line)  # type: ignore[misc]
    return line


def doubt(line: str, cited: str, document: str, language: str) -> str:
    """Why a line may not be borne out by the document (a sentence); empty where it is. ``cited`` is the text that it
    cites, ``document`` the whole text."""
    known = set(NUMBER.findall(document))
    strange = [number for number in NUMBER.findall(line) if number not in known]
    if strange:
        return f"The number {strange[0]} does not stand in the document."
    if base(language) in UNSPACED:
        return ""  # words cannot be told apart without a dictionary
    asserts = len(line.split()) >= ASSERTS_WORDS and not line.rstrip().endswith("?")
    if not cited:
        return "It cites no part of the document." if asserts else ""
    stems = {word[:STEM].casefold() for word in CONTENT.findall(cited)}
    words = [word[:STEM].casefold() for word in CONTENT.findall(line)]
    share = sum(word in stems for word in words) / max(1, len(words))
    if asserts and words and share < SHARED:
        return f"Only {share:.0%} of its longer words stand in the part of the document that it cites."
    return ""


def runs_of(line: str, run: int = 8) -> set[tuple[str, ...]]:
    """All runs of so many words in a row: a line that shares one with an earlier line repeats it."""
    words = folded(line).split()
    return {tuple(words[at : at + run]) for at in range(len(words) - run + 1)}
