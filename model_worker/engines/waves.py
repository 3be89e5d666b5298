"""The form that sound has between engines and the rest: one channel of 32-bit float samples in a WAV file.

Written by hand, because libsndfile stamps the time of writing into float WAV, and equal sound has to be equal bytes.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechmill.errors import EngineRefused
from speechmill.lines import RATE_HZ

Mono = NDArray[np.float32]
"""Samples of one channel, full scale ±1."""

FORMAT_IEEE_FLOAT = 3
SAMPLE_BYTES = 4


def third(sound: Mono) -> Mono:
    """The sound at a third of its rate, without what that rate cannot carry: what recognisers take, 16 kHz."""
    half = 96
    steps = np.arange(-half, half + 1)
    taps = np.sinc(0.96 * steps / 3) * np.kaiser(len(steps), 6.0)  # −6 dB at 7.7 kHz; Sphinx listens up to 6.9 kHz
    filtered = np.convolve(sound, (taps / taps.sum()).astype(np.float32))
    lower: Mono = filtered[half : half + len(sound)][::3]
    return lower


def write_mono(path: Path, samples: NDArray[Any]) -> None:
    """Write one channel at 48 kHz; equal samples make equal bytes."""
    data = np.ascontiguousarray(samples, "<f4").data.cast("B")
    format_chunk = struct.pack(
        "<4sIHHIIHHH", b"fmt ", 18, FORMAT_IEEE_FLOAT, 1, RATE_HZ, RATE_HZ * SAMPLE_BYTES, SAMPLE_BYTES, 32, 0
    )
    fact = struct.pack("<4sII", b"fact", 4, len(data) // SAMPLE_BYTES)
    head = b"WAVE" + format_chunk + fact + struct.pack("<4sI", b"data", len(data))
    with path.open("wb") as file:
        file.write(struct.pack("<4sI", b"RIFF", len(head) + len(data)) + head)
        file.write(data)


def read_mono(path: Path, most_samples: int) -> Mono:
    """One channel at 48 kHz; raises ``EngineRefused`` for another form of sound, or for more than ``most_samples``."""
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            if file.samplerate != RATE_HZ or file.channels != 1:
                raise EngineRefused(
                    f"the sound has {file.channels} channels at {file.samplerate} Hz",
                    hint=f"an engine takes one channel at {RATE_HZ} Hz",
                )
            if file.frames > most_samples:
                raise EngineRefused(
                    f"the sound is {file.frames / RATE_HZ:.1f} s long",
                    hint=f"an engine takes at most {most_samples / RATE_HZ:.0f} s at a time",
                )
            samples: Mono = file.read(dtype="float32")
            return samples
    except soundfile.LibsndfileError as error:
        raise EngineRefused(f"the sound cannot be read: {error}", hint="it should be a WAV file") from None
