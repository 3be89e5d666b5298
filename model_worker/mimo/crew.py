"""Threads that do compiled work together: the caller's own, and helpers that sleep in between.

The work has to be such that any of the threads can do all of it: nobody waits for a helper that wakes up late, or is
busy with another caller's work.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from functools import cache
from queue import SimpleQueue
from typing import Any

import torch

Work = Callable[..., None]


class Crew:
    """The calling thread and ``helpers`` others, for the life of the process. Several threads may call at a time."""

    def __init__(self, helpers: int) -> None:
        self._desks: list[SimpleQueue[tuple[Work, tuple[Any, ...]]]] = [SimpleQueue() for _ in range(helpers)]
        for number, desk in enumerate(self._desks):
            threading.Thread(target=_help, args=(desk,), name=f"mimo-crew-{number}", daemon=True).start()

    def run(self, work: Work, *given: Any) -> None:
        """Call ``work(*given)`` in every thread; done when the caller's own call is."""
        for desk in self._desks:
            desk.put((work, given))
        work(*given)


def _help(desk: SimpleQueue[tuple[Work, tuple[Any, ...]]]) -> None:
    while True:
        work, given = desk.get()
        with contextlib.suppress(MemoryError):  # the caller finds out by itself
            work(*given)
        del given  # what was given may be freed while this thread sleeps


def crew() -> Crew:
    """As many threads as PyTorch uses, shared by all models of this process."""
    return _crew(os.getpid(), torch.get_num_threads())


@cache
def _crew(_process: int, threads: int) -> Crew:
    return Crew(threads - 1)
