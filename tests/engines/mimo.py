"""MiMo-Audio on the tiny checkpoint of the repository: random weights in the official layout."""

from __future__ import annotations

from pathlib import Path

from speechmill.abilities import Engine, Utterance
from speechmill.errors import EngineRefused
from speechmill.settings import Settings
from speechmill.voices import Voice

TINY = Path(__file__).parents[1] / "data" / "mimo"
ENV = {
    "SPEECHMILL_MIMO_MODEL_DIR": str(TINY / "lm"),
    "SPEECHMILL_MIMO_BASE_DIR": str(TINY / "lm"),
    "SPEECHMILL_MIMO_TOKENIZER_DIR": str(TINY / "tokenizer"),
}
PLAIN = Voice("MiMo's own", "mimo", {"described": "own", "again": 0})


def tiny_settings(home: Path) -> Settings:
    return Settings(
        home=home,
        mimo_model_dir=TINY / "lm",
        mimo_base_dir=TINY / "lm",
        mimo_tokenizer_dir=TINY / "tokenizer",
        mimo_groups=512,
    )


def settings_of(folder: Path) -> Settings:
    """Settings for a copy of the checkpoint."""
    return Settings(
        home=folder, mimo_model_dir=folder / "lm", mimo_base_dir=folder / "lm", mimo_tokenizer_dir=folder / "tokenizer"
    )


def spoken(engine: Engine, out: Path, voice: Voice, text: str = "Good evening, everybody.") -> bytes:
    """The first take that succeeds: random weights often fall silent."""
    assert engine.speaks
    for seed in range(8):
        try:
            engine.speaks.speak(Utterance(text, "en", seed=seed), voice, out)
        except EngineRefused:
            continue
        return out.read_bytes()
    raise AssertionError("eight takes failed")
