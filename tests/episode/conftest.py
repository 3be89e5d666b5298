"""An episode whose sound shows where in time a sample is, and a show for it."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import soundfile

from speechmill.lines import RATE_HZ, Word
from tasks.episode.content import Chapter, Episode, Mention, Said
from tasks.episode.shows import Entry, Show, episode_guid
from tasks.sound import layouts
from tasks.sound.mp3 import Mp3

SECONDS = 40
CHAPTERS = (0, 480_017, 959_983, 1_440_777)  # samples: none but the first on a whole millisecond
BURST_S = 0.05


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 s of silence with a burst of 1 kHz at the first sample of each chapter, 24-bit FLAC, mono."""
    out = tmp_path_factory.mktemp("master") / "episode.flac"
    bursts = "+".join(f"between(n,{start},{start + int(BURST_S * RATE_HZ)})" for start in CHAPTERS)
    sound_ = f"aevalsrc='0.5*cos(2*PI*1000*t)*({bursts})':s={RATE_HZ}:d={SECONDS}"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", sound_, "-ac", "1", str(out)], check=True)
    return out


@pytest.fixture(scope="session")
def encoded(master: Path) -> Path:
    """As an episode has it: encoded in parts of 13 s, without a tag."""
    heard, _ = soundfile.read(master, dtype="float32", always_2d=True)
    coder, paths = Mp3(layouts.MONO), []
    for start in range(0, len(heard), 640_000):
        frames = coder.frames(start, min(start + 640_000, len(heard)), len(heard))
        paths.append(master.with_name(f"{start}.part"))
        coder.write_part([heard[frames.hear_from_samples : frames.hear_to_samples]], frames, paths[-1])
    out = master.with_name("encoded.mp3")
    coder.join(paths, len(heard), out)
    return out


@pytest.fixture(scope="session")
def episode() -> Episode:
    said = (
        ("HOST", "Welcome to the mill. Today we look at how grain becomes bread, and who turned the wheel.", 0),
        ("GUEST", "It begins <with> water & a wheel.", CHAPTERS[1]),
        ("HOST", "And what drives the stones?", CHAPTERS[2]),
        ("GUEST", "Gears: wooden ones, at first.", CHAPTERS[2] + 24_000),  # they speak at once
        ("HOST", "Thank you.", CHAPTERS[3]),
    )
    lines = tuple(
        Said(
            f"l{n}",
            speaker,
            text,
            start,
            start + 96_000,
            words(text, start, 96_000) if n == 0 else (),
            links=(Mention("On mills", "https://mills.net/on-mills#wheel"),) if n in (1, 3) else (),
        )
        for n, (speaker, text, start) in enumerate(said)
    )
    titles = (
        "Welcome",
        "Das Rad – 水车",
        "Stones; gears = work #1",
        "A farewell that has a title of more than forty characters",
    )
    return Episode(
        title="How a mill turns grain into bread",
        language="en",
        length_samples=SECONDS * RATE_HZ,
        lines=lines,
        chapters=tuple(Chapter(t, s) for t, s in zip(titles, CHAPTERS, strict=True)),
        description="Grain, water & stone.\n\nA talk about <mills>.",
        show="Slow Machines",
        author="Ana Ruiz",
        number=7,
        date="2026-03-04",
        link="https://mills.net/on-mills",
    )


def words(text: str, start: int, length: int) -> tuple[Word, ...]:
    parts = text.split()
    return tuple(
        Word(part, start + n * length // len(parts), start + (n + 1) * length // len(parts))
        for n, part in enumerate(parts)
    )


@pytest.fixture(scope="session")
def show() -> Show:
    return Show(
        title="Slow Machines",
        description="How old machines work.",
        author="Ana Ruiz",
        email="ana@mills.net",
        base_url="https://mills.net/slow-machines",
        link="https://mills.net",
        categories=("Science > Physics", "History"),
    )


@pytest.fixture(scope="session")
def entry(show: Show) -> Entry:
    return Entry(number=7, guid=episode_guid(show, "job-7"), published=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC))
