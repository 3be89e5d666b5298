"""The programme gain: one number, found by arithmetic from what was measured of the raw mix.

Louder needs limiting, and limiting makes softer, so the gain is looked for by trying: the energies and peaks of every
64 samples say how loud the limited programme will be without rendering it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tasks.sound.limiting import NODE_SAMPLES, Curve, curve, kept_energy
from tasks.sound.loudness import SILENCE_LUFS, STEP_SAMPLES, Energies, Numbers, Sound, amplitude, coarse, decibels
from tasks.sound.mixing import Span
from tasks.sound.overshoot import Overshoots

GAIN_STEP_DB = 0.1  # an edited line changes the programme's loudness by less, so mostly its gain stays what it was
KEEP_LU = 0.25  # half of the tightest profile's tolerance; a gain that was used before is kept within this
TRIES = 12
MOST_GAIN_DB = 40.0  # a source that needs more is noise
MOST_LIMITING_DB = 12.0  # gain beyond what loudness alone asks for: more would flatten speech altogether
LEAST_SLOPE = 0.2  # loudness gained by a decibel of gain: with less the limiter only flattens, and it is left at that
_AT_ONCE = 4096 * STEP_SAMPLES // NODE_SAMPLES  # blocks: seven minutes, so three hours of numbers stay 65 MB


@dataclass(frozen=True, eq=False, slots=True)
class Measured:
    """A raw mix in numbers: of every 64 samples the mean square (K-weighted, all channels) and the true peak."""

    mean_squares: Sound  # shape (blocks,)
    peaks: Sound  # shape (blocks,), linear
    demands: Sound | None = None  # what the limiter is to take the peaks for, where that is not what they are

    @classmethod
    def joined(cls, parts: Sequence[Measured]) -> Measured:
        return cls(np.concatenate([p.mean_squares for p in parts]), np.concatenate([p.peaks for p in parts]))

    def limited_for(self, overshoots: Overshoots, ceiling_db: float, limit_db: float) -> Measured:
        """The same mix, brought so far down where coding raises peaks that they end at ``limit_db`` after it."""
        demands = self.peaks.copy()
        more_db = np.maximum(0.0, overshoots.over_db + np.float32(ceiling_db - limit_db))
        demands[overshoots.blocks] *= np.float32(10) ** (more_db / np.float32(20))
        return replace(self, demands=demands)


@dataclass(frozen=True, eq=False, slots=True)
class Level:
    """A programme gain, the limiter's curve that it needs, and what the programme measures under both."""

    gain_db: float
    nodes: Curve
    peaks: Sound  # true peak of every 64 samples, under both; shape (blocks,)
    lufs: float

    @property
    def true_peak_dbtp(self) -> float:
        return decibels(float(self.peaks.max(initial=0.0)))


def settle(
    measured: Measured,
    target_lufs: float,
    ceiling_db: float,
    *,
    spans: Sequence[Span] | None = None,
    previous_gain_db: float | None = None,
) -> Level:
    """The gain that brings a programme to ``target_lufs`` under ``ceiling_db``, in steps of 0.1 dB.

    With ``spans`` the loudness is that of these spans only. Where the target cannot be reached (a silent source, or
    peaks that the limiter would have to flatten) the nearest sensible level is returned: compare its ``lufs``.
    """
    if previous_gain_db is not None:
        kept = at_gain(measured, previous_gain_db, ceiling_db, spans)
        if abs(kept.lufs - target_lufs) <= KEEP_LU:
            return kept
    raw_lufs = _lufs(coarse(measured.mean_squares, NODE_SAMPLES), spans)
    if raw_lufs <= SILENCE_LUFS:
        return at_gain(measured, 0.0, ceiling_db, spans)
    needed_db = target_lufs - raw_lufs
    most_db = min(needed_db + MOST_LIMITING_DB, MOST_GAIN_DB)
    level = at_gain(measured, _stepped(min(needed_db, most_db)), ceiling_db, spans)
    slope = 1.0
    for _ in range(TRIES):
        missing_lu = target_lufs - level.lufs
        gain_db = _stepped(min(level.gain_db + missing_lu / slope, most_db))
        if gain_db == level.gain_db:
            break
        tried = at_gain(measured, gain_db, ceiling_db, spans)
        slope = (tried.lufs - level.lufs) / (tried.gain_db - level.gain_db)
        if slope < LEAST_SLOPE or abs(target_lufs - tried.lufs) >= abs(missing_lu):
            break
        level = tried
    return level


def at_gain(measured: Measured, gain_db: float, ceiling_db: float, spans: Sequence[Span] | None = None) -> Level:
    """What the programme measures at a gain, limited."""
    factor = amplitude(gain_db)
    demands = measured.peaks if measured.demands is None else measured.demands
    nodes = curve(demands, amplitude(ceiling_db) / factor)
    peaks = np.empty_like(measured.peaks)
    steps: list[Numbers] = []
    for first in range(0, len(measured.peaks), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        gains = nodes[first : first + _AT_ONCE + 1]
        steps.append(coarse(measured.mean_squares[part] * kept_energy(gains), NODE_SAMPLES).mean_squares)
        np.multiply(measured.peaks[part], np.maximum(gains[:-1], gains[1:]) * np.float32(factor), out=peaks[part])
    energies = Energies(np.concatenate(steps) * factor**2 if steps else np.zeros(0))
    return Level(gain_db, nodes, peaks, _lufs(energies, spans))


def limited_lufs(measured: Measured, level: Level, span: Span) -> float:
    """What ``span`` of a programme measures at a level, by itself. It begins at a whole block of 64 samples."""
    first, last = span[0] // NODE_SAMPLES, span[1] // NODE_SAMPLES
    kept = measured.mean_squares[first:last] * kept_energy(level.nodes[first : last + 1])
    return Energies(coarse(kept, NODE_SAMPLES).mean_squares * amplitude(level.gain_db) ** 2).integrated_lufs


def _lufs(energies: Energies, spans: Sequence[Span] | None) -> float:
    return energies.integrated_lufs if spans is None else energies.over(spans)


def _stepped(gain_db: float) -> float:
    return round(round(gain_db / GAIN_STEP_DB) * GAIN_STEP_DB, 3)
