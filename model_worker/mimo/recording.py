"""Recordings on their way into a prompt: checked and resampled in the caller's thread, encoded in the engine's."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .codec import Codec
from .errors import AudioError
from .mel import resample
from .wav import Sound


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A recording at the tokenizer's rate, with the digest its codes are kept under."""

    wave: Tensor
    digest: bytes

    @classmethod
    def of(cls, sound: Sound, codec: Codec) -> Recording:
        """Mono, resampled, and of a length the tokenizer takes; raises :class:`AudioError`."""
        config = codec.config
        rate_hz = _rate_hz(sound)
        samples = sound.mono()
        if len(samples) > config.max_audio_s * rate_hz:
            codec.check_length(int(len(samples) / rate_hz * config.sampling_rate_hz))
        wave = resample(torch.from_numpy(samples), rate_hz, config.sampling_rate_hz)
        if len(wave) <= config.nfft // 2:
            raise AudioError(f"a recording of {len(wave)} samples at {config.sampling_rate_hz} Hz holds no speech")
        return cls(wave, hashlib.sha256(wave.numpy().tobytes()).digest())


def _rate_hz(sound: Sound) -> int:
    try:
        rate_hz = operator.index(sound.rate_hz)
    except TypeError:
        rate_hz = 0
    if rate_hz <= 0:
        raise AudioError(f"a sample rate of {sound.rate_hz!r} Hz means nothing")
    return rate_hz


def ready(value: Any, codec: Codec, name: str) -> Any:
    """The same value with every :class:`Sound` in it as a :class:`Recording`; an error names which cannot be used."""
    if isinstance(value, Sound):
        try:
            return Recording.of(value, codec)
        except AudioError as error:
            raise AudioError(f"'{name}': {error}", hint=error.hint) from None
    if isinstance(value, Mapping):
        return {key: ready(entry, codec, f"{name}.{key}") for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [ready(entry, codec, f"{name}[{place}]") for place, entry in enumerate(value)]
    return value


def recordings_in(value: Any) -> Iterator[Recording]:
    """Every recording inside nested mappings and lists."""
    if isinstance(value, Recording):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from recordings_in(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from recordings_in(entry)


def with_codes(value: Any, codes: Mapping[bytes, Tensor]) -> Any:
    """The same value with every recording replaced by its codes."""
    if isinstance(value, Recording):
        return codes[value.digest]
    if isinstance(value, Mapping):
        return {name: with_codes(entry, codes) for name, entry in value.items()}
    if isinstance(value, list):
        return [with_codes(entry, codes) for entry in value]
    return value
