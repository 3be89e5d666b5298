"""MiMo-Audio on the tiny checkpoint of the repository: random weights in the official layout."""

from __future__ import annotations

from pathlib import Path

from speechmill.settings import Settings

TINY = Path(__file__).parents[1] / "data" / "mimo"
ENV = {
    "SPEECHMILL_MIMO_MODEL_DIR": str(TINY / "lm"),
    "SPEECHMILL_MIMO_BASE_DIR": str(TINY / "lm"),
    "SPEECHMILL_MIMO_TOKENIZER_DIR": str(TINY / "tokenizer"),
}


def tiny_settings(home: Path) -> Settings:
    return Settings(
        home=home,
        mimo_model_dir=TINY / "lm",
        mimo_base_dir=TINY / "lm",
        mimo_tokenizer_dir=TINY / "tokenizer",
        mimo_groups=512,
    )
