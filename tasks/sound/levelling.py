"""How loud each line is said: as the original said it, around one level for each speaker.

Lines are never made equally loud one by one: a whisper stays softer than a shout. But a recogniser's span may catch a
door or a brass section, so no line is further than two loudness units from what its speaker usually says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

DIALOGUE_LUFS = -27.0  # where nothing in the source tells: Netflix's dialogue level, early enough below full scale
AROUND_MEDIAN_LU = 2.0  # a line follows its source line within this much of its speaker's median
AUDIBLE_LUFS = -50.0  # a source span below this holds no speech: a script may speak over silence
SPEECH_LUFS = -69.9  # a take below this is silent: there is nothing to make louder
MOST_DB = 24.0  # more would raise a take's noise instead of its speech


@dataclass(frozen=True, slots=True)
class Level:
    """What was measured of one line: of the source while it is said there, and of its take. ``None``: not there."""

    line_id: str
    speaker: str
    source_lufs: float | None
    take_lufs: float


def level(lines: Iterable[Level]) -> dict[str, float]:
    """The gain of each line's take in dB, by line id, rounded to 0.01 dB."""
    lines = list(lines)
    by_speaker: dict[str, list[float]] = defaultdict(list)
    for line in lines:
        if _audible(line.source_lufs):
            by_speaker[line.speaker].append(line.source_lufs or 0.0)
    medians = {speaker: median(found) for speaker, found in by_speaker.items()}
    everybody = median(medians.values()) if medians else DIALOGUE_LUFS
    return {line.line_id: _gain(line, medians.get(line.speaker, everybody)) for line in lines}


def _audible(loudness_lufs: float | None) -> bool:
    return loudness_lufs is not None and loudness_lufs > AUDIBLE_LUFS


def _gain(line: Level, usual_lufs: float) -> float:
    if line.take_lufs <= SPEECH_LUFS:
        return 0.0
    wanted = usual_lufs
    if line.source_lufs is not None and _audible(line.source_lufs):
        wanted = min(max(line.source_lufs, usual_lufs - AROUND_MEDIAN_LU), usual_lufs + AROUND_MEDIAN_LU)
    return round(min(max(wanted - line.take_lufs, -MOST_DB), MOST_DB), 2)
