"""How long lines will be, and which of them fit into the minutes there are. Estimates; sound is measured later."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from speechmill.episodes import LineKind, Span
from speechmill.languages import UNSPACED, base
from tasks.conversation import Pauses
from tasks.documents.blocks import Link

TOLERANCE = 0.1  # minutes are met within 10 %
WORD = re.compile(r"[\w’'-]+")
PAUSES = Pauses()


@dataclass(frozen=True, slots=True)
class Draft:
    """A line before it has an id."""

    speaker: str
    text: str
    span: Span | None = None
    chapter: str = ""
    style: str = ""
    pace: float = 1.0
    gap_ms: int | None = None
    kind: LineKind = LineKind.SPEECH
    place: str = ""
    spoken: str = ""  # as it is said, where that differs from the text
    links: tuple[Link, ...] = ()  # in the text

    @property
    def said(self) -> str:
        return self.spoken or self.text


@dataclass(frozen=True, slots=True)
class Part:
    """Drafts that stay together, and where in their section they stand: 0 the beginning, towards 1 its end."""

    drafts: tuple[Draft, ...]
    position: float


def words(text: str, language: str) -> int:
    """Words; in languages without spaces two characters count as one."""
    if base(language) in UNSPACED:
        return -(-sum(1 for c in text if c.isalnum()) // 2)
    return len(WORD.findall(text))


def line_s(text: str, pace: float, characters_per_s: float) -> float:
    """Seconds of one line, said."""
    return max(0.3, len(text) / characters_per_s / pace)


def episode_s(drafts: Sequence[Draft], characters_per_s: float) -> float:
    """Seconds of an episode of these lines, with the silence between them. An overlap never reaches back before the
    line that it overlaps."""
    begun = ended = end = PAUSES.lead_ms / 1000
    for before, draft in zip([None, *drafts], drafts, strict=False):
        start = max(begun, ended + gap_s(before, draft, characters_per_s))
        stop = start + line_s(draft.said, draft.pace, characters_per_s)
        end = max(end, stop)
        if draft.kind != LineKind.BACKCHANNEL:
            begun, ended = start, stop
    return end + PAUSES.tail_ms / 1000


def gap_s(before: Draft | None, draft: Draft, characters_per_s: float) -> float:
    """Seconds of silence before a line; negative: it overlaps."""
    if before is None:
        return 0.0
    if draft.kind == LineKind.BACKCHANNEL:
        return -line_s(draft.said, draft.pace, characters_per_s)  # it lies inside the line before
    if draft.gap_ms is not None:
        return draft.gap_ms / 1000
    if draft.kind == LineKind.INTERRUPTION:
        return PAUSES.interruption_ms / 1000
    if draft.chapter and draft.chapter != before.chapter:
        return PAUSES.section_ms / 1000
    return (PAUSES.thought_ms if draft.speaker == before.speaker else PAUSES.turn_ms) / 1000


def fit(parts: Sequence[Part], minutes: float, characters_per_s: float) -> tuple[list[Part], list[Part]]:
    """The parts that fit, in their order, and those that do not.

    Every section is cut at the same share of its length, from its end, so that each keeps its beginning and nothing
    is torn out of the middle. What is chosen comes as near to the minutes as whole parts allow.
    """
    wanted_s = minutes * 60
    order = sorted(range(len(parts)), key=lambda at: (parts[at].position, at))

    def seconds(count: int) -> float:
        chosen = sorted(order[:count])
        return episode_s([draft for at in chosen for draft in parts[at].drafts], characters_per_s)

    low, high = 1, len(parts)  # more parts are never shorter
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if seconds(middle) < wanted_s else (low, middle)
    if low > 1 and wanted_s - seconds(low - 1) < seconds(low) - wanted_s:
        low -= 1
    kept = set(order[:low])
    return (
        [part for at, part in enumerate(parts) if at in kept],
        [part for at, part in enumerate(parts) if at not in kept],
    )
