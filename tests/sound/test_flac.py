"""FLAC in parts: what is joined is what one encoder would have written, and every decoder agrees."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from tasks.sound import flac


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_joined_parts_are_the_whole_sound(make_music, tmp_path, channels):
    sound = make_music(14, channels)[:-321]
    part = flac.FRAME_SAMPLES * 140  # the second part begins beyond frame 127: its numbers are two bytes long
    paths = []
    for first in range(0, len(sound), part):
        paths.append(tmp_path / f"{first}.frames")
        blocks = np.array_split(sound[first : first + part], 3)
        flac.write_part(blocks, channels, first, paths[-1])
    whole = tmp_path / "whole.flac"
    flac.join(paths, channels, len(sound), whole)
    info = soundfile.info(whole)
    assert (info.frames, info.channels, info.samplerate, info.subtype) == (len(sound), channels, 48_000, "PCM_24")
    found, _ = soundfile.read(whole, dtype="float32", always_2d=True)  # libFLAC checks the sum of every frame
    assert np.abs(found - sound).max() <= 0.5 / (1 << 23) + 1e-9
    argv = ["ffmpeg", "-v", "warning", "-err_detect", "crccheck+explode", "-i", whole, "-f", "null", "-"]
    assert subprocess.run(argv, check=True, capture_output=True).stderr == b""


def test_a_seek_lands_on_the_sample(make_music, tmp_path):
    sound, part = make_music(10), flac.FRAME_SAMPLES * 25
    paths = []
    for first in range(0, len(sound), part):
        paths.append(tmp_path / f"{first}.frames")
        flac.write_part([sound[first : first + part]], 2, first, paths[-1])
    flac.join(paths, 2, len(sound), tmp_path / "whole.flac")
    with soundfile.SoundFile(tmp_path / "whole.flac") as file:
        for at in (0, 5, 102_399, 102_400, 300_001):
            file.seek(at)
            np.testing.assert_allclose(file.read(500, dtype="float32"), sound[at : at + 500], atol=1e-7)


def test_what_is_beyond_full_scale_is_held_there_and_never_turns_over():
    numbers = flac.integers(np.array([2.0, 1.0, 0.5, -1.0, -2.0], np.float32)) >> 8
    assert numbers.tolist() == [(1 << 23) - 1, (1 << 23) - 1, 1 << 22, -(1 << 23), -(1 << 23)]


@given(number=st.integers(0, 0x10FFFF).filter(lambda n: not 0xD800 <= n < 0xE000))
def test_frame_numbers_are_coded_like_characters(number):
    assert flac.coded(number) == chr(number).encode()
