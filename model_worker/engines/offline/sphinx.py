"""Hearing English by PocketSphinx, with the model that comes in its package."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import weakref
from dataclasses import replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from model_worker.engines.offline.casing import is_question, sentence, written
from speechmill import programs
from speechmill.abilities import Heard
from speechmill.errors import EngineRefused, ToolFailed
from speechmill.lines import Word

REVISION = 1  # of what this module and the listener do with the decoder
DEADLINE_S = 300.0  # 30 s of speech take about 15 s on a slow core
LISTENER = "model_worker.engines.offline.listener"
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # of resampling; the decoder has one anyway


class Sphinx:
    """Chunks of English to words with times. Any number of threads may ask; each gets a decoder of its own."""

    languages = frozenset({"en"})
    gives_word_times = True
    judges: frozenset[str] = frozenset()
    """Nobody's: it hears 72 % of the characters of eSpeak's English wrong, and would judge itself, not the take."""

    def __init__(self) -> None:
        self._idle: list[subprocess.Popen[bytes]] = []
        self._all: list[subprocess.Popen[bytes]] = []
        self._guard = threading.Lock()
        weakref.finalize(self, _end, self._all)

    @cached_property
    def version(self) -> str:
        return f"pocketsphinx-{metadata.version('pocketsphinx')}+{REVISION}"

    def transcribe(self, audio: Path, language: str) -> Heard:  # noqa: ARG002
        """Words of one chunk of at most 30 s, written as one English sentence: nobody says where it ends, but chunks
        are cut where somebody is silent."""
        answer = self._ask(audio)
        if "refused" in answer:
            raise EngineRefused(answer["refused"], hint=answer["hint"])
        words = [Word(written(text), start, end, confidence) for text, start, end, confidence in answer["words"]]
        if words:
            mark = "?" if is_question([word.text for word in words]) else "."
            words[0] = replace(words[0], text=sentence(words[0].text))
            words[-1] = replace(words[-1], text=words[-1].text + mark)
        return Heard(" ".join(word.text for word in words), tuple(words))

    def _ask(self, audio: Path) -> dict[str, Any]:
        """Ask an idle listener, or a new one. One that dies while it listens is asked no more; nor is it replaced
        here, since the same sound would end the next."""
        with self._guard:
            listener = self._idle.pop() if self._idle else None
        if listener is None:
            listener = self._new()
        assert listener.stdin is not None
        assert listener.stdout is not None
        deadline = threading.Timer(DEADLINE_S, programs.kill, [listener])
        deadline.start()
        try:
            listener.stdin.write(json.dumps(str(audio.absolute())).encode() + b"\n")
            listener.stdin.flush()
            answer = listener.stdout.readline()
            found: dict[str, Any] = json.loads(answer) if answer else {}
        except OSError:
            found = {}
        except BaseException:
            self._give_up(listener)
            raise
        finally:
            deadline.cancel()
        if not found:
            self._give_up(listener)
            raise ToolFailed("Sphinx ended while it was listening", hint="run again; see `speechmill doctor`")
        with self._guard:
            self._idle.append(listener)
        return found

    def _new(self) -> subprocess.Popen[bytes]:
        listener = programs.start(
            [sys.executable, "-m", LISTENER],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            environment=ONE_THREAD,
        )
        with self._guard:
            self._all.append(listener)
        return listener

    def _give_up(self, listener: subprocess.Popen[bytes]) -> None:
        with self._guard:
            self._all.remove(listener)
        _end([listener])


def _end(listeners: list[subprocess.Popen[bytes]]) -> None:
    """A listener ends when nobody can ask it any more; also those of a process that was killed."""
    for listener in listeners:
        if listener.stdin is not None:
            with contextlib.suppress(OSError):
                listener.stdin.close()
        programs.kill(listener)
        if listener.stdout is not None:
            listener.stdout.close()
