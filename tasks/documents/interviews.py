"""Interviews: paragraphs that begin with who says them (“Ana Prat: …”, “Q: …”) become what these people say. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tasks.documents.blocks import Dropped, Kind, Piece
from tasks.text.labels import NO_NAMES

LABEL = re.compile(r"^([^\W\d_][^\n:：.!?,;“”\"]{0,40}?)\s?[:：]\s+(?=\S)")
MOST_WORDS = 5
MOST_SPEAKERS = 6
TIMES = 2  # a label that stands before fewer paragraphs is a word of the text (“Note: …”)
LEAST_SHARE = 0.5  # of the paragraphs begin with one of them


def told_apart(found: Sequence[Piece | Dropped]) -> list[Piece | Dropped]:
    """The pieces, with those who speak in an interview as their speakers; as they were where it is none.

    A paragraph without a label after one that has one is said by the same person. What stands before the first label
    is nobody's.
    """
    paragraphs = [piece for piece in found if isinstance(piece, Piece) and piece.kind in (Kind.BODY, Kind.QUOTE)]
    labels = Counter(label for piece in paragraphs if (label := _label(piece)))
    short = {label: _full(label, labels) for label in labels}
    times = Counter(dict.fromkeys(short.values(), 0))
    for label, count in labels.items():
        times[short[label]] += count
    speakers = {full for full, count in times.items() if count >= TIMES}
    said = sum(times[full] for full in speakers)
    if not 1 < len(speakers) <= MOST_SPEAKERS or said < LEAST_SHARE * len(paragraphs):
        return list(found)
    return list(_spoken(found, {label: full for label, full in short.items() if full in speakers}))


def _spoken(found: Sequence[Piece | Dropped], names: dict[str, str]) -> Iterator[Piece | Dropped]:
    speaker = ""
    for piece in found:
        if isinstance(piece, Dropped) or piece.kind not in (Kind.BODY, Kind.QUOTE, Kind.LIST):
            speaker = "" if isinstance(piece, Piece) and piece.kind == Kind.HEADING else speaker
            yield piece
            continue
        match = LABEL.match(piece.text)
        if match is not None and match[1] in names:
            speaker = names[match[1]]
            yield replace(piece, text=piece.text[match.end() :], speaker=speaker)
        else:
            yield replace(piece, speaker=speaker)


def _label(piece: Piece) -> str:
    """What may be a name before a paragraph: a few words with capitals."""
    match = LABEL.match(piece.text)
    if match is None:
        return ""
    words = match[1].split()
    named = all(not word[0].islower() or len(word) < 4 for word in words)
    if NO_NAMES & {words[0].casefold(), words[-1].casefold()}:
        return ""
    return match[1] if len(words) <= MOST_WORDS and named else ""


def _full(label: str, labels: Counter[str]) -> str:
    """The full name that a label is short for: its initials, or one of its words."""
    for full in labels:
        words = re.findall(r"[^\W\d_]+", full)
        initials = "".join(word[0] for word in words if not word[0].islower())
        if full != label and len(words) > 1 and (label.replace(".", "") == initials or label in words):
            return full
    return label
