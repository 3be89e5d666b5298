"""By how much lossy coding moves loudness: learnt from a few pieces before a programme is mastered for good.

MP3 leaves out what lies above 15 to 17 kHz, and what little it can spare below. Of speech that is next to nothing; of
sound with much in the heights it is half a unit and more, and a programme that was found too soft after an hour of
encoding would have to be mastered again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from speechmill.lines import RATE_HZ
from tasks.sound import metering
from tasks.sound.loudness import SILENCE_LUFS
from tasks.sound.mixing import Span

PIECES = 8
"""Spread over the programme. Each weighs by its energy, as in the programme's loudness; eight of 6.4 s cost as much as
encoding a minute."""
LEAST_LU = 0.1  # a smaller shift is left alone: the gain has steps of this size


def pieces(length_samples: int, piece_samples: int) -> list[Span]:
    """Where to listen: whole pieces spread evenly, all of a programme that has no more of them."""
    count = -(-length_samples // piece_samples)
    chosen = range(count) if count <= PIECES else [round((i + 0.5) * (count - 1) / PIECES) for i in range(PIECES)]
    return [(i * piece_samples, min((i + 1) * piece_samples, length_samples)) for i in chosen]


def shift_lu(coded: Iterable[tuple[float, float]]) -> float:
    """How much louder coding makes a programme, from the loudness (LUFS) of its pieces before and after; 0 for
    silence."""
    heard = [pair for pair in coded if min(pair) > SILENCE_LUFS]
    if not heard:
        return 0.0
    before, after = (sum(10 ** (lufs / 10) for lufs in side) for side in zip(*heard, strict=True))
    shift = 10 * math.log10(after / before)
    return round(shift, 2) if abs(shift) >= LEAST_LU else 0.0


def measured_lufs(encoded: Path) -> float:
    """The loudness of one encoded piece."""
    return metering.read(encoded, metering.Part(0, None)).loudness().integrated_lufs


def is_measurable(span: Span) -> bool:
    """Whether a piece is long enough to have a loudness: 400 ms, and what the encoder keeps for itself."""
    return span[1] - span[0] >= RATE_HZ // 2
