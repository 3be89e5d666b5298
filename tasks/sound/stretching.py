"""Making speech faster or slower with its pitch kept, to an exact number of samples.

Waveform-similarity overlap-add (Verhelst and Roelands, 1993), lazily: the sound is copied as it is, and spliced only
as often as its speed asks for, at the place and over the distance where that is heard least. No more is left out at
once than a splice blends, so what a splice would swallow (the burst of a consonant, a breath) counts against it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from speechmill.lines import samples_of_ms

Speech = NDArray[np.float32]

SPLICE_SAMPLES = samples_of_ms(15)  # a cross-fade, and the most that is left out or repeated: a period of 67 Hz
LEAST_SAMPLES = samples_of_ms(2)  # a shorter jump gains little for a splice: a period of 500 Hz
DRIFT_SAMPLES = SPLICE_SAMPLES // 2  # so far is a sound from where it should be, at most
CHOICE_SAMPLES = samples_of_ms(40)  # how much of the way to the latest moment is looked at for a splice
ENDING_SAMPLES = samples_of_ms(100)  # the last splice is looked for in so much before the end
COARSE = 16  # places are compared at 3 kHz: pitch and the envelope are all that matters there
ENVELOPE_WEIGHT = 2.0  # against the waveform: makes the hiss of a consonant count, which has no pitch to match
HUSH = 1e-7  # energy of a splice in silence: there the longest jump is best
FASTEST, SLOWEST = 2.0, 0.5  # beyond these splices would meet


def stretched(speech: Speech, length_samples: int) -> Speech:
    """``speech``, shape (samples,), spoken in ``length_samples``: the first and the last sample stay what they are.

    The same length gives the same samples. Raises ``ValueError`` where the speed would be outside 0.5 to 2.
    """
    given = len(speech)
    if length_samples == given:
        return speech
    if not SLOWEST <= given / max(1, length_samples) <= FASTEST:
        raise ValueError(f"{given} samples cannot be stretched to {length_samples}")
    if _fade(length_samples) == 0:  # shorter than a tenth of a millisecond
        few: Speech = speech[np.linspace(0, given - 1, length_samples).astype(int)]
        return few
    splices = _splices(speech, length_samples)
    return _spliced(speech, splices, length_samples)


def _splices(speech: Speech, length: int) -> list[tuple[int, int]]:
    """Where to splice: at output sample ``at`` go over to reading the input ``ahead`` of the output."""
    given = len(speech)
    final = given - length
    fade = _fade(length)
    found: list[tuple[int, int]] = []
    free_from, ahead = max(1, -final), 0
    if fade == SPLICE_SAMPLES:
        drift_per_sample = final / length
        places = _Places(speech, drift_per_sample)
        free_from = 1
        while True:
            latest = int((ahead + np.sign(final) * DRIFT_SAMPLES) / drift_per_sample)
            # One more splice must find room after this one, and sound to blend.
            if max(free_from, latest) > min(length, given - ahead) - 2 * fade - 2:
                break
            at, ahead = places.best(ahead, max(free_from, latest - CHOICE_SAMPLES), max(free_from, latest))
            found.append((at, ahead))
            free_from = at + fade
    if ahead != final:
        earliest = max(free_from, length - ENDING_SAMPLES, -final)
        last = min(length - 1, given - ahead) - fade
        found.append((_quietest_change(speech, ahead, final, earliest, last, fade), final))
    return found


def _fade(length: int) -> int:
    return min(SPLICE_SAMPLES, length // 4)


class _Places:
    """Finds where a splice is heard least, and over which distance."""

    def __init__(self, speech: Speech, drift_per_sample: float) -> None:
        self._speech = speech
        self._drift = drift_per_sample
        self._sign = 1 if drift_per_sample > 0 else -1
        whole = speech[: len(speech) // COARSE * COARSE].reshape(-1, COARSE)
        edges = np.diff(speech, prepend=speech[:1])[: whole.size].reshape(-1, COARSE)
        envelope = np.sqrt(np.square(edges).mean(axis=1)) * np.float32(ENVELOPE_WEIGHT)
        padding = (2 * SPLICE_SAMPLES + CHOICE_SAMPLES) // COARSE + 2
        self._padding = padding
        self._seen = np.pad(np.stack([whole.mean(axis=1), envelope]), ((0, 0), (padding, padding)))

    def best(self, ahead: int, first: int, last: int) -> tuple[int, int]:
        """The output sample between ``first`` and ``last`` to splice at, and how far ahead to read from there on."""
        width = SPLICE_SAMPLES // COARSE
        times = (last - first) // COARSE + 1
        jumps = np.arange(-(-LEAST_SAMPLES // COARSE), width + 1)
        low = self._padding + (first + ahead) // COARSE
        low = max(width, min(low, self._seen.shape[1] - 2 * width - times))
        span = times + width - 1
        start = low + (int(jumps[0]) if self._sign > 0 else -int(jumps[-1]))
        around = self._seen[:, start : start + span + len(jumps) - 1]
        across, along = around.strides
        moved = np.lib.stride_tricks.as_strided(around, (2, len(jumps), span), (across, along, along))
        if self._sign < 0:
            moved = moved[:, ::-1]
        change = moved - self._seen[:, None, low : low + span]
        np.square(change, out=change)
        total = np.cumsum(change[0] + change[1], axis=1)
        heard = total[:, width - 1 :].copy()
        heard[:, 1:] -= total[:, :-width]
        # What is heard of a splice counts per sample that it gains; one that would end too far ahead is none.
        heard = (heard + HUSH) / jumps[:, None]
        room = self._sign * (self._drift * (first + COARSE * np.arange(times)) - ahead) + DRIFT_SAMPLES
        heard[jumps[:, None] * COARSE > np.maximum(room, LEAST_SAMPLES + COARSE)[None, :]] = np.inf
        jump, time = np.unravel_index(int(np.argmin(heard)), heard.shape)
        at = first + int(time) * COARSE
        return at, ahead + self._refined(at + ahead, self._sign * int(jumps[jump]) * COARSE)

    def _refined(self, like: int, jump: int) -> int:
        """The jump, to the sample."""
        low = max(0, like + jump - COARSE)
        high = min(like + jump + COARSE, len(self._speech) - SPLICE_SAMPLES)
        if high <= low or like < 0:
            return jump
        near = self._speech[low : high + SPLICE_SAMPLES].astype(np.float64)
        products = np.correlate(near, self._speech[like : like + SPLICE_SAMPLES].astype(np.float64))
        energy = np.concatenate([[0.0], np.cumsum(np.square(near))])
        energies = energy[SPLICE_SAMPLES:] - energy[:-SPLICE_SAMPLES]
        return low + int(np.argmax(2 * products - energies)) - like


def _quietest_change(speech: Speech, ahead: int, final: int, earliest: int, latest: int, fade: int) -> int:
    """Where going over from one reading place to another is heard least: the least energy of their difference."""
    latest = max(earliest, latest)
    count = latest - earliest + fade
    old = _read(speech, earliest + ahead, count).astype(np.float64)
    new = _read(speech, earliest + final, count)
    total = np.concatenate([[0.0], np.cumsum(np.square(old - new))])
    width = max(1, fade)
    return earliest + int(np.argmin((total[width:] - total[:-width])[: latest - earliest + 1]))


def _read(speech: Speech, start: int, count: int) -> Speech:
    """``count`` samples from ``start`` on, silence where there are none."""
    out = np.zeros(count, np.float32)
    low, high = max(start, 0), min(start + count, len(speech))
    if high > low:
        out[low - start : high - start] = speech[low:high]
    return out


def _spliced(speech: Speech, splices: list[tuple[int, int]], length: int) -> Speech:
    fade = _fade(length)
    rising = (0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / max(1, fade))).astype(np.float32)
    out = np.empty(length, np.float32)
    done, ahead = 0, 0
    for at, new in [*splices, (length, 0)]:
        out[done:at] = _read(speech, done + ahead, at - done)
        if at == length:
            break
        old_sound, new_sound = _read(speech, at + ahead, fade), _read(speech, at + new, fade)
        out[at : at + fade] = old_sound + rising * (new_sound - old_sound)
        done, ahead = at + fade, new
    return out
