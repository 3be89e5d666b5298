"""Progress that a person believes: stages, parts done of total, and time left from what was measured so far.

On a terminal one line is rewritten; elsewhere plain lines, few enough for a log. All of it goes to stderr.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import TextIO

log = logging.getLogger("speechmill.run")

REWRITE_S = 0.1  # a terminal line changes at most this often
REPEAT_S = 10.0  # a log line at most this often within a stage
ETA_AFTER_S = 2.0  # before this, time left would be a guess


def clock(seconds: float) -> str:
    """``75`` → ``1:15``, ``3700`` → ``1:01:40``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def status(name: str, done: int, total: int | None, elapsed_s: float) -> str:
    """One line that says where a stage stands."""
    if not total:
        return f"{name} …" if elapsed_s < ETA_AFTER_S else f"{name} … {clock(elapsed_s)}"
    line = f"{name} {done}/{total}"
    if 0 < done < total and elapsed_s >= ETA_AFTER_S:
        line += f", {clock(elapsed_s / done * (total - done))} left"
    return line


class StreamProgress:
    """Writes to a stream: rewriting a line where it is a terminal, plain lines where it is not."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._lock = threading.Lock()
        self._stage = ""
        self._began = 0.0
        self._written = 0.0

    def say(self, sentence: str) -> None:
        with self._lock:
            self._line(f"speechmill: {sentence}")

    def stage(self, name: str, done: int, total: int | None) -> None:
        with self._lock:
            now = time.monotonic()
            if name != self._stage:
                self._stage, self._began, self._written = name, now, 0.0
            if now - self._written < (REWRITE_S if self._terminal else REPEAT_S):
                return
            self._written = now
            line = "  " + status(name, done, total, now - self._began)
            if self._terminal:
                self._stream.write(f"\r\x1b[K{line}")
                self._stream.flush()
            elif done < (total or 1):
                self._line(line)

    def stage_ended(self, name: str, seconds: float, made: int, reused: int) -> None:
        with self._lock:
            kept = f", {reused} of {made + reused} reused" if reused else ""
            self._line(f"  {name} done in {clock(seconds) if seconds >= 10 else f'{seconds:.1f} s'}{kept}")
            self._stage = ""

    def _line(self, text: str) -> None:
        self._stream.write(f"\r\x1b[K{text}\n" if self._terminal else f"{text}\n")
        self._stream.flush()


class Logged:
    """Progress for the logs of a service: one record a stage."""

    def say(self, sentence: str) -> None:
        log.info("%s", sentence)

    def stage(self, name: str, done: int, total: int | None) -> None: ...

    def stage_ended(self, name: str, seconds: float, made: int, reused: int) -> None:
        log.info("stage done", extra={"stage": name, "dur_ms": round(seconds * 1000), "made": made, "reused": reused})
