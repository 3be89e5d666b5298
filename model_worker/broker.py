"""Redis beside the queue: hints that something is done, and what there is to see of the queues.

Nothing here is a fact. A hint that is lost costs a second, since whoever waits looks into the database anyway.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import redis

from model_worker.app import PREFIX
from model_worker.messages import VERSION, Priority, Queue, aside
from speechmill.errors import Unavailable

if TYPE_CHECKING:
    from speechmill.settings import Settings

ANSWER_S = 5  # a Redis that does not answer for so long is taken for gone
HINT_KEPT_S = 3600
ROUND_KEPT_S = 30 * 86_400
MOMENT_S = 0.05  # who waits looks four times a second at most

log = logging.getLogger("speechmill.worker")


class Broker:
    """A connection to the settings' Redis, for any number of threads."""

    def __init__(self, settings: Settings) -> None:
        self._redis = redis.Redis.from_url(
            settings.broker_url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S, health_check_interval=25
        )

    def check(self) -> None:
        """Raise ``Unavailable`` where Redis does not answer."""
        with _refusals():
            self._redis.ping()

    def wake(self, *jobs: str) -> None:
        """Hint that something of jobs is done."""
        with _refusals(), self._redis.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.rpush(_hints(job), 1)
                pipe.expire(_hints(job), HINT_KEPT_S)
            pipe.execute()

    def wait(self, job: str, seconds: float) -> None:
        """Wait for a hint for some seconds, and take all there are."""
        with _refusals():
            if self._redis.blpop([_hints(job)], timeout=seconds):
                self._redis.delete(_hints(job))

    def depth(self, queue: Queue) -> int:
        """How many messages are on a queue, of every priority, and put aside for other versions of workers."""
        with _refusals(), self._redis.pipeline(transaction=False) as pipe:
            for name in lists(queue):
                pipe.llen(name)
            found: list[int] = pipe.execute()
        return sum(found)

    def mark(self, round_id: str) -> None:
        """Remember that messages of a round are out: a Redis that has forgotten this has lost them too."""
        with _refusals():
            self._redis.set(_round(round_id), 1, ex=ROUND_KEPT_S)

    def remembers(self, round_id: str) -> bool:
        with _refusals():
            return bool(self._redis.exists(_round(round_id)))

    def forget(self, round_id: str) -> None:
        with _refusals():
            self._redis.delete(_round(round_id))

    def close(self) -> None:
        self._redis.close()


class Waker:
    """Wakes those who wait for jobs, for what ended within a moment at once: a hint costs as much as a statement."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._guard = threading.Lock()
        self._jobs: set[str] = set()
        self._timer: threading.Timer | None = None

    def wake(self, job: str) -> None:
        """Hint that something of a job is done, within ``MOMENT_S``."""
        with self._guard:
            self._jobs.add(job)
            if self._timer is None:
                self._timer = threading.Timer(MOMENT_S, self._tell)
                self._timer.daemon = True
                self._timer.start()

    def close(self) -> None:
        """Say what is still to be said."""
        with self._guard:
            timer = self._timer
        if timer is not None:
            timer.join()

    def _tell(self) -> None:
        with self._guard:
            jobs, self._jobs, self._timer = self._jobs, set(), None
        try:
            self._broker.wake(*jobs)
        except Unavailable as error:  # only a hint
            log.warning("%s", error)


def lists(queue: Queue) -> list[str]:
    """The names of the Redis lists that messages of a queue are in; the first priority has the queue's own name."""
    names = [queue.value, *(aside(queue, version) for version in (VERSION, VERSION + 1))]
    return [f"{PREFIX}{name}" + (f"/{step:d}" if step else "") for name in names for step in Priority]


def _hints(job: str) -> str:
    return f"{PREFIX}done:{job}"


def _round(round_id: str) -> str:
    return f"{PREFIX}round:{round_id}"


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise Unavailable(
            f"the broker does not answer: {error}", hint="start Redis, or see SPEECHMILL_BROKER_URL"
        ) from error
