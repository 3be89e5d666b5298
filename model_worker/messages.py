"""Messages: what goes over the queue. Ids only; the facts are in the database, and never text, sound or secrets.

Two versions of Speechmill may run side by side while one replaces the other. A message of a version that a worker does
not know is put aside on a queue of that version, which workers of that version read too.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

from pydantic import BaseModel, ConfigDict, Field

VERSION = 1
MOST_VERSION = 999  # beyond it is no version but nonsense


class Message(BaseModel):
    """Work on one line, or on one chunk of a source, by one recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    job: str = Field(min_length=1, max_length=64)
    line: str = Field(min_length=1, max_length=200)
    take: int = Field(ge=1)
    recipe: str = Field(pattern="^[0-9a-f]{64}$")
    v: int = VERSION


class Queue(StrEnum):
    """Queues by what a worker must be able to do."""

    GPU_MIMO = "gpu.mimo"  # a GPU with MiMo-Audio loaded
    CPU_SPEECH = "cpu.speech"  # engines that need no more than a processor

    @property
    def of_this_version(self) -> str:
        """Where messages of this version are that older workers could not read."""
        return aside(self, VERSION)


QUEUE_OF_ENGINE = {"mimo": Queue.GPU_MIMO}
"""The one place that says which engine needs which machine; an engine that is not named needs none in particular."""


class Priority(IntEnum):
    """Less comes first. On Redis each is a list of its own: ``speechmill:gpu.mimo`` and ``speechmill:gpu.mimo/3``."""

    AGAIN = 0  # what was delivered once and is changed now: somebody waits for it
    NORMAL = 3
    BATCH = 6


def queue_of(engine: str) -> Queue:
    """The queue for work with an engine."""
    return QUEUE_OF_ENGINE.get(engine, Queue.CPU_SPEECH)


def aside(queue: str, version: int) -> str:
    """The queue for messages of a version."""
    return f"{queue}.v{version}"
