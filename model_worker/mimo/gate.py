"""Who may use CUDA when: any number of threads at work, or one that records a graph, alone in its process.

While a graph is recorded no other thread may do anything on a device, not even wait for it or give memory back, and
only one recording may be under way (the constraints in PyTorch's notes on CUDA graphs).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Threads work inside :meth:`at_work`; one of them may record inside :meth:`alone`, when the others are out."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._recording = False  # somebody records, or waits until the others are out

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Not to be entered twice by one thread: whoever records waits for all who are inside."""
        with self._changed:
            self._changed.wait_for(lambda: not self._recording)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """For a thread that is at work; it counts as being outside while it waits for its turn."""
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._recording)
            self._recording = True
            self._changed.wait_for(lambda: not self._inside)
        try:
            yield
        finally:
            with self._changed:
                self._recording = False
                self._inside += 1
                self._changed.notify_all()


GATE = Gate()  # of this process
