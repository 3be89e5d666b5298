"""The sample film is what its truth says, and the same every time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pysubs2
import pytest
import soundfile

SCRIPT = Path(__file__).parents[2] / "infra" / "sample_film.py"
DIALOGUE = "EVA: The market closes at five.\nMAX: Then we can go tomorrow.\n"


def make(out: Path, *options: str) -> Path:
    (out.parent / "dialogue.txt").write_text(DIALOGUE)
    dialogue = ["--dialogue", str(out.parent / "dialogue.txt")]
    subprocess.run([sys.executable, str(SCRIPT), str(out), *dialogue, *options], check=True)
    return out


def probed(film: Path) -> dict[str, Any]:
    argv = ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", str(film)]
    found: dict[str, Any] = json.loads(subprocess.check_output(argv))
    return found


def heard(film: Path, out: Path) -> tuple[np.ndarray[Any, np.dtype[np.float32]], float]:
    """The sound of the film and when it begins."""
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(film), "-map", "0:a", "-c:a", "pcm_f32le", str(out)], check=True)
    streams = {stream["codec_type"]: stream for stream in probed(film)["streams"]}
    return soundfile.read(out, dtype="float32", always_2d=True)[0], float(streams["audio"]["start_time"])


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("film") / "out")


def test_it_is_a_film(film: Path) -> None:
    video, audio = probed(film / "talk.mp4")["streams"]
    assert (video["codec_name"], video["width"], video["height"], video["r_frame_rate"]) == ("h264", 1280, 720, "25/1")
    assert (audio["codec_name"], audio["sample_rate"], audio["channels"]) == ("aac", "48000", 2)
    assert float(video["duration"]) == pytest.approx(float(audio["duration"]), abs=0.1)


@pytest.mark.parametrize("options", [(), ("--layout", "5.1", "--late", "0.7", "--voices", "awb,kal")])
def test_every_line_is_heard_when_the_truth_says_it_is(film: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    made = make(tmp_path / "out", *options) if options else film
    sound, begins_s = heard(made / "talk.mp4", tmp_path / "a.wav")
    music, rate_hz = soundfile.read(made / "music.wav", dtype="float32", always_2d=True)
    cues = pysubs2.load(str(made / "talk.en.srt"))
    assert [cue.text.partition(":")[0] for cue in cues] == ["EVA", "MAX"]
    assert begins_s == pytest.approx(0.7 if options else 0.0, abs=0.03)
    centre = sound[:, 2 if options else 0]
    for cue in cues:
        start = round((cue.start / 1000 - begins_s) * rate_hz)
        end = round((cue.end / 1000 - begins_s) * rate_hz)
        loud, before, after = (
            float(np.sqrt(np.mean(part**2)))
            for part in (centre[start:end], centre[start - 9600 : start - 480], centre[end + 480 : end + 9600])
        )
        assert loud > 6 * max(before, after)
    assert music.shape[1] == sound.shape[1]
    assert len(music) / rate_hz == pytest.approx(float(probed(made / "talk.mp4")["format"]["duration"]), abs=0.1)


def test_it_is_the_same_every_time(film: Path, tmp_path: Path) -> None:
    again = make(tmp_path / "out")
    for name in ("talk.mp4", "talk.en.srt", "music.wav"):
        assert (again / name).read_bytes() == (film / name).read_bytes()


def test_it_goes_on_for_as_long_as_is_asked(tmp_path: Path) -> None:
    made = make(tmp_path / "out", "--seconds", "12", "--name", "long")
    assert float(probed(made / "long.mp4")["format"]["duration"]) == pytest.approx(12, abs=0.1)
    cues = pysubs2.load(str(made / "long.en.srt"))
    assert len(cues) >= 3
    assert cues[-1].end <= 10_000


def test_lips_move_only_while_somebody_speaks(film: Path) -> None:
    raw = subprocess.check_output(
        ["ffmpeg", "-v", "error", "-i", str(film / "talk.mp4"), "-vf", "format=gray", "-f", "rawvideo", "pipe:1"]
    )
    frames = np.frombuffer(raw, np.uint8).reshape(-1, 720, 1280).astype(np.int16)
    moves = np.abs(np.diff(frames[:, 350:400, 250:360], axis=0)).mean(axis=(1, 2)) > 2  # Eva's mouth
    eva, tom = ((cue.start / 40, cue.end / 40) for cue in pysubs2.load(str(film / "talk.en.srt")))
    at = np.flatnonzero(moves)
    assert len(at) > 5
    assert at.min() >= eva[0] - 2
    assert at.max() <= eva[1] + 2 < tom[0]
