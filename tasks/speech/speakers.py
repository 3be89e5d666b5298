"""Who speaks: lines get the labels of their speakers, and speakers the pitch that they were measured with.

What a script says of its speakers stands; where it names all, only the pitch is measured. Else lines are grouped by how
their voices sound: their pitch, and the average spectrum of what is voiced.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count as numbers
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from speechmill.lines import RATE_HZ, Doubt, Line
from speechmill.recipes import Recipe
from speechmill.voices import Speaker
from storage.artifacts import ArtifactStore
from tasks.speech import mono
from tasks.speech.pitch import HOP_S, pitch_track

if TYPE_CHECKING:
    from tasks.media.extraction import Sound

VERSION = "1"

LOW_RATE_HZ = 16_000
FACTOR = RATE_HZ // LOW_RATE_HZ
LONGEST_SAMPLES = 4 * RATE_HZ  # of a line that is listened to
LINES_FOR_PITCH = 12  # of a speaker who is known by name: more do not change the median
FEWEST_VOICED = 15  # frames of 10 ms: below it a line says too little of its voice

WINDOW_S = 0.025
BANDS, CEPSTRA = 26, 12  # mel bands and cepstral coefficients, as speech recognisers take them

PITCH_WEIGHT = 6.0  # of an octave, against the cepstra: an octave counts as much as two quite different voices
MOST_ESTIMATED = 6  # speakers that are looked for where nobody said how many there are
CLEARLY_APART = 0.45  # silhouette; two to four flite voices over music: 0.58 and more; one voice cut up: up to 0.34
MOST_CLUSTERED = 1500  # lines that are compared with each other; the others go to the nearest group
FEWEST_OF_A_SPEAKER = 2  # lines: one odd line is no speaker


@dataclass(frozen=True, eq=False, slots=True)
class Voiceprint:
    """How the voice in one line sounds."""

    pitch_hz: float | None
    shape: tuple[float, ...]  # empty where too little is voiced


def label(
    lines: Sequence[Line], source: Sound, store: ArtifactStore, count: int | None = None
) -> tuple[list[Line], list[Speaker]]:
    """The lines with their speakers, and the speakers in the order of their first lines.

    ``count`` is how many speak, where somebody knows it; else as many as are clearly apart, which may well be one.
    """
    named = [line.speaker for line in lines]
    # Who makes a sound is nobody's line.
    unknown = [line for line in lines if not line.speaker and Doubt.SOUND_EFFECT not in line.doubts]
    if (any(named) and not unknown) or count == 1:
        labels = filled([line.speaker for line in lines])
        chosen = some_of_each(labels)
        prints = _measured([lines[index] for index in chosen], source, store)
        speakers = facts([labels[index] for index in chosen], prints)
    else:
        prints = _measured(lines, source, store)
        labels = in_part(named, grouped([p.shape for p in prints], count))
        speakers = facts(labels, prints)
    return [replace(line, speaker=name) for line, name in zip(lines, labels, strict=True)], speakers


def some_of_each(labels: Sequence[str]) -> list[int]:
    """Lines enough to know the pitch of every speaker, evenly over the programme."""
    chosen: list[int] = []
    for name in dict.fromkeys(labels):
        own = [index for index, label in enumerate(labels) if label == name]
        step = -(-len(own) // LINES_FOR_PITCH)
        chosen += own[::step]
    return chosen


def facts(labels: Sequence[str], prints: Sequence[Voiceprint]) -> list[Speaker]:
    """Every speaker with the median pitch of their lines."""
    pitches: dict[str, list[float]] = {name: [] for name in labels}
    for name, voiceprint in zip(labels, prints, strict=True):
        if voiceprint.pitch_hz is not None:
            pitches[name].append(voiceprint.pitch_hz)
    return [Speaker(name, round(float(np.median(found)), 1) if found else None) for name, found in pitches.items()]


def filled(labels: Sequence[str]) -> list[str]:
    """Labels as a script gives them; a line without one is said by whoever spoke before (or, at first, after)."""
    last = next((name for name in labels if name), "S1")
    result = []
    for name in labels:
        last = name or last
        result.append(last)
    return result


def in_part(named: Sequence[str], groups: Sequence[int]) -> list[str]:
    """Labels of lines of which a script names some, or none: these as it says, the others ``S1``, ``S2`` … by their
    groups, in the order in which they are first heard. Of several groups one that has a name in several of its lines,
    and no other, is called that throughout."""
    names: dict[int, str] = {}
    if len(set(groups)) > 1:
        for group in set(groups):
            said = [name for name, own in zip(named, groups, strict=True) if name and own == group]
            if len(said) >= FEWEST_OF_A_SPEAKER and len(set(said)) == 1:
                names[group] = said[0]
    free = (f"S{number}" for number in numbers(1) if f"S{number}" not in named)
    return [
        name or (names.get(group) or names.setdefault(group, next(free)))
        for name, group in zip(named, groups, strict=True)
    ]


def grouped(shapes: Sequence[tuple[float, ...]], count: int | None) -> list[int]:
    """A group for each line. A line that says too little of its voice goes with the one before it."""
    told = [index for index, shape in enumerate(shapes) if shape]
    if len(told) < 2 or count == 1:
        return [0] * len(shapes)
    points = np.array([shapes[index] for index in told])
    found = _clusters(points, min(count, len(told))) if count else _estimated(points)
    groups = dict(zip(told, found, strict=True))
    result: list[int] = []
    for index in range(len(shapes)):
        result.append(groups.get(index, result[-1] if result else found[0]))
    return result


def voiceprint(voice: NDArray[np.float32]) -> Voiceprint:
    """Of one line at 16 kHz."""
    track = pitch_track(voice, LOW_RATE_HZ)
    voiced = ~np.isnan(track)
    pitch = round(float(np.median(track[voiced])), 2) if voiced.any() else None
    if pitch is None or int(voiced.sum()) < FEWEST_VOICED:
        return Voiceprint(pitch, ())
    cepstra = _cepstra(voice)
    both = min(len(cepstra), len(voiced))
    spoken = cepstra[:both][voiced[:both]]
    shape = (PITCH_WEIGHT * float(np.log2(pitch)), *spoken.mean(axis=0).tolist())
    return Voiceprint(pitch, tuple(round(number, 4) for number in shape))


def _estimated(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Groups for as many speakers as are clearly apart: the number whose groups are the most compact."""
    best, found = CLEARLY_APART, np.zeros(len(points), np.int64)
    for count in range(2, min(MOST_ESTIMATED, len(points) // FEWEST_OF_A_SPEAKER) + 1):
        groups = _clusters(points, count)
        if np.bincount(groups).min() < FEWEST_OF_A_SPEAKER:
            continue
        apart = silhouette(points, groups)
        if apart > best:
            best, found = apart, groups
    return found


def _clusters(points: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Groups 0 … by Ward's method."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import cdist

    some = points[:: -(-len(points) // MOST_CLUSTERED)]
    groups = fcluster(linkage(some, "ward"), count, "maxclust")
    centres = np.stack([some[groups == group].mean(axis=0) for group in np.unique(groups)])
    nearest: NDArray[np.int64] = cdist(points, centres).argmin(axis=1)
    return nearest


def silhouette(points: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """How much nearer points are to their own group than to the next one, on average: −1 to 1 (Rousseeuw 1987)."""
    from scipy.spatial.distance import cdist

    step = -(-len(points) // MOST_CLUSTERED)
    points, groups = points[::step], groups[::step]
    members = groups[:, None] == np.arange(groups.max() + 1)
    sums = cdist(points, points) @ members
    sizes = members.sum(axis=0)
    rows = np.arange(len(points))
    own = sums[rows, groups] / np.maximum(sizes[groups] - 1, 1)
    means = sums / np.maximum(sizes, 1)
    means[rows, groups] = np.inf
    means[:, sizes == 0] = np.inf
    other = means.min(axis=1)
    values = np.where(sizes[groups] > 1, (other - own) / np.maximum(np.maximum(own, other), 1e-12), 0.0)
    return float(values.mean())


def _measured(lines: Sequence[Line], source: Sound, store: ArtifactStore) -> list[Voiceprint]:
    """The voiceprints of lines, or find them measured."""
    spans = [_listened(line) for line in lines]

    def make(out: Path) -> None:
        path = store.path(source.digest)
        found = [voiceprint(_heard(path, source.layout, start, end)) for start, end in spans]
        out.write_text(json.dumps([[v.pitch_hz, v.shape] for v in found]), "utf-8")

    recipe = Recipe("voiceprints", VERSION, inputs=[source.digest], spans=[list(span) for span in spans])
    artifact = store.get_or_make(recipe, make, suffix=".json")
    return [
        Voiceprint(pitch, tuple(shape)) for pitch, shape in json.loads(store.path(artifact.sha256).read_text("utf-8"))
    ]


def _listened(line: Line) -> tuple[int, int]:
    """The part of a line that is listened to; nothing of a line that is nowhere."""
    if line.anchor is None:
        return 0, 0
    return line.anchor.start_samples, min(line.anchor.end_samples, line.anchor.start_samples + LONGEST_SAMPLES)


def _heard(path: Path, layout: str, start: int, end: int) -> NDArray[np.float32]:
    if end <= start:
        return np.zeros(0, np.float32)
    return mono.lowered(mono.read(path, layout, start, end), FACTOR)


def _cepstra(voice: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mel cepstra every 10 ms, without the first, which is only how loud it is: (frames, 12)."""
    from scipy.fft import dct

    size, hop = round(WINDOW_S * LOW_RATE_HZ), round(HOP_S * LOW_RATE_HZ)
    frames = np.lib.stride_tricks.sliding_window_view(voice, size)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hamming(size), 512, axis=1)) ** 2
    mel = np.log(power @ _mel_bands().T + 1e-8)
    cepstra: NDArray[np.float64] = dct(mel, axis=1, norm="ortho")[:, 1 : CEPSTRA + 1]
    return cepstra


def _mel_bands() -> NDArray[np.float64]:
    """Triangles evenly spaced in mel (2595 log10(1 + f / 700)), from 100 Hz to 7.6 kHz."""
    hz = np.fft.rfftfreq(512, 1 / LOW_RATE_HZ)
    mel = np.linspace(2595 * np.log10(1 + 100 / 700), 2595 * np.log10(1 + 7600 / 700), BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    rising = (hz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hz) / (edges[2:] - edges[1:-1])[:, None]
    bands: NDArray[np.float64] = np.clip(np.minimum(rising, falling), 0, None)
    return bands
