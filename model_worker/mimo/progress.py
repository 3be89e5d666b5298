"""Signs of life from deep inside long work: on a processor one prompt, or one wave, may take minutes at full size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_told: ContextVar[Callable[[], None] | None] = ContextVar("told", default=None)


@contextmanager
def telling(whom: Callable[[], None]) -> Iterator[None]:
    """Within this, ``whom`` is called whenever the calling thread's work got on."""
    token = _told.set(whom)
    try:
        yield
    finally:
        _told.reset(token)


def got_on() -> None:
    """Some of the work is done: a layer, say."""
    told = _told.get()
    if told is not None:
        told()
