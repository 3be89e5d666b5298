"""Where somebody speaks, and how that is cut into pieces that a recogniser can take."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from speechmill.lines import RATE_HZ, Anchor, samples_of_ms
from speechmill.recipes import Recipe
from storage.artifacts import ArtifactStore
from tasks.speech import mono, silero

if TYPE_CHECKING:
    from tasks.media.extraction import Sound

VERSION = "silero-6+1"  # of the model, and of what is done here with its probabilities

BEGINS_AT = 0.5  # Silero's own thresholds
ENDS_BELOW = 0.35
SHORTEST_SPEECH_SAMPLES = samples_of_ms(200)  # a short “yes” is longer
SHORTEST_SILENCE_SAMPLES = samples_of_ms(200)  # stops inside words are shorter
PAD_SAMPLES = samples_of_ms(60)  # soft beginnings and ends of words, which the detector hears late

MOST_SAMPLES = 30 * RATE_HZ  # what engines take at a time
JOIN_SAMPLES = samples_of_ms(500)
"""A longer silence ends an utterance (and a line, in ``tasks.text.transcripts``), and the chunk with it: over music,
Sphinx hears 10 % of words wrong in chunks of 30 s with several voices, and 4 % in chunks of one utterance."""
AROUND_SAMPLES = samples_of_ms(150)  # of silence that a recogniser hears on each side, to settle; of music, words

FACTOR = RATE_HZ // silero.RATE_HZ
FRAME_SAMPLES = silero.FRAME_SAMPLES * FACTOR  # 32 ms
PART_SAMPLES = 640 * FRAME_SAMPLES  # 20 s: a few megabytes at a time
AHEAD = 2  # parts made ready for each thread

Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the programme for one call of a recogniser."""

    start_samples: int
    end_samples: int

    @property
    def length_samples(self) -> int:
        return self.end_samples - self.start_samples


@dataclass(frozen=True, eq=False, slots=True)
class Frames:
    """What was measured of each 32 ms: how probably somebody speaks, and the mean square."""

    probability: NDArray[np.float32]
    power: NDArray[np.float32]


def speech_spans(sound: Sound, store: ArtifactStore, threads: int = 1) -> tuple[Anchor, ...]:
    """Where somebody speaks, or find it found: in order, apart from each other, none longer than ``MOST_SAMPLES``."""

    def make(out: Path) -> None:
        frames = measure(store.path(sound.digest), sound.layout, sound.length_samples, threads)
        found = spans(frames, sound.length_samples)
        out.write_text(json.dumps([[span.start_samples, span.end_samples] for span in found]), "utf-8")

    artifact = store.get_or_make(Recipe("speech", VERSION, inputs=[sound.digest]), make, suffix=".json")
    return tuple(Anchor(*span) for span in json.loads(store.path(artifact.sha256).read_text("utf-8")))


def measure(path: Path, layout: str, length_samples: int, threads: int = 1) -> Frames:
    """Listen to a whole 48 kHz file, part by part; ``threads`` parts are made ready while another is listened to."""
    memory = silero.Memory()
    margin = mono.margin_samples(FACTOR)

    def ready(part: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        start, end = part
        end = start + -(-(end - start) // FRAME_SAMPLES) * FRAME_SAMPLES
        low = mono.lowered(mono.read(path, layout, start - margin, end + margin), FACTOR, margin)
        power = (low.reshape(-1, silero.FRAME_SAMPLES) ** 2).mean(axis=1)
        return silero.gates(low), power

    probability, power = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
    for inward, level in _in_order(ready, list(mono.parts(length_samples, PART_SAMPLES)), threads):
        probability.append(silero.probabilities(inward, memory))
        power.append(level)
    return Frames(np.concatenate(probability), np.concatenate(power))


def spans(frames: Frames, length_samples: int) -> tuple[Anchor, ...]:
    """Speech begins where it is probable and ends where it has been improbable for a while (Silero's own rule)."""
    rough: list[tuple[int, int]] = []
    begin: int | None = None
    silent_from: int | None = None
    for index, probability in enumerate(frames.probability.tolist()):
        at = index * FRAME_SAMPLES
        if probability >= BEGINS_AT:
            begin = at if begin is None else begin
            silent_from = None
        elif begin is not None and probability < ENDS_BELOW:
            silent_from = at if silent_from is None else silent_from
            if at + FRAME_SAMPLES - silent_from >= SHORTEST_SILENCE_SAMPLES:
                rough.append((begin, silent_from))
                begin = silent_from = None
    if begin is not None:
        rough.append((begin, length_samples if silent_from is None else silent_from))
    padded = _padded([r for r in rough if r[1] - r[0] >= SHORTEST_SPEECH_SAMPLES], length_samples)
    return tuple(Anchor(*piece) for span in padded for piece in _cut(span, frames.power))


def chunks(spans: Sequence[Anchor], length_samples: int) -> tuple[Chunk, ...]:
    """Pieces of at most 30 s that hold all speech and never overlap, cut where nobody speaks.

    ``spans`` are in order, apart from each other and at most 30 s long. Each chunk has up to 150 ms of silence around
    its speech, as far as there is silence and room.
    """
    groups: list[list[int]] = []
    for span in spans:
        if (
            groups
            and span.start_samples - groups[-1][1] <= JOIN_SAMPLES
            and span.end_samples - groups[-1][0] <= MOST_SAMPLES
        ):
            groups[-1][1] = span.end_samples
        else:
            groups.append([span.start_samples, span.end_samples])
    made = []
    for index, (start, end) in enumerate(groups):
        before = start - (groups[index - 1][1] if index else 0)
        after = (groups[index + 1][0] if index + 1 < len(groups) else length_samples) - end
        around = (MOST_SAMPLES - (end - start)) // 2
        lead = min(AROUND_SAMPLES, around, before // 2 if index else before)
        tail = min(AROUND_SAMPLES, around, after // 2 if index + 1 < len(groups) else max(0, after))
        made.append(Chunk(start - lead, end + tail))
    return tuple(made)


def _padded(rough: Sequence[tuple[int, int]], length_samples: int) -> list[tuple[int, int]]:
    """Spans with a little around them; where two come together, they meet in the middle."""
    padded = []
    for index, (start, end) in enumerate(rough):
        before = start - rough[index - 1][1] if index else start
        after = rough[index + 1][0] - end if index + 1 < len(rough) else length_samples - end
        lead = min(PAD_SAMPLES, before // 2 if index else before)
        tail = min(PAD_SAMPLES, after // 2 if index + 1 < len(rough) else max(0, after))
        padded.append((start - lead, min(end + tail, length_samples)))
    return padded


def _cut(span: tuple[int, int], power: NDArray[np.float32]) -> list[tuple[int, int]]:
    """A span that is too long for one call is cut at its quietest place, in the second half of what is possible."""
    start, end = span
    pieces = []
    while end - start > MOST_SAMPLES:
        first, last = (start + MOST_SAMPLES // 2) // FRAME_SAMPLES + 1, (start + MOST_SAMPLES) // FRAME_SAMPLES
        quiet = np.convolve(power[first - 1 : last + 1], np.ones(3, np.float32), "valid")  # about 100 ms
        at = (first + int(quiet.argmin())) * FRAME_SAMPLES + FRAME_SAMPLES // 2 if len(quiet) else start + MOST_SAMPLES
        at = min(at, start + MOST_SAMPLES)
        pieces.append((start, at))
        start = at
    return [*pieces, (start, end)]


def _in_order(work: Callable[[Given], Made], given: Sequence[Given], threads: int) -> Iterator[Made]:
    """Results in order, a few of them made ahead."""
    if threads <= 1:
        yield from map(work, given)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="listen") as pool:
        waiting = deque(pool.submit(work, one) for one in given[: threads * AHEAD])
        for following in given[threads * AHEAD :]:
            yield waiting.popleft().result()
            waiting.append(pool.submit(work, following))
        while waiting:
            yield waiting.popleft().result()
