"""Answers on their way out: what was generated is fetched, its sound decoded and fetched, while others run on."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch

from .batch import Batch, Ended, Landed
from .device import Coming
from .failures import Failed, attempt
from .model import Model
from .orders import Asked
from .prompts import TASKS
from .sounds import Sounds
from .takes import Answer, Take, Timing, answer, judge

PATIENCE = 4  # turns that a wave waits for company which costs nothing


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """An answer whose wave is coming."""

    ended: Ended
    answer: Answer
    wave: Coming


class Handout:
    """Used by the engine's thread only. What cannot be read or decoded fails alone."""

    def __init__(self, model: Model, batch: Batch, sounds: Sounds) -> None:
        self._model, self._batch, self._sounds = model, batch, sounds
        self._landed: deque[Landed] = deque()
        self._mute: list[tuple[Ended, Answer]] = []  # answers whose sound is to be decoded
        self._turns = 0  # that the first of them has waited
        self._said: deque[Said] = deque()

    def __len__(self) -> int:
        return len(self._landed) + len(self._mute) + len(self._said)

    def begin(self, landed: Landed) -> None:
        """Take over what has ended."""
        self._landed.append(landed)

    def ready(self, *, wait: bool) -> Iterator[tuple[Asked, Take | Failed]]:
        """What is finished, or never will be; with ``wait`` all of it."""
        while self._landed and (wait or self._landed[0].here):
            yield from self._answered(self._batch.groups_of(self._landed.popleft()))
        self._turns += bool(self._mute)
        if self._mute and (wait or len(self._mute) >= self._sounds.pays or self._turns >= PATIENCE):
            yield from self._heard(self._mute)
            self._mute, self._turns = [], 0
        while self._said and (wait or self._said[0].wave.here):
            said = self._said.popleft()
            yield said.ended.order.asked, attempt(partial(self._take, said))

    def _answered(self, ended: list[Ended]) -> Iterator[tuple[Asked, Failed]]:
        """Tell what was answered; those that failed."""
        model = self._model
        for one in ended:
            found = attempt(partial(answer, one.groups, model.text, model.lm.config, stopped=one.stopped))
            if isinstance(found, Failed):
                yield one.order.asked, found
            else:
                self._mute.append((one, found))

    def _heard(self, answers: list[tuple[Ended, Answer]]) -> Iterator[tuple[Asked, Failed]]:
        """Have the sound of answers decoded; those that failed."""
        waves = iter(self._sounds.waves([found.codes for one, found in answers if _is_heard(one, found)]))
        for one, found in answers:
            wave = next(waves) if _is_heard(one, found) else Coming(torch.zeros(0))
            if isinstance(wave, Failed):
                yield one.order.asked, wave
            else:
                self._said.append(Said(one, found, wave))

    def _take(self, said: Said) -> Take:
        ended, order = said.ended, said.ended.order
        asked = order.asked
        rate_hz = self._model.codec.config.sampling_rate_hz
        wave = said.wave.wait().numpy().copy()  # whoever keeps a take does not keep memory that a GPU reads
        failure = None
        if asked.request.decode:
            failure = judge(wave, rate_hz, speaks=TASKS[asked.request.task].speaks, stopped=ended.stopped)
        timing = Timing(
            waited_s=order.started_s - asked.submitted_s,
            first_group_s=order.first_group_s - asked.submitted_s,
            spent_s=time.monotonic() - asked.submitted_s,
            prompt_groups=len(order.groups),
            cached_groups=order.cached,
            new_groups=len(ended.groups),
        )
        return Take(
            said.answer.text, said.answer.codes, wave, rate_hz, ended.groups, ended.stopped, order.settings.seed,
            failure, timing,
        )  # fmt: skip


def _is_heard(one: Ended, found: Answer) -> bool:
    return one.order.asked.request.decode and found.codes.shape[1] > 0
