"""Simple music, made on the spot: soft plucked notes over a pad, for shows that have no music of their own.

Everything is made in a circle: what rings on at the end rings at the beginning, so that a bed repeats without a seam,
and an intro or outro ends by fading.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from speechmill.lines import RATE_HZ
from tasks.sound.loudness import Numbers, Sound

VERSION = "1"
Kind = Literal["intro", "bed", "outro"]
BEAT_S = 0.5  # 120 a minute
CHORDS = ((57, 60, 64, 71), (53, 60, 64, 69), (48, 55, 64, 67), (55, 59, 62, 69))  # Am9 F△7 C G9, as MIDI notes
ORDER: dict[Kind, tuple[int, ...]] = {"intro": (1, 3, 2), "bed": (0, 1, 2, 3), "outro": (1, 3, 2)}  # ends on C
BEATS: dict[Kind, int] = {"intro": 4, "bed": 8, "outro": 4}  # of each chord
PLUCKED: dict[Kind, float] = {"intro": 0.5, "bed": 0.16, "outro": 0.4}  # a bed is felt rather than listened to
PARTIALS = ((1, 1.0), (2, 0.32), (3, 0.12), (4, 0.04))


def compose(kind: Kind) -> Sound:
    """An intro or outro of 6 s, or a bed of 16 s; shape (samples, 2)."""
    chord_samples = round(BEATS[kind] * BEAT_S * RATE_HZ)
    length = chord_samples * len(ORDER[kind])
    out = np.zeros((length, 2))
    for number, chord in enumerate(ORDER[kind]):
        at = number * chord_samples
        for place, note in enumerate(CHORDS[chord]):
            _add(out, at, _pad(note, chord_samples * 3 // 2), place / 3 - 0.5)
        for beat in range(BEATS[kind]):
            note = CHORDS[chord][(0, 2, 1, 3)[beat % 4]] + 12
            _add(out, at + round(beat * BEAT_S * RATE_HZ), PLUCKED[kind] * _pluck(note), 0.6 * (-1) ** beat)
    music: Sound = (0.25 * out / np.abs(out).max()).astype(np.float32)
    return music


def write(kind: Kind, out: Path) -> None:
    """Write ``compose(kind)`` as float WAV; equal every time."""
    from tasks.media.extraction import header
    from tasks.sound.layouts import STEREO

    music = compose(kind)
    out.write_bytes(header(STEREO, len(music)) + music.astype("<f4").tobytes())


def _add(out: Numbers, at: int, note: Numbers, pan: float) -> None:
    angle = (pan + 1) * np.pi / 4
    where = (at + np.arange(len(note))) % len(out)
    out[where] += note[:, None] * (np.cos(angle), np.sin(angle))


def _pitch_hz(note: int) -> float:
    return float(440 * 2 ** ((note - 69) / 12))


def _pad(note: int, length: int) -> Numbers:
    t = np.arange(length) / RATE_HZ
    slow = np.sin(np.pi * np.arange(length) / length) ** 2
    tone = sum(np.sin(2 * np.pi * _pitch_hz(note) * (1 + detune) * t) for detune in (-0.0015, 0.0015))
    pad: Numbers = 0.2 * slow * tone
    return pad


def _pluck(note: int) -> Numbers:
    t = np.arange(round(1.6 * RATE_HZ)) / RATE_HZ
    tone = sum(weight * np.sin(2 * np.pi * n * _pitch_hz(note) * t) * np.exp(-t * (2.5 + n)) for n, weight in PARTIALS)
    soft = np.minimum(1, np.arange(len(t)) / (0.006 * RATE_HZ)) * np.minimum(1, (len(t) - np.arange(len(t))) / 4800)
    plucked: Numbers = soft * tone
    return plucked
