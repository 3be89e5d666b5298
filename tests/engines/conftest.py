"""Speech to listen to, spoken on the spot by flite."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from model_worker.engines.waves import write_mono
from speechmill.lines import RATE_HZ

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
