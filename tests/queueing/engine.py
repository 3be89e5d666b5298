"""An engine for tests of the queue: `rehearsal`, which a text can make slow, wrong, or never ending.

Every text that is spoken is written into the file that ``SPOKEN`` names, so that what workers in other processes did
can be counted.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import kombu.transport.redis

from model_worker import app
from model_worker.engines import registry, rehearsal
from speechmill.abilities import Engine, Heard, Message, Phrase, Translation, Utterance
from speechmill.errors import EngineRefused, Unavailable
from speechmill.settings import Settings
from speechmill.voices import Speaker, Voice
from storage.catalog import Lease
from storage.catalog.products import OrderArtifacts

NAME = "rehearsal"
SLOW_S = 2.0

during: list[Callable[[], None]] = []
"""What tests in this process want called while the engine is at work."""


POINTS = ("half way", "kept", "known")
"""Where a worker dies whose ``DIES_AT`` names one: with half a take written; a take among the objects and no row of
it; with its row written, and its message still out."""


def note(*texts: str) -> None:
    """Count what an engine was asked to say, to translate or to answer."""
    with Path(os.environ["SPOKEN"]).open("a") as spoken:
        spoken.writelines(f"{text}\n" for text in texts)


def die_at(point: str) -> None:
    if os.environ.get("DIES_AT") == point:
        os.kill(os.getpid(), signal.SIGKILL)


def die_half_way(out: Path) -> None:
    if os.environ.get("DIES_AT") == "half way":
        out.write_bytes(b"RIFF")
        die_at("half way")


def make_mortal() -> None:
    """Have this process die where ``DIES_AT`` says, for the first line that it works on."""
    remember, finish = OrderArtifacts.remember, Lease.finish

    def remembering(*given: Any, **more: Any) -> Any:
        die_at("kept")
        return remember(*given, **more)

    def finishing(*given: Any, **more: Any) -> None:
        finish(*given, **more)
        die_at("known")

    OrderArtifacts.remember = remembering  # type: ignore[method-assign]
    Lease.finish = finishing  # type: ignore[method-assign]


def shift_clock() -> None:
    """Have this process believe in a time that is ``CLOCK_AHEAD_S`` late or early, and Celery with it."""
    ahead_s, now_s = float(os.environ.get("CLOCK_AHEAD_S", "0")), time.time
    if ahead_s:
        time.time = kombu.transport.redis.time = lambda: now_s() + ahead_s


class Mouth:
    version = "test-1"
    languages = frozenset({"es", "en"})
    varies = False

    def characters_per_s(self, language: str) -> float:
        return rehearsal.Tone().characters_per_s(language)

    def voice(self, speaker: Speaker, language: str, taken: Sequence[Voice]) -> Voice:  # noqa: ARG002
        return Voice("tone", NAME, {"pitch_hz": 110.0})

    def speak(self, utterance: Utterance, voice: Voice, out: Path) -> None:
        note(utterance.text)
        die_half_way(out)
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
        die_half_way(audio.with_name("half"))
        for call in during:
            call()
        return super().transcribe(audio, language)


class Hand(rehearsal.Translator):
    def translate(
        self, phrases: Sequence[Phrase], source: str, target: str, glossary: Mapping[str, str]
    ) -> dict[str, Translation]:
        note(*(phrase.text for phrase in phrases))
        die_half_way(Path(os.environ["SPOKEN"]).with_name("half"))
        for call in during:
            call()
        if any("poison" in phrase.text for phrase in phrases):
            raise ValueError("this line does not agree with the engine")
        return super().translate(phrases, source, target, glossary)


class Pen:
    version = "test-1"
    languages = frozenset({"es", "en"})
    most_characters = 1000

    def write(self, messages: Sequence[Message], seed: int) -> str:
        note(messages[-1].text)
        die_half_way(Path(os.environ["SPOKEN"]).with_name("half"))
        for call in during:
            call()
        if "nonsense" in messages[-1].text:
            raise EngineRefused("there is no answer to this")
        return f"{messages[-1].text} Yes, {seed}."


def engine(settings: Settings) -> Engine:
    return replace(rehearsal.engine(settings), speaks=Mouth(), transcribes=Ear(), translates=Hand(), writes=Pen())


class Point:
    """Stands for the entry point."""

    def load(self) -> Callable[[Settings], Engine]:
        return engine


def install() -> None:
    """Be the engine ``rehearsal`` in this process."""
    app.SILENT_S = int(os.environ.get("SILENT_S", app.SILENT_S))
    make_mortal()
    shift_clock()
    registry._entry_points = lambda: {NAME: Point()}  # type: ignore[assignment,dict-item,return-value]
