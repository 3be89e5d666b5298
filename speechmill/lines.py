"""Lines: what is to be said, by whom, and in a film when the original said it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

RATE_HZ = 48_000
"""The one sample rate of the house. Times are whole samples at this rate."""


def samples(seconds: float) -> int:
    return round(seconds * RATE_HZ)


def seconds(count: int) -> float:
    return count / RATE_HZ


def samples_of_ms(ms: float) -> int:
    return round(ms * RATE_HZ / 1000)


class Doubt(StrEnum):
    """Why a person should look at a line's words, before anything is spoken."""

    UNKNOWN_WORDS = "unknown-words"
    UNTRANSLATED = "untranslated"
    UNSURE_TRANSCRIPT = "unsure-transcript"
    GLOSSARY_MISSED = "glossary-missed"
    REPAIRED = "repaired-script"
    NO_WORD_TIMES = "no-word-times"
    SOUND_EFFECT = "sound-effect"
    SOURCE_CHANGED = "source-changed"
    JOINED = "joined"
    KEPT = "kept-original"


UNSPOKEN = frozenset({Doubt.UNTRANSLATED, Doubt.SOUND_EFFECT, Doubt.JOINED, Doubt.KEPT})
"""Lines with one of these have no speech of their own: a dub never speaks the source's language instead."""
LEFT = frozenset({Doubt.UNTRANSLATED, Doubt.KEPT})
"""In place of lines with one of these the original is heard, as it is."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """When the original said a line."""

    start_samples: int
    end_samples: int

    @property
    def length_samples(self) -> int:
        return self.end_samples - self.start_samples


@dataclass(frozen=True, slots=True)
class Word:
    """One word as it was heard."""

    text: str
    start_samples: int
    end_samples: int
    confidence: float = 1.0  # 0..1, the engine's own opinion


@dataclass(frozen=True, slots=True)
class Line:
    """Something to be said."""

    id: str  # the same in every language of a job
    speaker: str
    language: str  # canonical BCP-47
    text: str  # as it is shown
    spoken: str = ""  # as it is said, where that differs from the text
    style: str = ""
    anchor: Anchor | None = None
    words: tuple[Word, ...] = ()
    doubts: tuple[Doubt, ...] = ()

    @property
    def said(self) -> str:
        return self.spoken or self.text

    @property
    def is_spoken(self) -> bool:
        return UNSPOKEN.isdisjoint(self.doubts)

    @property
    def is_left(self) -> bool:
        """Whether the original is heard instead."""
        return not LEFT.isdisjoint(self.doubts)
