"""From generated groups to what was asked for: text, code frames, a wave, and whether it can be used."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .config import LmConfig
from .groups import Groups
from .text import EMPTY, EOSTM, EOT, SOSTM, TextTokenizer

SILENCE_DBFS = -50.0  # a take whose loudest stretch is below this has no audible speech
SILENCE_STRETCH_S = 0.1


class Failure(enum.Enum):
    """Why a take cannot be used."""

    NO_AUDIO = "no-audio"  # the model answered without speaking
    NEAR_SILENCE = "near-silence"  # it spoke, but nothing can be heard
    NEVER_STOPS = "never-stops"  # it was still speaking at the limit of groups


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Generated text, and the code frames [channels, frames] of generated audio (frames may be 0)."""

    text: str
    codes: Tensor


@dataclass(frozen=True, slots=True)
class Timing:
    """Where a request's seconds went, and what it made."""

    waited_s: float = 0.0  # until its prompt was taken up
    first_group_s: float = 0.0  # from being submitted to its first group
    spent_s: float = 0.0  # from being submitted to its end
    prompt_groups: int = 0
    cached_groups: int = 0  # of the prompt, found in the prefix cache
    new_groups: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """The result of one request. A failed take says so; its audio, if any, is still there to be looked at."""

    text: str
    codes: Tensor  # [channels, frames] int64
    wave: NDArray[np.float32]  # [samples] in [-1, 1]
    rate_hz: int
    groups: Groups  # all that was generated, the stop group included
    stopped: bool  # by a stop id, not by the limit
    seed: int
    failure: Failure | None = None
    timing: Timing = field(default_factory=Timing)


def answer(groups: Groups, text: TextTokenizer, config: LmConfig, *, stopped: bool = True) -> Answer:
    """What the generated ``groups`` say.

    Audio is what lies between the first ``<|sostm|>`` (or the beginning) and the first ``<|eostm|>`` (or the end).
    The last group is the stop id and does not count; ``stopped=False`` keeps it, where the limit ended generation.
    """
    if stopped:
        groups = groups[: len(groups) - 1]
    ids = groups.text.tolist()
    words = text.decode(ids).strip()
    for token in (EMPTY, EOT, EOSTM):
        words = words.replace(token, "")
    start = _index(ids, text.id(SOSTM), -1) + 1
    end = _index(ids, text.id(EOSTM), len(ids))
    frames = groups.codes[start:end].reshape(-1, config.channels)
    return Answer(words, frames[frames[:, 0] != config.speech_empty[0]].t())


def _index(ids: list[int], wanted: int, otherwise: int) -> int:
    return ids.index(wanted) if wanted in ids else otherwise


def peak_loudness_dbfs(wave: NDArray[np.float32], rate_hz: int) -> float:
    """Loudness (RMS) of the loudest tenth of a second; -inf for nothing at all."""
    size = max(1, int(rate_hz * SILENCE_STRETCH_S))
    squares = np.square(np.pad(wave, (0, -len(wave) % size)).astype(np.float64)).reshape(-1, size)
    loudest = squares.mean(1).max(initial=0.0)
    return float(10 * np.log10(loudest)) if loudest > 0 else float("-inf")


def judge(wave: NDArray[np.float32], rate_hz: int, *, speaks: bool, stopped: bool) -> Failure | None:
    """Why a take cannot be used, or None. What cannot be heard is the graver finding than what never stops."""
    if not speaks:
        return None if stopped else Failure.NEVER_STOPS
    if not len(wave):
        return Failure.NO_AUDIO
    if peak_loudness_dbfs(wave, rate_hz) < SILENCE_DBFS:
        return Failure.NEAR_SILENCE
    return None if stopped else Failure.NEVER_STOPS


def pcm16(wave: NDArray[np.float32]) -> NDArray[np.int16]:
    """Samples of a 16-bit file."""
    steps: NDArray[np.int16] = np.clip(np.rint(wave * 32768.0), -32768, 32767).astype(np.int16)
    return steps
