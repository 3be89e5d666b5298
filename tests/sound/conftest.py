"""Real speech, real music, a real store: what the sound of the house is measured on."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from speechmill.lines import RATE_HZ
from speechmill.recipes import Artifact, Digest
from storage.artifacts import ArtifactStore
from storage.objects import FolderStore
from tests.keeping import keep_file

Sound = NDArray[np.float32]


class Index(dict[Digest, Artifact]):
    """Which recipe made what, for as long as a test."""

    def recall(self, recipe: Digest) -> Artifact | None:
        return self.get(recipe)

    def remember(self, recipe: Digest, operation: str, artifact: Artifact) -> None:
        del operation
        self[recipe] = Artifact(artifact.sha256, artifact.size_bytes)

    def forget(self, recipe: Digest) -> None:
        self.pop(recipe, None)


@pytest.fixture(scope="session")
def new_index() -> type[Index]:
    return Index


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(FolderStore(tmp_path / "objects"), Index(), tmp_path / "scratch")


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """Eight seconds of a voice, 48 kHz mono."""
    folder = tmp_path_factory.mktemp("speech")
    text = "The mill stands by the river. Every morning the miller opens the gate, and the great wheel begins to turn."
    subprocess.run(["flite", "-voice", "slt", "-t", text, folder / "voice.wav"], check=True)
    argv = ["ffmpeg", "-v", "error", "-i", folder / "voice.wav", "-ar", str(RATE_HZ), "-f", "f32le", "pipe:1"]
    return np.frombuffer(subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout, "<f4").copy()


def music(seconds: float, channels: int = 2, seed: int = 0) -> Sound:
    """A chord that swells over a little noise, a little different in every channel; shape (samples, channels)."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    out = np.empty((len(t), channels), np.float32)
    for c in range(channels):
        chord = sum(np.sin(2 * np.pi * f * (1 + 0.003 * c) * t) for f in (220.0, 277.2, 329.6))
        out[:, c] = 0.04 * chord * (1 + 0.4 * np.sin(2 * np.pi * 0.3 * t)) + 0.003 * rng.standard_normal(len(t))
    return out


@pytest.fixture(scope="session")
def make_music() -> Callable[..., Sound]:
    return music


@pytest.fixture
def keep(store: ArtifactStore, tmp_path: Path) -> Callable[[Sound], Digest]:
    """Puts a sound into the store as 48 kHz float WAV."""
    kept = 0

    def add(sound: Sound) -> Digest:
        nonlocal kept
        kept += 1
        path = tmp_path / f"kept-{kept}.wav"
        soundfile.write(path, sound, RATE_HZ, subtype="FLOAT")
        return keep_file(store, path).sha256

    return add


def decoded(path: Path) -> Sound:
    """What a player hears of a file, shape (samples, channels)."""
    entries = ["-v", "error", "-select_streams", "a:0", "-show_entries", "stream=channels", "-of", "json"]
    told = subprocess.run(["ffprobe", *entries, path], check=True, stdout=subprocess.PIPE).stdout
    channels = json.loads(told)["streams"][0]["channels"]
    argv = ["ffmpeg", "-v", "error", "-i", path, "-f", "f32le", "-ar", str(RATE_HZ), "pipe:1"]
    raw = subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout
    return np.frombuffer(raw, "<f4").reshape(-1, channels)


@pytest.fixture(scope="session")
def decode() -> Callable[[Path], Sound]:
    return decoded


@pytest.fixture(scope="session")
def judge() -> Callable[[Path], tuple[float, float, float]]:
    """ffmpeg's own meter: integrated loudness, true peak and range of a file."""

    def measured(path: Path) -> tuple[float, float, float]:
        argv = ["ffmpeg", "-hide_banner", "-nostats", "-i", path, "-af", "ebur128=peak=true:framelog=verbose"]
        said = subprocess.run([*argv, "-f", "null", "-"], check=True, stderr=subprocess.PIPE, text=True).stderr
        found = [re.findall(rf"{what}:\s+(-?[\d.]+|-inf)", said)[-1] for what in ("I", "Peak", "LRA")]
        return float(found[0]), float(found[1]), float(found[2])

    return measured
