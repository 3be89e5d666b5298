"""How loud a programme is: ITU-R BS.1770-4 and EBU Tech 3342, streaming, in parts that join exactly.

A ``Meter`` is fed blocks of sound and keeps, for every step of time, the K-weighted energy of all channels. Steps of
parts that were measured on their own (with a second of sound before them, so that the filter has settled) join into
those of the whole. Everything else is arithmetic on a few numbers a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.signal import firwin, sosfilt

from speechmill.lines import RATE_HZ

Sound = NDArray[np.float32]
"""Samples at 48 kHz, shape (samples, channels) for a programme and (samples,) for speech; full scale is ±1."""
Numbers = NDArray[np.float64]

K_WEIGHTING = np.array(
    [
        [1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585],
        [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621],
    ]
)
"""Second-order sections at 48 kHz: the head's shelf, then the high-pass (ITU-R BS.1770-4, tables 1 and 2)."""

OFFSET_LU = -0.691  # the same text, formula 2: makes a 997 Hz sine at full scale read −3.01
STEP_SAMPLES = RATE_HZ // 10  # gating blocks of 400 ms begin every 100 ms
GATING_STEPS = 4
SHORT_TERM_STEPS = 30
PREROLL_SAMPLES = RATE_HZ  # after a second the high-pass (time constant 4 ms) has forgotten where it began
SILENCE_LUFS = -70.0  # the absolute gate
RELATIVE_GATE_LU = -10.0
RANGE_GATE_LU = -20.0  # EBU Tech 3342
RANGE_PERCENTILES = (10.0, 95.0)

OVERSAMPLING = 4  # ITU-R BS.1770-4, annex 2: at least 192 kHz
TAPS_EACH_SIDE = 8
PEAK_SAMPLES = 64  # a true peak is read for every so many: large enough for one quick matrix product


def lufs(mean_square: float) -> float:
    """Loudness of a weighted mean square; −70 where there is nothing to hear."""
    return max(SILENCE_LUFS, OFFSET_LU + 10 * float(np.log10(mean_square))) if mean_square > 0 else SILENCE_LUFS


def decibels(amplitude: float) -> float:
    """Level of an amplitude relative to full scale; −120 for silence."""
    return max(-120.0, 20 * float(np.log10(amplitude))) if amplitude > 0 else -120.0


def amplitude(level_db: float) -> float:
    return float(10.0 ** (level_db / 20))


@dataclass(frozen=True, eq=False, slots=True)
class Energies:
    """Weighted mean squares of a programme, one for each whole step of 100 ms."""

    mean_squares: Numbers

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        return cls(np.concatenate([p.mean_squares for p in parts]) if parts else np.zeros(0))

    @property
    def integrated_lufs(self) -> float:
        """Gated loudness of the whole programme; −70 where nothing passes the absolute gate."""
        return lufs(_gated(_sliding(self.mean_squares, GATING_STEPS)))

    @property
    def range_lu(self) -> float:
        """Loudness range (EBU Tech 3342) over windows of 3 s; 0 for a programme shorter than that."""
        windows = _sliding(self.mean_squares, SHORT_TERM_STEPS)
        windows = windows[windows > _mean_square(SILENCE_LUFS)]
        if not len(windows):
            return 0.0
        windows = windows[windows > np.mean(windows) * 10 ** (RANGE_GATE_LU / 10)]
        low, high = np.percentile(10 * np.log10(windows), RANGE_PERCENTILES)
        return float(high - low)

    def over(self, spans: Iterable[tuple[int, int]]) -> float:
        """Gated loudness of the given spans of samples only: with speech spans, the speech-gated loudness.

        A gating block counts where at least half of it lies in the spans. Where no block does (a span shorter than
        400 ms), the steps that the spans touch count, each on its own; −70 where the spans are silent.
        """
        inside = coverage(spans, len(self.mean_squares))
        blocks = _sliding(self.mean_squares, GATING_STEPS)
        chosen = blocks[_sliding(inside, GATING_STEPS) >= 0.5] if len(blocks) else blocks
        if not len(chosen):
            chosen = self.mean_squares[inside > 0]
        return lufs(_gated(chosen))

    def of_span(self, start_samples: int, end_samples: int) -> float:
        """``over`` of one span, looking at nothing but the steps around it: thousands of lines ask a long programme."""
        first = max(0, start_samples // STEP_SAMPLES - GATING_STEPS)
        last = -(-end_samples // STEP_SAMPLES) + GATING_STEPS
        offset = first * STEP_SAMPLES
        return Energies(self.mean_squares[first:last]).over([(start_samples - offset, end_samples - offset)])


def coverage(spans: Iterable[tuple[int, int]], steps: int) -> Numbers:
    """How much of each step of 100 ms lies in the spans (disjoint, in samples), 0 to 1."""
    inside = np.zeros(steps + 1)
    for start, end in spans:
        first, last = start // STEP_SAMPLES, end // STEP_SAMPLES
        if first >= steps or end <= start:
            continue
        if first == last:
            inside[first] += (end - start) / STEP_SAMPLES
            continue
        inside[first] += 1 - start % STEP_SAMPLES / STEP_SAMPLES
        inside[first + 1 : last] += 1
        inside[min(last, steps)] += end % STEP_SAMPLES / STEP_SAMPLES
    return np.minimum(inside[:steps], 1.0)


def _sliding(values: Numbers, width: int) -> Numbers:
    """Means over ``width`` neighbouring steps."""
    if len(values) < width:
        return np.zeros(0)
    means: Numbers = np.lib.stride_tricks.sliding_window_view(values, width).mean(axis=1)
    return means


def _mean_square(loudness_lufs: float) -> float:
    return float(10 ** ((loudness_lufs - OFFSET_LU) / 10))


def _gated(blocks: Numbers) -> float:
    """Mean of the blocks above the absolute gate and, after that, above the relative one; 0 for none."""
    audible = blocks[blocks > _mean_square(SILENCE_LUFS)]
    if not len(audible):
        return 0.0
    return float(np.mean(audible[audible > np.mean(audible) * 10 ** (RELATIVE_GATE_LU / 10)]))


class Meter:
    """Measures sound that arrives in blocks of any length.

    ``weights`` is how much each channel counts; ``step_samples`` divides 100 ms.
    """

    def __init__(self, weights: Sequence[float], step_samples: int = STEP_SAMPLES) -> None:
        self._heard = [i for i, w in enumerate(weights) if w > 0]
        self._weights = np.array([weights[i] for i in self._heard])
        self._state = np.zeros((len(K_WEIGHTING), 2, len(self._heard)))
        self._step = step_samples
        self._rest = np.zeros((0, len(self._heard)))
        self._steps: list[Numbers] = []

    def settle(self, before: Sound) -> None:
        """Hear what comes before the part that is measured, without measuring it."""
        if len(before):
            self._power(before)

    def feed(self, block: Sound) -> None:
        """Measure the next samples, shape (samples, channels)."""
        if not len(block):
            return
        power = self._power(block)
        if len(self._rest):
            power = np.concatenate([self._rest, power])
        whole = len(power) // self._step * self._step
        if whole:
            sums = np.add.reduceat(power[:whole], np.arange(0, whole, self._step), axis=0)
            self._steps.append(sums @ self._weights / self._step)
        self._rest = power[whole:].copy()

    def steps(self) -> Numbers:
        """Weighted mean square of every whole step so far; what is left over counts nowhere, as the standard says."""
        return np.concatenate(self._steps) if self._steps else np.zeros(0)

    def _power(self, block: Sound) -> Numbers:
        heard = block if len(self._heard) == block.shape[1] else block[:, self._heard]
        filtered, self._state = sosfilt(K_WEIGHTING, heard.astype(np.float64), axis=0, zi=self._state)
        power: Numbers = np.square(filtered, out=filtered)
        return power


def coarse(steps: Numbers | Sound, step_samples: int) -> Energies:
    """Energies of 100 ms out of finer steps."""
    factor = STEP_SAMPLES // step_samples
    whole = len(steps) // factor * factor
    return Energies(steps[:whole].reshape(-1, factor).mean(axis=1, dtype=np.float64))


@cache
def _interpolator() -> tuple[Sound, float]:
    """The matrix that makes the three samples between every two of a frame, and the most it can enlarge a peak."""
    taps = 2 * TAPS_EACH_SIDE
    # With this window the band is flat within 0.2 dB up to 20 kHz: a peak is read at most that much too low.
    prototype = firwin(OVERSAMPLING * taps + 1, 1 / OVERSAMPLING, window=("kaiser", 5.0)) * OVERSAMPLING
    matrix = np.zeros((PEAK_SAMPLES + taps - 1, PEAK_SAMPLES, OVERSAMPLING - 1))
    most = 1.0
    for phase in range(1, OVERSAMPLING):
        branch = prototype[phase::OVERSAMPLING][:taps][::-1]
        branch /= branch.sum()
        most = max(most, float(np.abs(branch).sum()))
        for at in range(PEAK_SAMPLES):
            matrix[at : at + taps, at, phase - 1] = branch
    return np.ascontiguousarray(matrix.reshape(len(matrix), -1).T, dtype=np.float32), most


def true_peaks(sound: Sound, before: Sound, after: Sound, floor: float) -> Sound:
    """Largest true peak in every 64 samples of ``sound``, over all channels; shape (samples / 64,).

    ``before`` and ``after`` are the ``TAPS_EACH_SIDE`` samples on either side. Where the samples themselves are so
    small that no peak between them can be above ``floor``, the value is the most that it could be: such blocks are
    not worth the arithmetic.
    """
    matrix, most = _interpolator()
    frames = len(sound) // PEAK_SAMPLES
    edge = TAPS_EACH_SIDE
    padded = np.concatenate([before[-edge:], sound, after[:edge]])
    peaks = np.zeros(frames, np.float32)
    for channel in range(sound.shape[1] if frames else 0):
        line = np.ascontiguousarray(padded[:, channel])
        largest = _windows(np.abs(line), frames, edge).max(axis=1)
        bound = largest * np.float32(most)
        worth = np.flatnonzero(bound > floor)
        if len(worth):
            # The points between two samples need seven samples before the first to seven after the second of them.
            rows = _windows(line, frames, edge)[worth, 1:].T
            between = matrix @ rows
            inside = rows[edge - 1 : edge - 1 + PEAK_SAMPLES]
            bound[worth] = np.maximum.reduce(
                [between.max(axis=0), -between.min(axis=0), inside.max(axis=0), -inside.min(axis=0)]
            )
        np.maximum(peaks, bound, out=peaks)
    return peaks


def _windows(line: Sound, frames: int, edge: int) -> Sound:
    """Every 64 samples with their edges, shape (frames, 64 + 2 * edge): a view."""
    stride = line.strides[0]
    return np.lib.stride_tricks.as_strided(line, (frames, PEAK_SAMPLES + 2 * edge), (PEAK_SAMPLES * stride, stride))
