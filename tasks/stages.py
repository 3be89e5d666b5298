"""The stages of one run: what is being done, how far it is, how long it took, what was made and what reused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from storage.artifacts import ArtifactStore


class Progress(Protocol):
    """Whoever watches a run: a terminal, a log, the Prefect UI. Called from several threads, one call at a time."""

    def say(self, sentence: str) -> None:
        """Something a person should know, once."""

    def stage(self, name: str, done: int, total: int | None) -> None:
        """A stage stands at ``done`` of ``total`` (``None``: it has no parts). Called at least at its begin."""

    def stage_ended(self, name: str, seconds: float, made: int, reused: int) -> None:
        """A stage is done."""


class Advance(Protocol):
    """Tells that ``count`` more parts of a stage are done, of ``of`` parts where that is known only now."""

    def __call__(self, count: int, of: int | None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class StageRecord:
    """One stage that ended; ``made`` and ``reused`` count artifacts."""

    name: str
    seconds: float
    made: int
    reused: int


@dataclass(slots=True)
class Stages:
    """Runs stages one after the other and keeps their records for the report."""

    store: ArtifactStore
    progress: Progress
    cancelled: Callable[[], None] = lambda: None  # raises ``Cancelled`` when a person asked the job to stop
    records: list[StageRecord] = field(default_factory=list)

    @contextmanager
    def __call__(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """One stage. Yields ``advance``, which any thread may call."""
        self.cancelled()
        lock, done = threading.Lock(), 0

        def advance(count: int, of: int | None = None) -> None:
            nonlocal done, total
            with lock:
                done, total = done + count, of or total
                self.progress.stage(name, done, total)

        before, began = self.store.tally.copy(), time.monotonic()
        self.progress.stage(name, 0, total)
        yield advance
        after = self.store.tally
        made, reused = (
            sum(count - before[key] for key, count in after.items() if key[1] == word) for word in ("made", "reused")
        )
        record = StageRecord(name, round(time.monotonic() - began, 3), made, reused)
        self.records.append(record)
        self.progress.stage_ended(name, record.seconds, made, reused)
