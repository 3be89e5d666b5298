"""AAC in parts: joined frame by frame, aligned to the sample, as good as one long encode."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest
import soundfile

from speechmill.profiles import profile
from tasks.sound import encoding, layouts
from tasks.sound.encoding import FRAME_SAMPLES, Frames

ENCODING = profile("youtube").encoding


def encode(sound, layout, part, folder):
    paths = []
    for start in range(0, len(sound), part):
        frames = Frames.of(start, min(start + part, len(sound)), len(sound))
        heard = sound[frames.hear_from_samples : frames.hear_to_samples]
        paths.append(folder / f"{start}.aac")
        encoding.write_aac_part(np.array_split(heard, 5), layout, ENCODING, frames, paths[-1])
    out = folder / "joined.m4a"
    encoding.join_aac(paths, len(sound), "es-MX", out)
    return out


@pytest.fixture(scope="module")
def programme(speech, make_music):
    sound = make_music(24)
    for at in (10_000, 400_000, 700_000):
        sound[at : at + len(speech)] += 0.5 * speech[: len(sound) - at, None]
    t = np.arange(len(sound))
    sound += (0.3 * np.random.default_rng(5).standard_normal(len(t)) * ((t % 20_000) < 300))[:, None].astype(np.float32)
    return sound[:-123]


def test_parts_join_as_well_as_one_long_encode(programme, decode, tmp_path):
    part = 200 * FRAME_SAMPLES
    joined = decode(encode(programme, layouts.STEREO, part, tmp_path))
    soundfile.write(tmp_path / "whole.wav", programme, 48_000, subtype="FLOAT")
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", tmp_path / "whole.wav", "-b:a", "192k", tmp_path / "whole.m4a"], check=True
    )
    whole = decode(tmp_path / "whole.m4a")
    assert 0 <= len(joined) - len(programme) < FRAME_SAMPLES
    ours, theirs = by_frame(joined, programme), by_frame(whole, programme)
    assert 10 * np.log10(ours.mean() / theirs.mean()) < 1
    seams = np.arange(part, len(programme), part) // FRAME_SAMPLES
    louder_db = 10 * np.log10(ours / theirs)
    assert louder_db.mean() < 2
    # Two windows that do not fit together leave an alias in the frame before the seam, far above coding noise.
    assert max(louder_db[s + beside] for s in seams for beside in (-2, -1, 0)) < 9


def by_frame(found, sound):
    """Mean square of what coding adds to each frame."""
    count = len(sound) // FRAME_SAMPLES
    difference = (found[: len(sound)] - sound)[: count * FRAME_SAMPLES]
    return np.square(difference).reshape(count, -1).mean(axis=1) + 1e-12


def test_the_file_begins_at_zero_and_is_as_long_as_the_programme(programme, decode, tmp_path):
    path = encode(programme, layouts.STEREO, 300 * FRAME_SAMPLES, tmp_path)
    entries = "stream=start_pts,duration_ts,codec_name,channels:stream_tags=language"
    told = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", entries, "-of", "json", path], check=True, capture_output=True
    )
    stream = json.loads(told.stdout)["streams"][0]
    assert (stream["start_pts"], stream["duration_ts"]) == (0, len(programme))
    assert (stream["codec_name"], stream["channels"], stream["tags"]["language"]) == ("aac", 2, "spa")
    found = decode(path)[: len(programme), 0]
    lags = [
        float(np.dot(found[2_000:-2_000], programme[2_000 + lag : len(found) - 2_000 + lag, 0])) for lag in range(-3, 4)
    ]
    assert np.argmax(lags) == 3  # aligned to the sample


@pytest.mark.parametrize("layout", ["mono", "3.0", "5.1", "5.1(side)", "7.1"])
def test_every_channel_comes_back_where_it_was(layout, decode, tmp_path):
    chosen = layouts.of_name(layout)
    t = np.arange(3 * 48_000) / 48_000
    tones = [60.0 if p == "LFE" else 300.0 * 1.3**i for i, p in enumerate(chosen.positions)]
    sound = np.stack([0.2 * np.sin(2 * np.pi * f * t) for f in tones], axis=1).astype(np.float32)
    path = encode(sound, chosen, 40 * FRAME_SAMPLES, tmp_path)
    found = decode(path)[: len(sound)]
    for channel in range(chosen.channels):
        alike = np.corrcoef(found[4_000:, channel], sound[4_000:, channel])[0, 1]
        assert alike > 0.99, f"{chosen.positions[channel]}: {alike}"


@pytest.mark.parametrize("length", [1, 1_023, 1_024, 1_025, 5_000])
def test_programmes_of_any_length_are_whole(length, decode, tmp_path):
    sound = (0.3 * np.sin(np.arange(length) / 10))[:, None].astype(np.float32)
    path = encode(sound, layouts.MONO, 4 * FRAME_SAMPLES, tmp_path)
    assert 0 <= len(decode(path)) - length < FRAME_SAMPLES


def test_layouts_that_frames_have_no_number_for_are_encoded_whole(make_music, decode, tmp_path):
    quad = layouts.of_name("quad")
    assert not encoding.can_join(quad, ENCODING)
    soundfile.write(tmp_path / "quad.flac", make_music(2, 4), 48_000, subtype="PCM_24")
    encoding.encode_whole(tmp_path / "quad.flac", quad, ENCODING, "es", tmp_path / "quad.m4a")
    assert decode(tmp_path / "quad.m4a").shape[1] == 4


def test_the_stem_is_a_wav_that_says_its_length(tmp_path):
    sound = np.random.default_rng(0).uniform(-1, 1, 100_001).astype(np.float32)
    for i, piece in enumerate(np.array_split(sound, 3)):
        encoding.write_pcm_part(np.array_split(piece, 2), tmp_path / f"{i}.pcm")
    encoding.join_wav([tmp_path / f"{i}.pcm" for i in range(3)], 1, len(sound), tmp_path / "stem.wav")
    found, rate_hz = soundfile.read(tmp_path / "stem.wav", dtype="float32")
    assert rate_hz == 48_000
    np.testing.assert_allclose(found, sound, atol=0.6 / (1 << 23))
    assert soundfile.info(tmp_path / "stem.wav").subtype == "PCM_24"


def test_a_stem_beyond_four_gigabytes_is_rf64(tmp_path):
    hole = tmp_path / "hole.pcm"
    samples = 1_500_000_000  # 4.5 GB that take no room on the disk
    with hole.open("wb") as file:
        file.truncate(10)
    encoding.join_wav([hole], 1, samples, tmp_path / "stem.wav")
    with (tmp_path / "stem.wav").open("rb+") as file:
        file.truncate(file.seek(0, 2) + samples * 3 - 10)
    told = subprocess.run(
        [
            "ffprobe",
            "-v",
            "error",
            "-show_entries",
            "stream=duration_ts,codec_name",
            "-of",
            "csv=p=0",
            tmp_path / "stem.wav",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    assert told.stdout.strip() == f"pcm_s24le,{samples}"
