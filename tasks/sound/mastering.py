"""The master: a mix at its loudness and under its peak, in parts that are made on all cores and only once.

First every part of the mix is measured; from the numbers follow the programme gain and the limiter's curve
(``tasks.sound.gain``); then every part is rendered once more and for good. Each part is an artifact of what sounds in
it and nothing else: an edited line renders the part it is in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TypeVar

import numpy as np

from speechmill.profiles import Profile
from speechmill.recipes import Artifact, Digest, Json, Recipe, digest_of_bytes
from storage.artifacts import ArtifactStore
from tasks.sound import coding, encoding, flac, gain, limiting, mixing
from tasks.sound.encoding import Coder
from tasks.sound.gain import Level, Measured
from tasks.sound.limiting import NODE_SAMPLES
from tasks.sound.loudness import PREROLL_SAMPLES, TAPS_EACH_SIDE, Meter, Sound, amplitude, true_peaks
from tasks.sound.mixing import Mix, Renderer, Span
from tasks.sound.overshoot import Overshoots

VERSION = "1"

UNIT_SAMPLES = 307_200
"""Parts are whole multiples of this: of an AAC frame (1024), a FLAC frame (4096) and a step of the meter (4800)."""
MOST_UNITS = 14  # 90 s: an edited line costs one such part, and starting an encoder costs little beside it
LEAST_PARTS = 8  # of a programme long enough: so many keep several cores busy to the end
BLOCK_SAMPLES = UNIT_SAMPLES  # rendered at a time: 2.5 MB of stereo
QUIET_DB = -12.0  # peaks so far below their part's loudest are not limited, and so need no exact reading

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Master:
    """The master of a programme and what it measures before lossy encoding."""

    flac: Artifact  # 48 kHz 24 bit, in the layout of the mix
    encoded: Mapping[str, Artifact]  # by the coder's name
    dialogue: Artifact | None  # WAV, 24 bit: what speech adds to the channels that it is heard in
    level: Level  # under which it was rendered
    ceiling_db: float
    coding_lu: float  # by how much coding was taken to make it louder
    integrated_lufs: float
    true_peak_dbtp: float
    met: bool  # whether the target was reached

    @property
    def gain_db(self) -> float:
        return self.level.gain_db


@dataclass(frozen=True, slots=True)
class _Made:
    flac: Artifact
    dialogue: Artifact | None
    encoded: Mapping[str, Artifact]  # of the coders that work in parts


def master(
    mix: Mix,
    profile: Profile,
    store: ArtifactStore,
    *,
    coders: Sequence[Coder],
    threads: int,
    stem: bool = True,
    ceiling_db: float | None = None,
    overshoots: Overshoots | None = None,
    coding_lu: float | None = None,
    previous_gain_db: float | None = None,
    on_part: Callable[[int, int], None] | None = None,
) -> Master:
    """Master a mix for a profile; every part is an artifact, so what has not changed is not made again. ``coders`` are
    the lossy forms that are made beside FLAC, ``stem`` says whether the dialogue alone is wanted as well.

    ``ceiling_db`` is the limiter's, where it is not the profile's true peak less its margin for the codec;
    ``overshoots`` are where coding was measured to raise peaks too far; ``coding_lu`` is by how much coding was
    measured to make it louder, learnt from a few pieces of the first coder where nobody knows.
    ``previous_gain_db`` is kept while the loudness stays within 0.25 LU of the target, so that an edited line never
    moves a whole programme by a tenth of a decibel. ``on_part(done, of)`` is
    called as parts are measured and rendered, from the thread that did it.
    """
    loudness = profile.loudness
    ceiling = ceiling_db if ceiling_db is not None else loudness.true_peak_dbtp - profile.encoding.codec_margin_db
    target = loudness.target_lufs(mix.layout.channels)
    with _Line(mix, coders, store, threads, on_part, stem=stem) as line:
        measured = Measured.joined(line.each(line.measured))
        if overshoots is not None:
            measured = measured.limited_for(overshoots, ceiling, loudness.true_peak_dbtp)

        def settled(target_lufs: float) -> Level:
            return gain.settle(
                measured,
                target_lufs,
                ceiling,
                spans=mixing.spoken(mix.timeline) if loudness.dialogue_gated else None,
                previous_gain_db=previous_gain_db,
            )

        level = settled(target - (coding_lu or 0.0))
        if coding_lu is None:
            coding_lu = line.coding_lu(measured, level)
            level = settled(target - coding_lu) if coding_lu else level
        made = line.each(lambda part: line.rendered(part, level))
        whole = line.joined(made)
    return Master(
        *whole,
        level=level,
        ceiling_db=ceiling,
        coding_lu=coding_lu,
        integrated_lufs=round(level.lufs, 2),
        true_peak_dbtp=round(level.true_peak_dbtp, 2),
        met=abs(level.lufs - (target - coding_lu)) <= gain.KEEP_LU,
    )


def stem(mix: Mix, level: Level, store: ArtifactStore, *, threads: int) -> Artifact:
    """FLAC of what one part of a programme, a mix of the same length, adds to its master: under the same gain and the
    same limiting, so that all stems together are the master."""
    with _Line(mix, [], store, threads, None, stem=False) as line:
        whole, _, _ = line.joined(line.each(lambda part: line.rendered(part, level)))
    return whole


def parts(length_samples: int) -> list[Span]:
    """The parts of a programme: as many units each, the last one what is left. No programme is without a part."""
    units = -(-length_samples // UNIT_SAMPLES)
    part = max(1, min(MOST_UNITS, units // LEAST_PARTS)) * UNIT_SAMPLES
    return [(start, min(start + part, length_samples)) for start in range(0, max(1, length_samples), part)]


class _Line:
    """The mastering of one mix: its parts, its renderer, its threads."""

    def __init__(
        self,
        mix: Mix,
        coders: Sequence[Coder],
        store: ArtifactStore,
        threads: int,
        on_part: Callable[[int, int], None] | None,
        *,
        stem: bool,
    ) -> None:
        self._mix = mix
        self._coders = coders
        self._stem = stem
        self._store = store
        self._renderer = Renderer(mix, store)
        self._parts = parts(mix.length_samples)
        self._pool = ThreadPoolExecutor(max_workers=max(1, threads), thread_name_prefix="master")
        self._on_part = on_part
        self._done = 0
        self._guard = Lock()

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def each(self, work: Callable[[Span], T]) -> list[T]:
        """``work`` on every part, on all threads; results by time. The first error ends it."""

        def counted(part: Span) -> T:
            done = work(part)
            with self._guard:
                self._done += 1
                if self._on_part is not None:
                    self._on_part(self._done, 2 * len(self._parts))
            return done

        return list(self._pool.map(counted, self._parts))

    def measured(self, part: Span) -> Measured:
        """The numbers of one part of the raw mix."""
        start, end = part
        recipe = self._recipe("measure mix", (start - PREROLL_SAMPLES, end + TAPS_EACH_SIDE))
        made = self._store.get_or_make(recipe, lambda out: _measure(self._renderer, part, out), ".npy")
        mean_squares, peaks = np.load(self._store.path(made.sha256))
        return Measured(mean_squares, peaks)

    def coding_lu(self, measured: Measured, level: Level) -> float:
        """By how much the first coder makes the programme louder at a level, as far as a few pieces tell."""
        coder = next(iter(self._coders), None)
        if coder is None or not coder.in_parts:
            return 0.0

        def heard(piece: Span) -> tuple[float, float]:
            made = self._coded(coder, piece, _Sounds(self._renderer, level))
            return gain.limited_lufs(measured, level, piece), coding.measured_lufs(self._store.path(made.sha256))

        pieces = coding.pieces(self._mix.length_samples, UNIT_SAMPLES)
        return coding.shift_lu(self._pool.map(heard, filter(coding.is_measurable, pieces)))

    def rendered(self, part: Span, level: Level) -> _Made:
        """One part of the master, of its stem and of its encoded form."""
        start, end = part
        sounds = _Sounds(self._renderer, level)
        channels = self._mix.layout.channels
        master_part = self._store.get_or_make(
            self._recipe("master part", part, level, at=start),
            lambda out: flac.write_part(sounds.master(start, end), channels, start, out),
        )
        dialogue = None
        if self._stem:
            dialogue = self._store.get_or_make(
                self._recipe("dialogue part", part, level, channels=len(self._mix.layout.spoken_in)),
                lambda out: encoding.write_pcm_part(sounds.dialogue(start, end), out),
            )
        in_parts = [coder for coder in self._coders if coder.in_parts]
        return _Made(master_part, dialogue, {coder.name: self._coded(coder, part, sounds) for coder in in_parts})

    def _coded(self, coder: Coder, part: Span, sounds: _Sounds) -> Artifact:
        """One part of the master in a lossy form."""
        frames = coder.frames(*part, self._mix.length_samples)
        heard = (frames.hear_from_samples, min(frames.hear_to_samples, self._mix.length_samples))
        recipe = self._recipe(
            f"encode {coder.name}",
            heard,
            sounds.level,
            skip=frames.skipped,
            keep=frames.count,
            **coder.settings,
        )
        return self._store.get_or_make(
            recipe, lambda out: coder.write_part(sounds.master(*heard), frames, out), f".{coder.name}"
        )

    def joined(self, made: Sequence[_Made]) -> tuple[Artifact, dict[str, Artifact], Artifact | None]:
        """The whole programme: master, encoded, stem."""
        length, channels = self._mix.length_samples, self._mix.layout.channels

        def flac_file() -> Artifact:
            digests = [m.flac.sha256 for m in made]
            recipe = Recipe("join master", VERSION, inputs=digests, length=length, channels=channels)
            return self._store.get_or_make(
                recipe, lambda out: flac.join(self._paths(digests), channels, length, out), ".flac"
            )

        def dialogue_file() -> Artifact | None:
            digests = [m.dialogue.sha256 for m in made if m.dialogue]
            if not digests:
                return None
            heard_in = len(self._mix.layout.spoken_in)
            recipe = Recipe("join dialogue", VERSION, inputs=digests, length=length, channels=heard_in)
            return self._store.get_or_make(
                recipe, lambda out: encoding.join_wav(self._paths(digests), heard_in, length, out), ".wav"
            )

        def encoded_file(coder: Coder) -> Artifact:
            if coder.in_parts:
                digests = [m.encoded[coder.name].sha256 for m in made]
                recipe = Recipe(f"join {coder.name}", VERSION, inputs=digests, length=length, **coder.settings)
                return self._store.get_or_make(
                    recipe, lambda out: coder.join(self._paths(digests), length, out), f".{coder.name}"
                )
            whole = first.result().sha256
            recipe = Recipe(f"encode whole {coder.name}", VERSION, inputs=[whole], **coder.settings)
            return self._store.get_or_make(
                recipe, lambda out: coder.encode_whole(self._store.path(whole), out), f".{coder.name}"
            )

        first = self._pool.submit(flac_file)
        stem = self._pool.submit(dialogue_file)
        encoded = {coder.name: encoded_file(coder) for coder in self._coders}
        return first.result(), encoded, stem.result()

    def _paths(self, digests: Sequence[Digest]) -> list[Path]:
        return [self._store.path(d) for d in digests]

    def _recipe(self, operation: str, span: Span, level: Level | None = None, **more: Json) -> Recipe:
        """Of what ``span`` sounds like, before or after the programme gain."""
        if level is not None:
            nodes = level.nodes[span[0] // NODE_SAMPLES : -(-span[1] // NODE_SAMPLES) + 1]
            more |= {
                "gain_db": level.gain_db,
                "limited": digest_of_bytes(nodes.tobytes()) if (nodes < 1).any() else None,
            }
        described = self._mix.described(*span)
        return Recipe(operation, f"{mixing.VERSION}.{VERSION}", inputs=self._mix.inputs, **described, **more)


@dataclass(frozen=True, slots=True)
class _Sounds:
    """What is heard in the end, in blocks."""

    renderer: Renderer
    level: Level

    def master(self, start: int, end: int) -> Iterator[Sound]:
        return self._under_gain(self.renderer.mixed, start, end)

    def dialogue(self, start: int, end: int) -> Iterator[Sound]:
        return self._under_gain(self.renderer.dialogue, start, end)

    def _under_gain(self, render: Callable[[int, int], Sound], start: int, end: int) -> Iterator[Sound]:
        """Blocks begin at whole nodes of the limiter's curve."""
        factor = np.float32(amplitude(self.level.gain_db))
        for first in range(start, end, BLOCK_SAMPLES):
            last = min(first + BLOCK_SAMPLES, end)
            sound = render(first, last)
            sound *= factor
            limiting.limit(sound, self.level.nodes[first // NODE_SAMPLES : -(-last // NODE_SAMPLES) + 1])
            yield sound


def _measure(renderer: Renderer, part: Span, out: Path) -> None:
    """Write mean squares and true peaks of a part of the raw mix, shape (2, blocks)."""
    start, end = part
    meter = Meter(renderer.mix.layout.weights, NODE_SAMPLES)
    meter.settle(renderer.mixed(start - PREROLL_SAMPLES, start))
    peaks: list[Sound] = []
    loudest = 0.0
    edge = TAPS_EACH_SIDE
    for first in range(start, end, BLOCK_SAMPLES):
        last = first + -(-(min(first + BLOCK_SAMPLES, end) - first) // NODE_SAMPLES) * NODE_SAMPLES
        around = renderer.mixed(first - edge, last + edge)
        sound = around[edge:-edge]
        meter.feed(sound)
        loudest = max(loudest, float(sound.max(initial=0.0)), -float(sound.min(initial=0.0)))
        peaks.append(true_peaks(sound, around[:edge], around[-edge:], loudest * amplitude(QUIET_DB)))
    silent = np.zeros(0, np.float32)
    both = np.stack([meter.steps().astype(np.float32), np.concatenate([silent, *peaks])])
    with out.open("wb") as file:
        np.save(file, both)
