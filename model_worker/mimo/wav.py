"""Reading WAV files: PCM of 8 to 32 bits and float, any number of channels. Nothing else is needed here."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import AudioError

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """A recording: float32 samples in [-1, 1], mono [samples] or [channels, samples], at ``rate_hz``."""

    samples: NDArray[np.float32]
    rate_hz: int

    def mono(self) -> NDArray[np.float32]:
        """Mean over channels; raises :class:`AudioError` for what holds no sound or no numbers."""
        try:
            samples = np.asarray(self.samples, dtype=np.float32)
        except (TypeError, ValueError):
            raise AudioError("a recording holds samples that are not numbers", hint="give an array of them") from None
        if samples.ndim == 2:
            samples = samples.mean(0, dtype=np.float32)
        if samples.ndim != 1 or not samples.size:
            raise AudioError(f"a recording must be [samples] or [channels, samples], but is {list(samples.shape)}")
        if not np.isfinite(samples).all():
            raise AudioError("a recording holds samples that are not numbers (NaN or infinity)", hint="export it again")
        return samples


def read_wav(path: Path) -> Sound:
    """Read a WAV file; raises :class:`AudioError` naming the file."""
    data = path.read_bytes()
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise AudioError(f"{path}: this is not a WAV file")
    layout: tuple[int, int, int, int] | None = None
    position = 12
    while position + 8 <= len(data):
        name, size = data[position : position + 4], struct.unpack_from("<I", data, position + 4)[0]
        body = data[position + 8 : position + 8 + size]
        if name == b"fmt " and len(body) >= 16:
            kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
            if kind == EXTENSIBLE and len(body) >= 26:
                kind = struct.unpack_from("<H", body, 24)[0]
            layout = (kind, channels, rate, bits)
        elif name == b"data" and layout is not None:
            kind, channels, rate, bits = layout
            if not channels:
                break
            return Sound(_samples(path, body, kind, channels, bits), rate)
        position += 8 + size + size % 2
    raise AudioError(f"{path}: the WAV file has no samples")


def _samples(path: Path, body: bytes, kind: int, channels: int, bits: int) -> NDArray[np.float32]:
    width = bits // 8
    flat: NDArray[np.float32]
    if width:
        body = body[: len(body) // (width * channels) * (width * channels)]
    if kind == FLOAT and bits in (32, 64):
        flat = np.frombuffer(body, dtype=f"<f{width}").astype(np.float32)
    elif kind == PCM and bits == 8:
        flat = (np.frombuffer(body, dtype=np.uint8).astype(np.float32) - np.float32(128)) / np.float32(128)
    elif kind == PCM and bits in (16, 32):
        flat = (np.frombuffer(body, dtype=f"<i{width}") / np.float64(2 ** (bits - 1))).astype(np.float32)
    elif kind == PCM and bits == 24:
        bytes3 = np.frombuffer(body, dtype=np.uint8).reshape(-1, 3)
        padded = np.zeros((len(bytes3), 4), dtype=np.uint8)
        padded[:, 1:] = bytes3
        flat = (padded.view("<i4")[:, 0] / 2.0**31).astype(np.float32)
    else:
        raise AudioError(f"{path}: WAV samples of kind {kind} with {bits} bits cannot be read")
    return flat.reshape(-1, channels).T.copy()
