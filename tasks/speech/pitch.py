"""How high somebody speaks: the fundamental frequency, by the autocorrelation of short frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOWEST_HZ, HIGHEST_HZ = 60.0, 400.0  # from a deep man's voice to a child's
FRAME_S, HOP_S = 0.04, 0.01  # two periods of the lowest pitch fit into a frame and a half
VOICED = 0.5  # of a frame's energy repeats after one period; Boersma 1993 takes 0.45
LOUD_DB = 25.0  # frames this far below the loudest are not the speaker
OCTAVE_COST = 0.02  # per octave: of two periods that fit alike the shorter is meant (Boersma 1993: 0.01)


def pitch_track(sound: NDArray[np.float32], rate_hz: int) -> NDArray[np.float64]:
    """Pitch in Hz every 10 ms; NaN where nothing is voiced. ``sound`` is one channel, best at 8 or 16 kHz."""
    frame, hop = round(FRAME_S * rate_hz), round(HOP_S * rate_hz)
    if len(sound) < frame:
        return np.full(0, np.nan)
    frames = np.lib.stride_tricks.sliding_window_view(sound, frame)[::hop].astype(np.float64)
    frames = frames - frames.mean(axis=1, keepdims=True)
    energy = (frames**2).mean(axis=1)
    window = np.hanning(frame)
    size = 1 << (2 * frame - 1).bit_length()
    shortest, longest = int(rate_hz / HIGHEST_HZ), min(int(rate_hz / LOWEST_HZ), frame - 2)
    spectrum = np.abs(np.fft.rfft(frames * window, size, axis=1)) ** 2
    correlation = np.fft.irfft(spectrum, axis=1)[:, : longest + 2]
    own = np.fft.irfft(np.abs(np.fft.rfft(window, size)) ** 2)[: longest + 2]
    # Divided by the window's own autocorrelation, long lags are not at a disadvantage (Boersma 1993).
    strength = correlation / np.maximum(correlation[:, :1], 1e-12) / (own / own[0])
    lags = np.arange(shortest, longest + 1)
    candidate = strength[:, shortest : longest + 1] - OCTAVE_COST * np.log2(lags / shortest)
    peak = (
        (candidate >= strength[:, shortest - 1 : longest] - 1)
        & (strength[:, shortest : longest + 1] >= strength[:, shortest - 1 : longest])
        & (strength[:, shortest : longest + 1] >= strength[:, shortest + 1 : longest + 2])
    )
    best = np.where(peak, candidate, -np.inf).argmax(axis=1)
    rows = np.arange(len(frames))
    lag = lags[best]
    left, middle, right = (strength[rows, lag + step] for step in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = np.where(np.abs(bend) > 1e-9, 0.5 * (left - right) / np.where(bend == 0, 1, bend), 0.0)
    voiced = (middle >= VOICED) & peak[rows, best] & (energy > energy.max() * 10 ** (-LOUD_DB / 10))
    return np.where(voiced, rate_hz / (lag + np.clip(shift, -0.5, 0.5)), np.nan)


def median_pitch_hz(sound: NDArray[np.float32], rate_hz: int) -> float | None:
    """The median over voiced frames; ``None`` where nothing is voiced."""
    track = pitch_track(sound, rate_hz)
    voiced = track[~np.isnan(track)]
    return float(np.median(voiced)) if len(voiced) else None
