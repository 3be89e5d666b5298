"""Films and recordings made by ffmpeg's own generators, and a store to work in."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from speechmill.settings import Settings
from storage.artifacts import ArtifactStore
from storage.catalog import Catalog
from storage.objects import FolderStore

BEEPS = "aevalsrc='0.5*sin(2*PI*1000*t)*lt(mod(t,1),0.05)':s={rate}:d={seconds}"
"""A beep of 50 ms at the beginning of every second: shows where in time a sample is."""
FRAMES = "testsrc2=s=160x90:r=25:d={seconds}"

Make = Callable[..., Path]


@pytest.fixture(scope="session")
def beeps() -> Callable[..., list[str]]:
    """Input arguments: ``beeps(seconds, rate_hz)``."""
    return lambda seconds, rate=48_000: ["-f", "lavfi", "-i", BEEPS.format(seconds=seconds, rate=rate)]


@pytest.fixture(scope="session")
def frames() -> Callable[[float], list[str]]:
    """Input arguments: ``frames(seconds)``, 25 a second."""
    return lambda seconds: ["-f", "lavfi", "-i", FRAMES.format(seconds=seconds)]


def ffmpeg(folder: Path, name: str, *arguments: str | Path) -> Path:
    out = folder / name
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments), f"file:{out}"], check=True)
    return out


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """``make(name, *arguments)`` has ffmpeg make a file."""
    return lambda name, *arguments: ffmpeg(tmp_path, name, *arguments)


@pytest.fixture(scope="session")
def film(
    tmp_path_factory: pytest.TempPathFactory,
    beeps: Callable[..., list[str]],
    frames: Callable[[float], list[str]],
) -> Path:
    """Four seconds of H.264, B-frames included, with AAC and a title."""
    options = (
        "-c:v",
        "libx264",
        "-g",
        "50",
        "-c:a",
        "aac",
        "-metadata",
        "title=A talk",
        "-metadata:s:a:0",
        "language=eng",
    )
    return ffmpeg(tmp_path_factory.mktemp("film"), "talk.mp4", *frames(4), *beeps(4), *options)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def store(settings: Settings) -> Iterator[ArtifactStore]:
    settings.home.mkdir(parents=True)
    catalog = Catalog.open(settings.database_url)
    yield ArtifactStore(FolderStore(settings.home / "objects"), catalog, settings.scratch)
    catalog.close()
