"""Speech to listen to, spoken on the spot by flite; and MiMo-Audio on its tiny checkpoint."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from model_worker.engines import registry
from model_worker.engines.waves import write_mono
from speechmill.abilities import Engine
from speechmill.lines import RATE_HZ

from .mimo import TINY, tiny_settings

if TYPE_CHECKING:
    from model_worker.engines.mimo.service import Service

Flite = Callable[[str, str], Path]


@pytest.fixture(scope="session")
def flite(tmp_path_factory: pytest.TempPathFactory) -> Flite:
    """``flite(text, voice)`` is a 48 kHz mono float WAV with a little silence around the speech."""
    folder = tmp_path_factory.mktemp("flite")
    made: dict[tuple[str, str], Path] = {}

    def speak(text: str, voice: str) -> Path:
        if (text, voice) not in made:
            spoken, out = folder / f"{len(made)}.16k.wav", folder / f"{len(made)}.wav"
            subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(spoken)], check=True)
            sound, rate_hz = soundfile.read(spoken, dtype="float32")
            write_mono(out, np.pad(resample_poly(sound, RATE_HZ // 1000, rate_hz // 1000), RATE_HZ // 5) * 0.5)
            made[text, voice] = out
        return made[text, voice]

    return speak


@pytest.fixture(scope="module")
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def engine(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Engine:  # noqa: ARG001
    return registry.engine("mimo", tiny_settings(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def service(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:  # noqa: ARG001
    from model_worker.engines.mimo.service import Service
    from model_worker.engines.mimo.weights import Weights

    settings = tiny_settings(tmp_path_factory.mktemp("home"))
    service = Service(Weights.of(settings), settings)
    yield service
    service.close()


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """A sentence of a person's, as engines take it."""
    from model_worker.mimo import read_wav

    sound = read_wav(TINY / "wavs" / "en_24k.wav")
    write_mono(tmp_path / "speech.wav", np.repeat(sound.samples[0], 2))
    return tmp_path / "speech.wav"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The tiny checkpoint, to be damaged."""
    return Path(shutil.copytree(TINY, tmp_path / "copy", ignore=shutil.ignore_patterns("cases", "wavs")))
