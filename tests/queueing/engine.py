"""An engine for tests of the queue: `rehearsal`, which a text can make slow, wrong, or never ending.

Every text that is spoken is written into the file that ``SPOKEN`` names, so that what workers in other processes did
can be counted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from model_worker.engines import registry, rehearsal
from speechmill.abilities import Engine, Heard, Utterance
from speechmill.errors import Unavailable
from speechmill.settings import Settings
from speechmill.voices import Speaker, Voice

NAME = "rehearsal"
SLOW_S = 2.0

during: list[Callable[[], None]] = []
"""What tests in this process want called while the engine is at work."""


class Mouth:
    version = "test-1"
    languages = frozenset({"es", "en"})
    varies = False

    def characters_per_s(self, language: str) -> float:
        return rehearsal.Tone().characters_per_s(language)

    def voice(self, speaker: Speaker, language: str, taken: Sequence[Voice]) -> Voice:  # noqa: ARG002
        return Voice("tone", NAME, {"pitch_hz": 110.0})

    def speak(self, utterance: Utterance, voice: Voice, out: Path) -> None:
        with Path(os.environ["SPOKEN"]).open("a") as spoken:
            spoken.write(f"{utterance.text}\n")
        for call in during:
            call()
        if "slow" in utterance.text:
            time.sleep(SLOW_S)
        if "brief" in utterance.text:
            time.sleep(0.2)
        if "stuck" in utterance.text:
            time.sleep(600)
        if "poison" in utterance.text:
            raise ValueError("this line does not agree with the engine")
        if "away" in utterance.text:
            raise Unavailable("the engine's machine is away")
        rehearsal.Tone().speak(utterance, voice, out)


class Ear(rehearsal.Ear):
    def transcribe(self, audio: Path, language: str) -> Heard:
        for call in during:
            call()
        return super().transcribe(audio, language)


def engine(settings: Settings) -> Engine:
    return replace(rehearsal.engine(settings), speaks=Mouth(), transcribes=Ear())


class Point:
    """Stands for the entry point."""

    def load(self) -> Callable[[Settings], Engine]:
        return engine


def install() -> None:
    """Be the engine ``rehearsal`` in this process."""
    registry._entry_points = lambda: {NAME: Point()}  # type: ignore[assignment,dict-item,return-value]
