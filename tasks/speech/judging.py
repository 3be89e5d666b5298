"""Judging: what is measured of a take, and whether a person should hear it before it is used.

Measuring and judging are functions of the samples, the text and what a recogniser heard. The round trip (a recogniser
listens to the take) counts only where an engine's ear says that it may judge the speaking engine
(``Transcribes.judges``): Sphinx hears seven of ten characters of eSpeak's English wrong, which people understand well,
so its opinion would send every line to review.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from speechmill.abilities import Utterance
from speechmill.languages import UNSPACED, base, usual_characters_per_s
from speechmill.lines import RATE_HZ, samples_of_ms
from speechmill.takes import Measurements, Reason, Verdict, verdict_of
from tasks.sound.loudness import GATING_STEPS, SILENCE_LUFS, STEP_SAMPLES, Meter, Numbers, coarse, decibels

Mono = NDArray[np.float32]

BELOW_SPEECH_DB = 50.0  # under the speech's own loudness: below is silence
LOUDEST_SILENCE_DBFS, QUIETEST_SPEECH_DBFS = -60.0, -90.0  # bounds of that, for takes that are very loud or quiet
BLOCK_SAMPLES = RATE_HZ // 1000  # 1 ms: how exactly the beginning of speech is found
GATING_BLOCKS = GATING_STEPS * STEP_SAMPLES // BLOCK_SAMPLES

SILENT_LUFS = -60.0
QUIET_LUFS = -40.0  # 25 dB and more under what voices of any engine are
FULL_SCALE = 0.99
FLAT_SAMPLES, FLAT_PLACES = 3, 3  # so many samples alike at full scale, in so many places, are no accident
PAUSE_BELOW_SPEECH_DB = 35.0
LONG_PAUSE_SAMPLES = samples_of_ms(1500)  # between two sentences a voice waits less than a second
ERROR_RATE, ERROR_RATE_UNSPACED = 0.05, 0.08  # characters; calibrated on published rates of the engines
SPARED_CHARACTERS = 2  # a short line may have so many wrong, whatever the rate

CHARACTERS_PER_S = (5.0, 30.0)  # eSpeak: 15 to 23, people: 10 to 18
CHARACTERS_PER_S_UNSPACED = (1.5, 12.0)
GRACE_S = 1.0  # longer than the slowest, for names, numbers and breath
DIGIT_CHARACTERS = 5  # a digit is said in about as many letters

SLOW_ENOUGH_TO_REPEAT = 0.8  # of the usual pace: who says something twice takes longer
ALIKE = 0.7  # correlation of spectra; the same words said again by eSpeak: 0.85 and more; other words: below 0.45
ALIKE_FRAMES = 35  # 0.7 s: a word or two may well come twice
ALIKE_UNSPACED, ALIKE_FRAMES_UNSPACED = 0.8, 45  # four syllables; eSpeak's Chinese again: 0.88, other words: below 0.75
OWN_REPEATS = 2.4  # times what the text itself says again: what is alike beside it (“the sea shells”) reaches further
FRAME_SAMPLES, WINDOW_SAMPLES = RATE_HZ // 50, RATE_HZ // 25
BANDS = 24
REPEATED_WORDS = 3  # in a row, and twice


@dataclass(frozen=True, slots=True)
class Judged:
    """A take's measurements, with the error rate where it was heard again, and what they amount to."""

    measured: Measurements
    verdict: Verdict
    reasons: tuple[Reason, ...]


def read_take(audio: Path) -> Mono:
    """A take's samples; those that are no numbers count as full scale."""
    take: Mono = soundfile.read(audio, dtype="float32", always_2d=True)[0][:, 0]
    return take if np.isfinite(take).all() else np.nan_to_num(take, nan=1.0, posinf=1.0, neginf=-1.0)


def measure(audio: Path | Mono) -> Measurements:
    """Where the speech in a take begins and ends, how loud it is, and its peak.

    What lies outside is at least 50 dB under the speech and under −60 dBFS: leaving it out takes nothing away that
    can be heard.
    """
    take = read_take(audio) if isinstance(audio, Path) else audio
    blocks = _whole_blocks(take)
    peaks = _block_peaks(blocks)
    peak = float(peaks.max(initial=0.0))
    meter = Meter((1.0,), BLOCK_SAMPLES)
    meter.feed(blocks[:, None])
    energies = meter.steps()
    loudness = _loudness(energies)
    floor_db = min(max(loudness - BELOW_SPEECH_DB, QUIETEST_SPEECH_DBFS), LOUDEST_SILENCE_DBFS)
    heard = np.flatnonzero(peaks > 10 ** (floor_db / 20))
    if not len(heard):
        return Measurements(len(take), 0, 0, SILENCE_LUFS, decibels(peak))
    first, last = int(heard[0]), int(heard[-1]) + 1
    loudness = _loudness(energies[first:last])
    end = min(last * BLOCK_SAMPLES, len(take))
    return Measurements(len(take), first * BLOCK_SAMPLES, end, round(loudness, 2), round(decibels(peak), 2))


def judge(measured: Measurements, audio: Path | Mono, utterance: Utterance, heard: str | None) -> Judged:
    """The verdict on a take. ``heard`` is what an ear that may judge it heard, ``None`` where there is none."""
    take = read_take(audio) if isinstance(audio, Path) else audio
    if measured.speech_samples == 0 or measured.loudness_lufs < SILENT_LUFS:
        return Judged(measured, Verdict.FAILED, (Reason.SILENT,))
    speech = take[measured.speech_start_samples : measured.speech_end_samples]
    reasons = []
    if measured.loudness_lufs < QUIET_LUFS:
        reasons.append(Reason.TOO_QUIET)
    if is_clipped(speech):
        reasons.append(Reason.CLIPPED)
    length = length_reason(measured.speech_samples, utterance)
    if length:
        reasons.append(length)
    if longest_pause_samples(speech, measured.loudness_lufs) > LONG_PAUSE_SAMPLES:
        reasons.append(Reason.LONG_PAUSE)
    once = not _most_repeated(_words(utterance.text))  # “No, no, no” is to be said so
    slow = is_slow(measured.speech_samples, utterance)
    if says_twice(heard, utterance.text) or (once and slow and is_repeated(speech, utterance)):
        reasons.append(Reason.REPEATED)
    if heard is not None and comparable(utterance.text, heard):
        wrong = error_rate(utterance.text, heard)
        measured = replace(measured, error_rate=round(wrong, 4))
        if not understood(utterance.text, wrong, utterance.language):
            reasons.append(Reason.NOT_UNDERSTOOD)
    return Judged(measured, verdict_of(reasons), tuple(reasons))


def length_reason(speech_samples: int, utterance: Utterance) -> Reason | None:
    """Whether a take is longer or shorter than its text can be said in, at its pace."""
    slowest, fastest = CHARACTERS_PER_S_UNSPACED if _unspaced(utterance) else CHARACTERS_PER_S
    characters, length_s = said_characters(utterance.text), speech_samples / RATE_HZ * utterance.pace
    if length_s > characters / slowest + GRACE_S:
        return Reason.TOO_LONG
    return Reason.TOO_SHORT if length_s < characters / fastest else None


def is_slow(speech_samples: int, utterance: Utterance) -> bool:
    """Whether a take is so slow that something may be said twice in it."""
    spoken = said_characters(utterance.text) * RATE_HZ / max(1, speech_samples) / utterance.pace
    return spoken < usual_characters_per_s(utterance.language) * SLOW_ENOUGH_TO_REPEAT


def said_characters(text: str) -> int:
    """Characters of a text as it is said: a digit is a word."""
    return sum(DIGIT_CHARACTERS if c.isdigit() else 1 for c in text if c.isalnum() or c == " ")


def is_clipped(speech: Mono) -> bool:
    """Whether the wave is flat at full scale in several places, or goes beyond it."""
    loud = np.abs(speech) >= FULL_SCALE
    if not loud.any():
        return False
    flat = loud[1:] & (np.abs(np.diff(speech)) < 1e-4)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat.astype(np.int8), [0]])))
    runs = edges[1::2] - edges[::2]
    return int((runs >= FLAT_SAMPLES - 1).sum()) >= FLAT_PLACES


def longest_pause_samples(speech: Mono, loudness_lufs: float) -> int:
    """The longest silence inside a take."""
    peaks = _block_peaks(_whole_blocks(speech))
    heard = np.flatnonzero(peaks > 10 ** ((loudness_lufs - PAUSE_BELOW_SPEECH_DB) / 20))
    return int((np.diff(heard).max(initial=1) - 1) * BLOCK_SAMPLES) if len(heard) else 0


def is_repeated(speech: Mono, utterance: Utterance) -> bool:
    """Whether a stretch comes again later in the take, by its spectrum over time: one of at least 0.7 s (0.9 s in a
    language written without spaces), and well over what the text itself says again (“some like tea, some like …”)."""
    shape = _shape(speech)
    least, frames = (ALIKE_UNSPACED, ALIKE_FRAMES_UNSPACED) if _unspaced(utterance) else (ALIKE, ALIKE_FRAMES)
    own_s = longest_again("".join(_words(utterance.text))) / usual_characters_per_s(utterance.language) / utterance.pace
    frames = max(frames, round(OWN_REPEATS * own_s * RATE_HZ / FRAME_SAMPLES))
    if len(shape) < 2 * frames:
        return False
    alike = shape @ shape.T
    window = np.ones(frames) / frames
    return any(
        np.convolve(np.diagonal(alike, lag), window, "valid").max() > least
        for lag in range(frames, len(shape) - frames + 1)
    )


def longest_again(letters: str) -> int:
    """Length of the longest run of letters that comes again later."""

    def comes_again(size: int) -> bool:
        first: dict[str, int] = {}
        runs = ((at, letters[at : at + size]) for at in range(len(letters) - size + 1))
        return any(at - first.setdefault(run, at) >= size for at, run in runs)

    low, high = 0, len(letters) // 2  # what comes again is not longer than half of all
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if comes_again(middle) else (low, middle - 1)
    return low


def says_twice(heard: str | None, text: str) -> bool:
    """Whether three words or more are heard twice in a row, and do not stand so in the text."""
    return _most_repeated(_words(heard or "")) > max(REPEATED_WORDS - 1, _most_repeated(_words(text)))


def error_rate(text: str, heard: str) -> float:
    """Characters that were heard wrong, of those in the text; marks, capitals and spaces do not count. At most 1."""
    meant, got = "".join(_words(text)), "".join(_words(heard))
    return min(1.0, distance(meant, got) / max(1, len(meant)))


def understood(text: str, wrong: float, language: str) -> bool:
    most = ERROR_RATE_UNSPACED if base(language) in UNSPACED else ERROR_RATE
    return wrong <= max(most, SPARED_CHARACTERS / max(1, len("".join(_words(text)))))


def comparable(text: str, heard: str) -> bool:
    """Numbers in figures on one side only say nothing of how they were spoken."""
    return any(c.isdigit() for c in text) == any(c.isdigit() for c in heard)


def distance(first: str, second: str) -> int:
    """Insertions, deletions and substitutions between two texts (Levenshtein), a row at a time in numpy."""
    target = np.array([ord(c) for c in second], dtype=np.int64)
    steps = np.arange(len(second) + 1)
    row = steps.copy()
    for index, c in enumerate(first, 1):
        changed = np.empty_like(row)
        changed[0] = index
        changed[1:] = np.minimum(row[1:] + 1, row[:-1] + (target != ord(c)))
        # Insertions run along the row: the least of all cells before, plus one for each step.
        row = np.minimum.accumulate(changed - steps) + steps
    return int(row[-1])


def _whole_blocks(take: Mono) -> Mono:
    """The take with silence up to the end of its last block."""
    whole = np.zeros(-(-len(take) // BLOCK_SAMPLES) * BLOCK_SAMPLES, np.float32)
    whole[: len(take)] = take
    return whole


def _block_peaks(blocks: Mono) -> Mono:
    peaks: Mono = np.abs(blocks).reshape(-1, BLOCK_SAMPLES).max(axis=1)
    return peaks


def _loudness(energies: Numbers) -> float:
    """Gated loudness of a part, by its energy in every block; what is shorter than a gating block is measured as if it
    went on."""
    if not len(energies):
        return SILENCE_LUFS
    if len(energies) < GATING_BLOCKS:
        energies = np.resize(energies, GATING_BLOCKS)
    return coarse(energies, BLOCK_SAMPLES).integrated_lufs


def _shape(speech: Mono) -> NDArray[np.float64]:
    """The spectrum in 24 bands every 20 ms, each frame of unit length after the average spectrum is taken out; frames
    of silence, which are all alike, are nothing."""
    if len(speech) < WINDOW_SAMPLES:
        return np.zeros((0, BANDS))
    frames = np.lib.stride_tricks.sliding_window_view(speech, WINDOW_SAMPLES)[::FRAME_SAMPLES]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW_SAMPLES), axis=1)) ** 2
    hz = np.fft.rfftfreq(WINDOW_SAMPLES, 1 / RATE_HZ)
    edges = np.searchsorted(hz, np.geomspace(150, 7000, BANDS + 1))
    bands = np.stack([power[:, a : max(b, a + 1)].mean(axis=1) for a, b in pairwise(edges)], axis=1)
    level = np.log10(bands + bands.max() * 1e-5)
    centred = level - level.mean(axis=0)
    shape: NDArray[np.float64] = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    total = power.sum(axis=1)
    shape[total < total.max() * 10 ** (-PAUSE_BELOW_SPEECH_DB / 10)] = 0
    return shape


def _most_repeated(words: Sequence[str]) -> int:
    """The length of the longest run of words that comes twice in a row."""
    longest = 0
    for size in range(1, len(words) // 2 + 1):
        if any(words[at : at + size] == words[at + size : at + 2 * size] for at in range(len(words) - 2 * size + 1)):
            longest = size
    return longest


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", text).casefold()
    return re.findall(r"\w+", re.sub(r"['’_]", "", plain))


def _unspaced(utterance: Utterance) -> bool:
    return base(utterance.language) in UNSPACED
