"""Which sound of a film is dubbed: the one in the language that is asked for, or none where a film has none."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.flows.conftest import Ran, Speechmill

QUIET, LOUD = "sine=220:r=48000:d=10,volume=0.1", "sine=440:r=48000:d=10"


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Path:
    """Films with other sounds: French and English; French alone; none."""
    made = tmp_path_factory.mktemp("films")
    picture = ["-i", str(folder / "talk.mp4")]
    copied = ["-map", "0:v", "-c:v", "copy"]

    def film(name: str, *arguments: str) -> None:
        subprocess.run(["ffmpeg", "-v", "error", *picture, *arguments, f"file:{made / name}"], check=True)

    sounds = ("-f", "lavfi", "-i", QUIET, "-f", "lavfi", "-i", LOUD)
    french, english = ("-metadata:s:a:0", "language=fra"), ("-metadata:s:a:1", "language=eng")
    film("both.mkv", *sounds, *copied, "-map", "1:a", "-map", "2:a", *french, *english)
    film("french.mp4", "-f", "lavfi", "-i", QUIET, *copied, "-map", "1:a", *french)
    film("slides.mp4", *copied)
    return made


def dub(speechmill: Speechmill, film: Path, folder: Path, out: Path, *more: str | Path) -> Ran:
    return speechmill(
        "dub", film, "--to", "es", "--engine", "rehearsal", "--script", folder / "talk.en.srt", "--out", out,
        "--no-prefect", "--json", *more,
    )  # fmt: skip


def tones(film: Path) -> list[str]:
    """The languages of a film's sounds."""
    argv = ["ffprobe", "-v", "error", "-of", "json", "-select_streams", "a", "-show_streams", film]
    told = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
    return [stream["tags"]["language"] for stream in told["streams"]]


def test_the_track_in_the_language_of_the_source_is_dubbed(
    speechmill: Speechmill, films: Path, folder: Path, tmp_path: Path
) -> None:
    ran = dub(speechmill, films / "both.mkv", folder, tmp_path / "out")
    assert ran.code == 0, ran.err
    assert "audio track 1 is dubbed" in ran.err
    assert ran.report["source"]["audio_track"] == 1


def test_a_film_in_another_language_than_asked_is_refused_before_any_work(
    speechmill: Speechmill, films: Path, folder: Path, tmp_path: Path
) -> None:
    ran = dub(speechmill, films / "french.mp4", folder, tmp_path / "out")
    assert ran.code == 3
    for words in ("French", "--from fr", "0: French aac mono"):
        assert words in ran.err
    assert "extract" not in ran.err
    insisted = dub(speechmill, films / "french.mp4", folder, tmp_path / "out", "--audio-track", "0")
    assert insisted.code == 0, insisted.err
    assert "French" in insisted.err


def test_slides_without_sound_are_narrated(speechmill: Speechmill, films: Path, folder: Path, tmp_path: Path) -> None:
    ran = dub(speechmill, films / "slides.mp4", folder, tmp_path / "out")
    assert ran.code == 0, ran.err
    assert tones(tmp_path / "out" / "slides.es.mp4") == ["spa"]
    master, rate = soundfile.read(tmp_path / "out" / "slides.es.flac")
    assert master.shape == (10 * rate, 2)
    for line in ran.report["targets"]["es"]["lines"]:
        assert np.abs(master[round(line["placed_start_s"] * rate) : round(line["placed_end_s"] * rate)]).max() > 0.01
    told = speechmill("dub", films / "slides.mp4", "--to", "es", "--engine", "rehearsal", "--no-prefect")
    assert told.code == 3
    assert "--script" in told.err


def test_a_film_is_not_dubbed_into_the_language_it_is_in(speechmill: Speechmill, folder: Path, tmp_path: Path) -> None:
    """Its transcript and its dub would have one name, and most likely somebody forgot to say --from."""
    ran = speechmill("dub", folder / "talk.mp4", "--to", "en", "--out", tmp_path / "out", "--no-prefect")
    assert ran.code == 3
    assert "English" in ran.err
    assert "--from" in ran.err
    assert not (tmp_path / "out").exists()
