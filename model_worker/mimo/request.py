"""What is asked of the engine, and the ticket one gets for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from .prompts import Prompt
from .sampler import Sampling
from .takes import Take


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One answer to be generated.

    ``given`` holds what the task's pieces name (see :data:`.prompts.TASKS`); recordings are :class:`.wav.Sound`.
    What is left None is taken from the task. With ``prompt`` set, those groups are continued as they are and ``given``
    is not looked at.
    """

    task: str
    given: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    text: Sampling | None = None
    audio: Sampling | None = None
    stops: tuple[int, ...] | None = None
    min_new: int = 0  # groups before a stop id is allowed
    max_new: int | None = None
    deadline_s: float | None = None  # from being submitted
    decode: bool = True  # make a wave of the codes
    speaks: bool | None = None  # it may choose audio groups; None: as its task does, or where ``prompt`` is set
    prompt: Prompt | None = None


class Ticket(Future[Take]):
    """The future of one request. ``cancel`` also works while it runs: it then ends with :class:`Cancelled`."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__()
        self.cancel_asked = False
        self._wake = wake

    def cancel(self) -> bool:
        """Ask for the request to be given up; False when it is already done."""
        if self.done():
            return False
        self.cancel_asked = True
        self._wake()
        return True
