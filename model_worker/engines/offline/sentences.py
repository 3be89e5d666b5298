"""Sentences: taken apart before a translator sees them, put together as their language writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from speechmill.languages import base

ABBREVIATIONS = frozenset({
    "mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "no", "vs", "etc", "e.g", "i.e", "a.m", "p.m", "u.s", "u.k",
})  # fmt: skip
INVERTED = frozenset({"es", "ast"})
"""Languages that open questions and exclamations with a mark of their own."""
OPENERS = {"?": "¿", "!": "¡"}

_END = re.compile(r"[.?!…]+[\"'”’»)]*(?=\s|$)")
_QUOTES = "\"'”’»)"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence without its end, and the end: a mark, or nothing."""

    text: str
    end: str


def split(text: str) -> list[Sentence]:
    """The sentences of a text, in order; nothing but white space is lost."""
    found: list[Sentence] = []
    begin = 0
    for mark in _END.finditer(text):
        body = text[begin : mark.start()].strip()
        last = body.rsplit(None, 1)[-1].lower() if body else ""
        single = len(last) == 1 and last.isalpha() and last != "i"
        if mark[0] == "." and mark.end() < len(text) and (last in ABBREVIATIONS or single):
            continue
        if text[mark.end() :].lstrip()[:1].islower():  # “Are you here?” she asked.
            continue
        if body:
            found.append(Sentence(body, mark[0]))
        begin = mark.end()
    rest = text[begin:].strip()
    if rest:
        found.append(Sentence(rest, ""))
    return found


def punctuated(text: str, like: Sentence, language: str) -> str:
    """The translated sentence with the end of the original, and with the marks of its own language around it."""
    bare = re.sub(r"\s+", " ", text).strip()
    bare = re.sub(r"[.?!…\s]+$", "", bare.rstrip(_QUOTES) if like.end[-1:] in _QUOTES else bare)
    bare = re.sub(r"\s+([,.;:?!…])", r"\1", bare)
    bare = re.sub(r"^[,.;:\s]+", "", bare)
    if not any(c.isalnum() for c in bare):
        return ""
    mark = next((c for c in bare + like.end if c in OPENERS), "")
    if mark and base(language) in INVERTED and OPENERS[mark] not in bare:
        opening = re.match(r"[\"'“‘«(—–-]*\s*", bare)
        at = opening.end() if opening else 0
        bare = bare[:at] + OPENERS[mark] + bare[at:]
    return bare + like.end


def cased_like(source: str, text: str) -> str:
    """Capitals as the original has them: the same at the beginning, none all through, unless the original shouts."""
    if source.isupper():
        return text
    calm = re.sub(r"\b[^\W\d_]{2,}\b", lambda found: _calm(found[0], source), text)
    first = next((c for c in source if c.isalpha()), "")
    at = next((index for index, c in enumerate(calm) if c.isalpha()), None)
    if at is None or not first:
        return calm
    return calm[:at] + (calm[at].upper() if first.isupper() else calm[at].lower()) + calm[at + 1 :]


def _calm(word: str, source: str) -> str:
    """A word in capitals that the original does not have is a translator's slip (``EL agua``)."""
    return word if not word.isupper() or word in source else word.capitalize()
