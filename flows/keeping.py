"""Keeping claims: they are renewed while the work under them goes on, and run out when its process dies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from speechmill.errors import LeaseLost, SpeechmillError


@contextmanager
def kept(renew: Callable[[], None], every_s: float, lost: Callable[[], None] | None = None) -> Iterator[None]:
    """Call ``renew`` every so often, on a thread of its own, until the end or until the claim is lost, which ``lost``
    is told."""
    over = threading.Event()

    def renewing() -> None:
        while not over.wait(every_s):
            try:
                renew()
            except LeaseLost:
                if lost is not None:
                    lost()
                return
            except (SpeechmillError, OSError):
                continue  # a database that is away for a moment is asked again

    thread = threading.Thread(target=renewing, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
