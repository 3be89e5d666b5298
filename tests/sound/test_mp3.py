"""MP3 in parts: bit for bit one long encode, heard from the master's first sample to its last."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from speechmill.lines import RATE_HZ
from tasks.sound import layouts
from tasks.sound.mp3 import FRAME_SAMPLES, Mp3

PART = 307_200  # of a master: no whole number of MP3 frames


def encode(sound, coder: Mp3, part: int, folder: Path) -> Path:
    paths = []
    for start in range(0, len(sound), part):
        frames = coder.frames(start, min(start + part, len(sound)), len(sound))
        paths.append(folder / f"{start}.mp3part")
        heard = sound[frames.hear_from_samples : frames.hear_to_samples]
        coder.write_part(np.array_split(heard, 3), frames, paths[-1])
    out = folder / f"joined-{part}.mp3"
    coder.join(paths, len(sound), out)
    return out


@pytest.fixture(scope="module")
def programme(speech, make_music):
    """26 s: speech that comes and goes over music, and a silence."""
    sound = make_music(26)
    for at, level in ((10_000, 0.5), (400_000, 0.02), (800_000, 0.5)):
        sound[at : at + len(speech)] += level * speech[: len(sound) - at, None]
    sound[600_000:700_000] = 0
    return sound[:-123]


@pytest.mark.parametrize(("layout", "size"), [(layouts.MONO, 288), (layouts.STEREO, 480)])
def test_parts_are_bit_for_bit_one_long_encode(layout, size, programme, tmp_path):
    sound = programme[:, : layout.channels]
    in_parts = encode(sound, Mp3(layout), PART, tmp_path).read_bytes()
    whole = encode(sound, Mp3(layout), len(sound), tmp_path).read_bytes()
    assert len(in_parts) == len(whole)
    assert len(in_parts) % size == 0
    differing = [at // size for at in range(0, len(whole), size) if whole[at : at + size] != in_parts[at : at + size]]
    assert differing == []


def test_what_ffmpeg_says_of_its_own_file_is_said_of_ours(programme, tmp_path):
    """The frame at the beginning: how many frames and bytes, and what of them is not heard."""
    ours = encode(programme, Mp3(layouts.STEREO), PART, tmp_path).read_bytes()
    raw = np.ascontiguousarray(programme, "<f4").tobytes()
    argv = ["ffmpeg", "-v", "error", "-f", "f32le", "-ar", "48000", "-ac", "2", "-i", "-", "-c:a", "libmp3lame"]
    argv += ["-b:a", "160k", "-reservoir", "0", "-id3v2_version", "0", "-map_metadata", "-1", tmp_path / "theirs.mp3"]
    subprocess.run(argv, input=raw, check=True)
    theirs = (tmp_path / "theirs.mp3").read_bytes()
    assert ours[480:] == theirs[480:]
    assert ours[36:52] == theirs[36:52]  # “Info”, what is given, frames, bytes
    contents = [np.frombuffer(data[52:152], np.uint8).astype(int) for data in (ours, theirs)]
    assert np.abs(contents[0] - contents[1]).max() <= 1
    assert ours[177:180] == theirs[177:180]  # delay and padding


@pytest.mark.parametrize("length", [1, 575, 1_152, 1_153, PART - 1, PART + 1, PART + 600, PART + 1_500])
def test_programmes_of_any_length_are_heard_to_the_sample(length, decode, tmp_path):
    sound = (0.3 * np.sin(np.arange(length) / 10))[:, None].astype(np.float32)
    found = decode(encode(sound, Mp3(layouts.MONO), PART, tmp_path))
    assert len(found) == length
    if length > 2_000:
        assert np.abs(found[1_000:-1_000] - sound[1_000:-1_000]).max() < 0.02


def test_no_seam_is_heard(programme, decode, tmp_path):
    """Around joins, coding adds no more than elsewhere, and sound is where it was."""
    sound = programme[:, :1]
    found = decode(encode(sound, Mp3(layouts.MONO), PART, tmp_path))
    assert found.shape == sound.shape
    added = np.square(found - sound)[: len(sound) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES).mean(1)
    seams = np.arange(PART, len(sound), PART) // FRAME_SAMPLES
    around = np.concatenate([added[s - 2 : s + 3] for s in seams])
    assert around.max() <= added.max()
    lags = [
        float(np.dot(found[5_000:-5_000, 0], sound[5_000 + lag : len(sound) - 5_000 + lag, 0])) for lag in range(-3, 4)
    ]
    assert np.argmax(lags) == 3


def test_players_are_told_its_length_and_can_seek_into_it(programme, tmp_path):
    path = encode(programme, Mp3(layouts.STEREO), PART, tmp_path)
    entries = "format=duration:stream=codec_name,bit_rate,duration,start_time"
    told = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", entries, "-of", "json", path], check=True, capture_output=True
    )
    found = json.loads(told.stdout)
    assert float(found["format"]["duration"]) == pytest.approx(
        len(programme) / RATE_HZ, abs=2 * FRAME_SAMPLES / RATE_HZ
    )
    assert found["streams"][0]["bit_rate"] == "160000"
    argv = ["ffmpeg", "-v", "error", "-ss", "20", "-i", path, "-t", "2", "-f", "f32le", "-"]
    late = np.frombuffer(subprocess.run(argv, check=True, capture_output=True).stdout, "<f4").reshape(-1, 2)
    there = programme[20 * RATE_HZ + 4_800 : 22 * RATE_HZ - 4_800, 0]
    assert np.corrcoef(late[4_800 : 4_800 + len(there), 0], there)[0, 1] > 0.98
