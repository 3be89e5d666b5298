"""How loud an encoded file is, by a judge that had no part in making it: ffmpeg's EBU R 128 meter.

A meter with true peak takes half a minute for an hour of stereo, so a file is measured in parts, on several cores, and
a part whose packets are the same as in an earlier file is not measured again. The parts join exactly: every 100 ms the
meter tells the loudness of the last 400 ms and of the last 3 s, the gates of ITU-R BS.1770-4 and EBU Tech 3342 work on
these values alone, and each part begins to listen long before its first value counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speechmill.recipes import Digest, Recipe
from speechmill.reports import Loudness
from storage.artifacts import ArtifactStore
from tasks.media import ffmpeg
from tasks.sound import loudness

VERSION = "1"
STEP_S = 0.1
PART_STEPS = 3000  # 5 minutes: what an edited line costs again; the preroll is a sixtieth of it
SHORTEST_STEPS = 600  # a rest shorter than this goes with the part before it
PREROLL_STEPS = 50  # the window of 3 s, and 2 s in which the decoder and the filters settle
DEAF_S = 0.2  # a decoder that starts in the middle makes some false samples first
FADE_S = 0.3  # a step from silence into sound would be a peak of its own
SPARE_S = 1.0  # packets that a decoder may want around its part
QUIETEST_DB = -120.0
DECIMALS = 2

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a file in steps of 100 ms. The last one has no end, so that nothing of the file is left out."""

    first: int
    end: int | None

    @property
    def listen_from(self) -> int:
        return max(0, self.first - PREROLL_STEPS)


@dataclass(frozen=True, eq=False, slots=True)
class Readings:
    """What a meter showed every 100 ms."""

    momentary_lufs: Values  # of the 400 ms that end there
    short_term_lufs: Values  # of the 3 s that end there
    true_peak: float  # of all of it, as a factor of full scale

    @classmethod
    def joined(cls, parts: Sequence[Readings]) -> Readings:
        return cls(
            np.concatenate([p.momentary_lufs for p in parts]),
            np.concatenate([p.short_term_lufs for p in parts]),
            max(p.true_peak for p in parts),
        )

    def loudness(self, spans: Iterable[tuple[int, int]] | None = None) -> Loudness:
        """Of the whole; with ``spans`` (samples at 48 kHz) the integrated loudness is that of these spans only: a
        block counts where at least half of it lies in them. −70 LUFS and −120 dBTP are silence."""
        blocks = self.momentary_lufs
        if spans is not None:
            inside = loudness.coverage(spans, len(blocks))
            # The block that ends with a step has this one and the three before it.
            share = np.convolve(inside, np.ones(loudness.GATING_STEPS))[: len(blocks)] / loudness.GATING_STEPS
            blocks = blocks[share >= 0.5]
        peak_db = 20 * float(np.log10(self.true_peak)) if self.true_peak > 0 else QUIETEST_DB
        range_lu = _range_lu(self.short_term_lufs)
        return Loudness(
            integrated_lufs=round(_integrated_lufs(blocks), DECIMALS),
            true_peak_dbtp=round(peak_db, DECIMALS),
            lra_lu=None if range_lu is None else round(range_lu, DECIMALS),
        )


def readings(store: ArtifactStore, audio: Digest, *, threads: int) -> Readings:
    """What the meter shows over a whole encoded file of the store, ``threads`` parts at a time.

    Raises ``UnreadableMedia`` for a file that cannot be opened, ``ToolFailed`` for one that cannot be decoded.
    """
    path = store.path(audio)
    parts = cut(int(float(ffmpeg.probe(path)["format"]["duration"]) / STEP_S))
    packets = _packets(path)

    def measured(part: Part) -> Readings:
        recipe = Recipe(
            "meter",
            VERSION,
            inputs=[_digest(packets, part)],
            first=part.first - part.listen_from,
            last=part.end is None,
        )
        made = store.get_or_make(recipe, lambda out: _write(read(path, part), out))
        return _load(store.path(made.sha256))

    with ThreadPoolExecutor(threads) as pool:
        return Readings.joined(list(pool.map(measured, parts)))


def cut(steps: int) -> list[Part]:
    """A file of so many steps in parts of 5 minutes."""
    count = max(1, -(-(steps - SHORTEST_STEPS) // PART_STEPS))
    firsts = [i * PART_STEPS for i in range(count)]
    return [Part(first, end) for first, end in zip(firsts, [*firsts[1:], None], strict=True)]


def read(path: Path, part: Part) -> Readings:
    """Measure one part of the first audio track of a file."""
    start = part.listen_from
    options: dict[str, object] = {"ss": f"{start * STEP_S:.1f}"} if start else {}
    if part.end is not None:
        options["t"] = f"{(part.end - start) * STEP_S:.1f}"
    sound = ffmpeg.source(path, **options)["a:0"]
    if start:
        sound = sound.filter("afade", type="in", start_time=DEAF_S, duration=FADE_S)
    meter = sound.filter("ebur128", peak="true", metadata=1).filter("ametadata", mode="print", file="-")
    shown = ffmpeg.execute(meter.output("-", f="null")).stdout.decode()
    return _parsed(shown, part)


def _parsed(shown: str, part: Part) -> Readings:
    values: dict[str, list[float]] = {"M": [], "S": [], "true_peak": []}
    for line in shown.splitlines():
        key, _, value = line.removeprefix("lavfi.r128.").partition("=")
        if key in values:
            values[key].append(float(value))
    first, end = part.first - part.listen_from, None if part.end is None else part.end - part.listen_from
    momentary, short_term = (np.nan_to_num(np.asarray(values[key]), nan=QUIETEST_DB) for key in ("M", "S"))
    return Readings(momentary[first:end], short_term[first:end], max(values["true_peak"], default=0.0))


def _packets(path: Path) -> tuple[Values, list[str]]:
    """When each packet of the first audio track is heard, in seconds, and its hash."""
    node = ffmpeg.source(path)["a:0"].output("pipe:1", c="copy", f="framehash", hash="murmur3")
    starts, hashes, tick_s = [], [], 1.0
    for line in ffmpeg.execute(node).stdout.decode().splitlines():
        if line.startswith("#tb "):
            above, below = line.split(":")[1].split("/")
            tick_s = int(above) / int(below)
        elif not line.startswith("#"):
            fields = line.split(",")
            starts.append(int(fields[2]))
            hashes.append(fields[5].strip())
    return np.asarray(starts) * tick_s, hashes


def _digest(packets: tuple[Values, list[str]], part: Part) -> Digest:
    """Of the packets that a part is decoded from."""
    starts_s, hashes = packets
    end_s = np.inf if part.end is None else part.end * STEP_S + SPARE_S
    low, high = np.searchsorted(starts_s, [part.listen_from * STEP_S - SPARE_S, end_s])
    begin_s = starts_s[low] - part.listen_from * STEP_S if low < len(starts_s) else 0.0
    return Digest(hashlib.sha256("\n".join([f"{begin_s:.6f}", *hashes[low:high]]).encode()).hexdigest())


def _write(made: Readings, out: Path) -> None:
    momentary, short_term = (values.round(3).tolist() for values in (made.momentary_lufs, made.short_term_lufs))
    out.write_text(json.dumps({"momentary": momentary, "short_term": short_term, "true_peak": made.true_peak}))


def _load(path: Path) -> Readings:
    kept = json.loads(path.read_text())
    return Readings(np.asarray(kept["momentary"]), np.asarray(kept["short_term"]), kept["true_peak"])


def _integrated_lufs(blocks: Values) -> float:
    audible = _power(blocks[blocks > loudness.SILENCE_LUFS])
    if not len(audible):
        return loudness.SILENCE_LUFS
    kept = audible[audible > np.mean(audible) * 10 ** (loudness.RELATIVE_GATE_LU / 10)]
    return float(10 * np.log10(np.mean(kept)))


def _range_lu(windows: Values) -> float | None:
    audible = windows[windows > loudness.SILENCE_LUFS]
    if not len(audible):
        return None
    gate = 10 * np.log10(np.mean(_power(audible))) + loudness.RANGE_GATE_LU
    low, high = np.percentile(audible[audible > gate], loudness.RANGE_PERCENTILES)
    return float(high - low)


def _power(values: Values) -> Values:
    power: Values = 10 ** (values / 10)
    return power
