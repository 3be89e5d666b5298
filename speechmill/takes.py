"""Takes: renderings of lines, what was measured of them, and what was judged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from speechmill.lines import Doubt
from speechmill.recipes import Digest


class Verdict(StrEnum):
    PASSED = "passed"
    REVIEW = "review"  # it can be heard whole, but a person should look
    FAILED = "failed"  # it cannot be heard


class Reason(StrEnum):
    """Why a take or a line is not simply passed. Every doubt about the words is also a reason."""

    UNKNOWN_WORDS = Doubt.UNKNOWN_WORDS.value
    UNTRANSLATED = Doubt.UNTRANSLATED.value
    UNSURE_TRANSCRIPT = Doubt.UNSURE_TRANSCRIPT.value
    GLOSSARY_MISSED = Doubt.GLOSSARY_MISSED.value
    REPAIRED = Doubt.REPAIRED.value
    NO_WORD_TIMES = Doubt.NO_WORD_TIMES.value
    SOUND_EFFECT = Doubt.SOUND_EFFECT.value
    SOURCE_CHANGED = Doubt.SOURCE_CHANGED.value
    JOINED = Doubt.JOINED.value
    KEPT = Doubt.KEPT.value
    UNSUPPORTED = "unsupported"
    FAST = "fast"
    VERY_FAST = "very-fast"
    TALKS_OVER = "talks-over"
    OVERFLOW = "overflow"
    OVERLAPS_NEXT = "overlaps-next"
    BEYOND_END = "beyond-end"
    SILENT = "silent"
    TOO_QUIET = "too-quiet"
    CLIPPED = "clipped"
    TOO_LONG = "too-long"
    TOO_SHORT = "too-short"
    LONG_PAUSE = "long-pause"
    REPEATED = "repeated"
    NOT_UNDERSTOOD = "not-understood"
    ENGINE_REFUSED = "engine-refused"
    GIVEN_UP = "given-up"


SENTENCES: dict[Reason, str] = {
    Reason.UNKNOWN_WORDS: "The translator did not know some words; they are spoken as in the original.",
    Reason.UNTRANSLATED: "There is no translation; the original is heard here.",
    Reason.UNSURE_TRANSCRIPT: "The recogniser was not sure of these words.",
    Reason.GLOSSARY_MISSED: "A term of the glossary is missing from the translation.",
    Reason.REPAIRED: "The script's time for this line was impossible and was repaired.",
    Reason.NO_WORD_TIMES: "The recogniser gave no word times; the line was placed by when speech was heard.",
    Reason.SOUND_EFFECT: "The script describes a sound here, not speech; nothing is spoken.",
    Reason.SOURCE_CHANGED: "The text of the original was changed after this was written; it may no longer fit.",
    Reason.JOINED: "What this line says is said with the line before.",
    Reason.KEPT: "A person wants the original to be heard here.",
    Reason.UNSUPPORTED: "The document does not bear this line out.",
    Reason.FAST: "The line is played a little faster to fit.",
    Reason.VERY_FAST: "The line had to be made noticeably faster to fit.",
    Reason.TALKS_OVER: "The original speaks over the next line here, and so does the dub.",
    Reason.OVERFLOW: "The line is too long for its time even at the fastest speed; it is heard whole and runs on.",
    Reason.OVERLAPS_NEXT: "The line runs over the beginning of the next one.",
    Reason.BEYOND_END: "The line had to start earlier to end before the programme does.",
    Reason.SILENT: "Nothing can be heard in this take.",
    Reason.TOO_QUIET: "The take is very quiet.",
    Reason.CLIPPED: "The take is clipped.",
    Reason.TOO_LONG: "The take is much longer than its text suggests.",
    Reason.TOO_SHORT: "The take is much shorter than its text suggests.",
    Reason.LONG_PAUSE: "There is a long silence inside the take.",
    Reason.REPEATED: "Part of the take seems to be said twice.",
    Reason.NOT_UNDERSTOOD: "A recogniser listening to the take heard other words.",
    Reason.ENGINE_REFUSED: "The engine could not speak this line.",
    Reason.GIVEN_UP: "Speaking this line went wrong several times; the job's events say how.",
}
"""What a person reads; the codes are what a machine reads."""

NOTED = frozenset(
    {
        Reason.FAST,
        Reason.TALKS_OVER,
        Reason.NO_WORD_TIMES,
        Reason.REPAIRED,
        Reason.SOUND_EFFECT,
        Reason.JOINED,
        Reason.KEPT,
    },
)
"""Reasons that are told but need no person."""


def verdict_of(reasons: Iterable[Reason]) -> Verdict:
    """What the reasons amount to, for a line that can be heard."""
    return Verdict.REVIEW if set(reasons) - NOTED else Verdict.PASSED


@dataclass(frozen=True, slots=True)
class Measurements:
    """What was measured of one take; lengths in samples at 48 kHz, levels relative to full scale."""

    length_samples: int
    speech_start_samples: int  # first sample that is heard; what lies before is silence
    speech_end_samples: int  # one past the last sample that is heard
    loudness_lufs: float  # of the speech, gated; -70 where nothing is heard
    peak_dbfs: float
    error_rate: float | None = None  # characters heard wrong, 0..1, where an engine can hear the language

    @property
    def speech_samples(self) -> int:
        return self.speech_end_samples - self.speech_start_samples


@dataclass(frozen=True, slots=True)
class Take:
    """One rendering of a line."""

    line_id: str
    number: int  # 1 is the first try
    recipe: Digest
    audio: Digest | None  # 48 kHz mono float WAV; None where the engine refused
    measured: Measurements | None
    verdict: Verdict
    reasons: tuple[Reason, ...] = ()
    seed: int | None = field(default=None, compare=False)  # known to whoever asked for it; the catalog has the recipe
