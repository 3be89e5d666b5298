"""The sound of a programme as speech tools want it: one channel, read block by block."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from speechmill.lines import RATE_HZ
from tasks.sound import layouts

Mono = NDArray[np.float32]

SIDES_BESIDE_CENTRE = 0.35
"""−9 dB: where there is a centre, dialogue is there; what somebody says at the side must still be heard."""


def gains(positions: tuple[str, ...]) -> tuple[float, ...]:
    """What each channel, by its position, gives to one channel of speech."""
    if "FC" in positions and len(positions) > 1:
        return tuple(1.0 if p == "FC" else SIDES_BESIDE_CENTRE if p in ("FL", "FR") else 0.0 for p in positions)
    if "FL" in positions and "FR" in positions:
        return tuple(0.5 if p in ("FL", "FR") else 0.0 for p in positions)
    return tuple(1 / len(positions) for _ in positions)


def positions_of(layout: str, channels: int) -> tuple[str, ...]:
    """The positions of a layout by ffmpeg's name (``stereo``, ``FL+FR+LFE``)."""
    try:
        return layouts.of_name(layout).positions
    except KeyError:
        named = tuple(layout.split("+"))
        return named if len(named) == channels else layouts.of_count(channels).positions


def mono(block: NDArray[np.float32], layout: str) -> Mono:
    """One channel of speech from a block of shape (samples, channels)."""
    weights = np.asarray(gains(positions_of(layout, block.shape[1])), np.float32)
    mixed: Mono = block @ weights
    return mixed


def read(path: Path, layout: str, start_samples: int, end_samples: int) -> Mono:
    """One channel of a part of a 48 kHz file; silence where the part lies outside the file."""
    with soundfile.SoundFile(path) as file:
        begin, end = max(0, start_samples), min(end_samples, file.frames)
        if end <= begin:
            return np.zeros(max(0, end_samples - start_samples), np.float32)
        file.seek(begin)
        inside = mono(file.read(end - begin, dtype="float32", always_2d=True), layout)
    return np.pad(inside, (begin - start_samples, end_samples - end))


def parts(length_samples: int, part_samples: int) -> Iterator[tuple[int, int]]:
    """A programme in parts: (start, end), the last one shorter."""
    for start in range(0, length_samples, part_samples):
        yield start, min(start + part_samples, length_samples)


def lowered(sound: Mono, factor: int, margin: int = 0) -> Mono:
    """The sound at ``RATE_HZ / factor``, without what the lower rate cannot carry.

    ``margin`` samples (a multiple of the factor, and best ``margin_samples(factor)``) at both ends are only heard by
    the filter and are not in the result, so that parts of a programme join exactly.
    """
    from scipy.signal import upfirdn

    half = margin_samples(factor)
    padded = np.pad(sound, half) if margin == 0 else sound
    reach = half if margin == 0 else margin
    count = -(-(len(padded) - 2 * reach) // factor)
    first = (reach + half) // factor
    low: Mono = upfirdn(_filter(factor), padded, 1, factor)[first : first + count].astype(np.float32)
    return low


def margin_samples(factor: int) -> int:
    """What the filter hears on each side of a sample."""
    return 16 * factor


def _filter(factor: int) -> NDArray[np.float32]:
    from scipy.signal import firwin

    # −6 dB at 90 % of the new Nyquist frequency: speech tools need nothing above it.
    taps: NDArray[np.float32] = firwin(
        2 * margin_samples(factor) + 1, 0.9 * RATE_HZ / factor / 2, fs=RATE_HZ, window=("kaiser", 6.0)
    ).astype(np.float32)
    return taps
