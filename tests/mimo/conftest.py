"""The tiny golden checkpoints, loaded once for all tests of MiMo-Audio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the extra 'mimo' is not installed")

import torch

from model_worker.mimo import Engine, EngineSettings, Model
from model_worker.mimo.parity import Goldens

FOLDER = Path(__file__).parents[1] / "data" / "mimo"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """The models are tiny; on a busy machine more threads only wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folder() -> Path:
    return FOLDER


@pytest.fixture(scope="session")
def goldens() -> Goldens:
    return Goldens(FOLDER)


@pytest.fixture(scope="session")
def model() -> Model:
    return Model.load(FOLDER / "lm", FOLDER / "tokenizer")


@pytest.fixture(scope="session")
def engine(model: Model) -> Iterator[Engine]:
    with Engine(model, EngineSettings(slots=4, groups=512)) as engine:
        yield engine


@pytest.fixture
def cases(goldens: Goldens) -> dict[str, dict[str, Any]]:
    return {case["name"]: case for case in goldens.index["cases"]}
