"""Where lossy coding makes peaks higher than they were, found in the encoded file: there, and nowhere else, the limiter
has to take more.

Coding adds noise, and noise now and then lands on a peak: of thousands that the limiter has brought to one height, a
few come out half a decibel above it. They are no reason to make a whole programme softer.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speechmill.lines import RATE_HZ
from speechmill.recipes import Digest, Recipe
from storage.artifacts import ArtifactStore
from tasks.media import ffmpeg
from tasks.sound.loudness import PEAK_SAMPLES, TAPS_EACH_SIDE, Sound, amplitude, true_peaks

VERSION = "1"
BLOCK_SAMPLES = PEAK_SAMPLES * 4096  # decoded at a time: 5.5 s
SPARE_DB = 0.3  # encoded anew, the noise lands elsewhere; nobody hears so little in a few milliseconds
LEAST_PEAK = 1e-6  # a block that was silent before coding


@dataclass(frozen=True, eq=False, slots=True)
class Overshoots:
    """By how many decibels coding makes peaks higher, in those blocks of 64 samples where that was too much."""

    blocks: NDArray[np.int64]
    over_db: Sound

    @classmethod
    def none(cls) -> Overshoots:
        return cls(np.zeros(0, np.int64), np.zeros(0, np.float32))

    def __or__(self, other: Overshoots) -> Overshoots:
        """The higher of both, in every block that is in one of them."""
        both = np.concatenate([self.blocks, other.blocks])
        blocks, at = np.unique(both, return_inverse=True)
        over_db = np.full(len(blocks), -np.inf, np.float32)
        np.maximum.at(over_db, at, np.concatenate([self.over_db, other.over_db]))
        return Overshoots(blocks, over_db)


def overshoots(store: ArtifactStore, audio: Digest, limited: Sound, limit_db: float) -> Overshoots:
    """Those of an encoded file of the store whose blocks had the true peaks ``limited`` before it was encoded, where
    they are now above ``limit_db``."""
    recipe = Recipe("peaks over", VERSION, inputs=[audio], limit_db=limit_db)
    made = store.get_or_make(recipe, lambda out: _write(store.path(audio), limit_db, out), ".npy")
    found = np.load(store.path(made.sha256))
    inside = found[found["block"] < len(limited)]
    before = np.maximum(limited[inside["block"]], LEAST_PEAK)
    return Overshoots(inside["block"], (20 * np.log10(inside["peak"] / before) + SPARE_DB).astype(np.float32))


def _write(path: Path, limit_db: float, out: Path) -> None:
    limit = amplitude(limit_db)
    found = [np.zeros(0, [("block", np.int64), ("peak", np.float32)])]
    for first, peaks in _peaks(path, limit):
        over = np.flatnonzero(peaks > limit)
        rows = np.zeros(len(over), found[0].dtype)
        rows["block"], rows["peak"] = first + over, peaks[over]
        found.append(rows)
    with out.open("wb") as file:
        np.save(file, np.concatenate(found))


def _peaks(path: Path, floor: float) -> Iterator[tuple[int, Sound]]:
    """The true peak of every 64 samples of the first audio track, and the number of the first of them."""
    stream = ffmpeg.probe(path)["streams"][0]
    channels, length_s = int(stream["channels"]), float(stream["duration"])
    node = ffmpeg.source(path)["a:0"].output("pipe:1", f="f32le", acodec="pcm_f32le", ar=RATE_HZ)
    edge = TAPS_EACH_SIDE
    with ffmpeg.running(node, stdout=subprocess.PIPE, limits=ffmpeg.lasting(length_s)) as process:
        assert process.stdout is not None
        before, here, first = np.zeros((edge, channels), np.float32), _read(process, channels), 0
        while len(here):
            after = _read(process, channels)
            whole = np.pad(here, ((0, -len(here) % PEAK_SAMPLES), (0, 0)))
            following = np.concatenate([after[:edge], np.zeros((edge, channels), np.float32)])[:edge]
            yield first, true_peaks(whole, before, following, floor)
            first += len(whole) // PEAK_SAMPLES
            before, here = here[-edge:], after
        ffmpeg.finish(process)


def _read(process: subprocess.Popen[bytes], channels: int) -> Sound:
    assert process.stdout is not None
    data = process.stdout.read(BLOCK_SAMPLES * channels * 4)
    return np.frombuffer(data, "<f4").reshape(-1, channels)
