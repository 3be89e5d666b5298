"""Speech by flite over music by numpy, and a store to work in."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from speechmill.lines import RATE_HZ, Anchor
from storage.artifacts import ArtifactStore
from storage.catalog import Catalog
from storage.objects import FolderStore
from tasks.media.extraction import Sound
from tests.keeping import keep_file

Wave = NDArray[np.float32]
Say = Callable[[str, str], Wave]


@pytest.fixture(scope="session")
def say(tmp_path_factory: pytest.TempPathFactory) -> Say:
    """``say(text, voice)`` is 48 kHz speech by flite without the silence around it, at −20 dBFS."""
    folder = tmp_path_factory.mktemp("flite")
    said: dict[tuple[str, str], Wave] = {}

    def speak(text: str, voice: str) -> Wave:
        if (text, voice) not in said:
            out = folder / "line.wav"
            subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(out)], check=True)
            own, rate_hz = soundfile.read(out, dtype="float32")
            sound = resample_poly(own, RATE_HZ // 1000, rate_hz // 1000).astype(np.float32)
            heard = np.flatnonzero(np.abs(sound) > 0.003 * np.abs(sound).max())
            sound = sound[heard[0] : heard[-1] + 1]
            said[text, voice] = sound * np.float32(0.1 / np.sqrt(np.mean(sound**2)))
        return said[text, voice]

    return speak


def music(length: int, level: float = 0.01) -> Wave:
    """Chords and plucked notes, at ``level`` RMS."""
    time = np.arange(length) / RATE_HZ
    bars = np.zeros(length)
    chords = ((220.0, 277.2, 329.6), (196.0, 246.9, 293.7), (174.6, 220.0, 261.6))
    for bar, start in enumerate(range(0, length, 2 * RATE_HZ)):
        part = slice(start, min(start + 2 * RATE_HZ, length))
        for hz in chords[bar % 3]:
            bars[part] += np.sin(2 * np.pi * hz * time[part]) + 0.5 * np.sin(4 * np.pi * hz * time[part])
            bars[part] += 2 * np.exp(-4 * ((time[part] + hz) % 0.5)) * np.sin(8 * np.pi * hz * time[part])
    return (bars * level / np.sqrt(np.mean(bars**2))).astype(np.float32)


@dataclass(frozen=True)
class Scene:
    """Lines over music, and when they are said."""

    sound: Wave
    spans: tuple[Anchor, ...]


def scene(said: Sequence[Wave], *, pause_s: float = 0.9, music_level: float = 0.01) -> Scene:
    at, spans = RATE_HZ, []
    for line in said:
        spans.append(Anchor(at, at + len(line)))
        at += len(line) + round(pause_s * RATE_HZ)
    sound = music(at + RATE_HZ, music_level) if music_level else np.zeros(at + RATE_HZ, np.float32)
    for line, span in zip(said, spans, strict=True):
        sound[span.start_samples : span.end_samples] += line
    return Scene(sound, tuple(spans))


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    catalog = Catalog.open(f"sqlite:///{tmp_path / 'catalog.db'}")
    return ArtifactStore(FolderStore(tmp_path / "objects"), catalog, tmp_path / "scratch")


def kept(store: ArtifactStore, folder: Path, channels: NDArray[np.float32], layout: str) -> Sound:
    """A sound in the store, as extraction leaves it: shape (samples, channels)."""
    file = folder / "sound.wav"
    soundfile.write(file, channels, RATE_HZ, subtype="FLOAT")
    return Sound(keep_file(store, file).sha256, channels.shape[1], layout, len(channels))
