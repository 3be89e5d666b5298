"""How loud a source is, tenth of a second by tenth of a second: what every line of the dub is levelled by."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile

from speechmill.recipes import Digest, Recipe
from storage.artifacts import ArtifactStore
from tasks.sound import layouts
from tasks.sound.loudness import PREROLL_SAMPLES, STEP_SAMPLES, Energies, Meter

VERSION = "1"
PART_SAMPLES = 600 * STEP_SAMPLES  # a minute: parts are whole steps, so their energies join
BLOCK_SAMPLES = 60 * STEP_SAMPLES


def measure_source(sound: Digest, store: ArtifactStore, threads: int) -> Energies:
    """K-weighted energies of a 48 kHz WAV, all channels, by ITU-R BS.1770-4.

    ``.over(spans)`` is the loudness of lines, ``.integrated_lufs`` that of the whole.
    """
    recipe = Recipe("measure source", VERSION, inputs=[sound])
    made = store.get_or_make(recipe, lambda out: _measure(store.path(sound), threads, out), ".npy")
    return Energies(np.load(store.path(made.sha256)).astype(np.float64))


def _measure(path: Path, threads: int, out: Path) -> None:
    weights = layouts.of_wav(path).weights
    frames = soundfile.info(path).frames

    def part(start: int) -> Energies:
        meter = Meter(weights)
        with soundfile.SoundFile(path) as file:
            before = min(start, PREROLL_SAMPLES)
            file.seek(start - before)
            meter.settle(file.read(before, dtype="float32", always_2d=True))
            left = min(PART_SAMPLES, frames - start)
            while left > 0:
                block = file.read(min(BLOCK_SAMPLES, left), dtype="float32", always_2d=True)
                meter.feed(block)
                left -= len(block) or left
        return Energies(meter.steps())

    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        whole = Energies.joined(list(pool.map(part, range(0, frames, PART_SAMPLES))))
    with out.open("wb") as file:
        np.save(file, whole.mean_squares.astype(np.float32))
