"""Making speech faster or slower with its pitch kept, to an exact number of samples.

Waveform-similarity overlap-add (Verhelst and Roelands, 1993) in its laziest form: the sound is copied as it is until
it has drifted from where it should be by ``DRIFT_SAMPLES``; there it is spliced to the place nearby that looks most
like its own continuation. At 1.10 that is one splice in about two tenths of a second, and every sample between two
splices is the original's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from speechmill.lines import samples_of_ms

Speech = NDArray[np.float32]

SPLICE_SAMPLES = samples_of_ms(15)  # length of a cross-fade: longer than one period of a low voice (70 Hz)
DRIFT_SAMPLES = samples_of_ms(10)  # a splice finds any period down to 50 Hz; timing moves by less than half a frame
ENDING_SAMPLES = samples_of_ms(60)  # the last splice is looked for in so much before the end
COARSE = 4  # the likeness is first looked for at 12 kHz: a sixteenth of the work
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
    splices = _splices(speech, length_samples)
    return _spliced(speech, splices, length_samples)


def _splices(speech: Speech, length: int) -> list[tuple[int, int]]:
    """Where to splice: at output sample ``at`` go over to reading the input ``ahead`` of the output."""
    given = len(speech)
    final = given - length
    drift_per_sample = final / length
    fade = min(SPLICE_SAMPLES, length // 4)
    found: list[tuple[int, int]] = []
    if fade < SPLICE_SAMPLES:
        return [(_quietest_change(speech, 0, final, max(1, -final), length - fade - 1, fade), final)]
    seen = _Likeness(speech)
    at, ahead = 0, 0
    last_at = length - ENDING_SAMPLES - fade
    while True:
        at = max(at + fade, int(np.ceil((ahead + np.sign(final) * DRIFT_SAMPLES) / drift_per_sample)))
        if at >= last_at:
            break
        ideal = round(at * drift_per_sample)
        ahead = seen.best(at + ahead, at + ideal - DRIFT_SAMPLES, at + ideal + DRIFT_SAMPLES) - at
        found.append((at, ahead))
    if ahead != final:
        earliest = max(found[-1][0] + fade if found else 0, last_at, -final)
        found.append((_quietest_change(speech, ahead, final, earliest, length - fade - 1, fade), final))
    return found


class _Likeness:
    """Finds where speech goes on most like it does from a given place."""

    def __init__(self, speech: Speech) -> None:
        self._speech = speech
        whole = len(speech) // COARSE * COARSE
        self._coarse = speech[:whole].reshape(-1, COARSE).mean(axis=1)
        self._energy = np.concatenate([[0.0], np.cumsum(np.square(self._coarse, dtype=np.float64))])

    def best(self, like: int, first: int, last: int) -> int:
        """The start between ``first`` and ``last`` whose next 15 ms are most like those from ``like`` on."""
        most = len(self._speech) - SPLICE_SAMPLES
        like, first, last = min(like, most), max(0, min(first, most)), max(0, min(last, most))
        length = SPLICE_SAMPLES // COARSE
        low, high = first // COARSE, min(last // COARSE, len(self._coarse) - length)
        pattern = self._coarse[like // COARSE : like // COARSE + length]
        products = np.correlate(self._coarse[low : high + length], pattern)
        energies = self._energy[low + length : high + length + 1] - self._energy[low : high + 1]
        # The floor keeps near-silence from looking like anything.
        likeness = products / np.sqrt(energies + 1e-9)
        near = (low + int(np.argmax(likeness))) * COARSE
        begin, end = max(first, near - COARSE), min(last, near + COARSE)
        fine = np.correlate(self._speech[begin : end + SPLICE_SAMPLES], self._speech[like : like + SPLICE_SAMPLES])
        return begin + int(np.argmax(fine))


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
    fade = min(SPLICE_SAMPLES, length // 4)
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
