"""A worker: Celery's consumer around threads, in a process that ends well.

Threads, not processes: an engine owns its device once, and joins what all threads ask for into one batch. More than
one machine is served by more workers.
"""

from __future__ import annotations

import ctypes
import logging
import os
import socket
import threading
import warnings
from collections.abc import Sequence
from typing import Any

from celery import Celery, bootsteps, signals
from celery.platforms import SecurityWarning
from celery.worker import state
from kombu.transport.virtual import QoS

from model_worker.keeper import Keeper
from model_worker.messages import Queue

LOOK_S = 2.0  # between two looks at whether acknowledgements were lost
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
KEPT_BYTES = 64 << 20

log = logging.getLogger("speechmill.worker")


class Reconnecting(bootsteps.StartStopStep):  # type: ignore[misc]
    """Begins a new connection where acknowledgements were lost.

    A message whose acknowledgement failed, since Redis restarted in that moment, counts as in work for ever: a worker
    that holds as many as it may hold then neither reads nor notices that its connection is gone (kombu 5.7).
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._suspicious = False

    def start(self, consumer: Any) -> None:
        self._suspicious = False
        if consumer.hub is not None:
            consumer.hub.call_repeatedly(LOOK_S, self._look, consumer)

    def _look(self, consumer: Any) -> None:
        """Twice in a row, since a message may be between being taken and being begun."""
        lost = unanswered(consumer.task_consumer.channel.qos) > len(state.reserved_requests)
        if lost and self._suspicious:
            log.warning("acknowledgements were lost: connecting to the broker again")
            raise ConnectionResetError("acknowledgements were lost")
        self._suspicious = lost


def unanswered(taken: QoS) -> int:
    """How many messages were taken and not acknowledged; those that were are forgotten by kombu only later."""
    return len(taken._delivered) - len(taken._dirty)


def worker_name() -> str:
    """Names this process among all workers."""
    return f"{socket.gethostname()}-{os.getpid()}"


def run_worker(
    app: Celery, keeper: Keeper, queues: Sequence[Queue], *, threads: int, shutdown_s: float, events: bool = False
) -> int:
    """Consume queues until the process is told to stop; returns its exit code.

    SIGTERM: nothing new is begun, and what runs is finished; what is not finished after ``shutdown_s`` is given back.
    """

    def stopping(**_: object) -> None:
        log.info("stopping: %d at work", keeper.busy)
        timer = threading.Timer(shutdown_s, keeper.give_back, [0])
        timer.daemon = True
        timer.start()

    def ready(**_: object) -> None:
        log.info("ready: %s, %d threads", ", ".join(queues), threads)

    def logging_is_set_up(**_: object) -> None:
        """Celery leaves the logging of this process alone where somebody listens here."""

    signals.worker_shutting_down.connect(stopping, weak=False)
    signals.worker_ready.connect(ready, weak=False)
    signals.setup_logging.connect(logging_is_set_up, weak=False)
    # Celery warns of root because of pickle, which no worker of ours accepts.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    app.steps["consumer"].add(Reconnecting)
    worker = app.Worker(
        hostname=f"speechmill@{worker_name()}",
        pool_cls="threads",
        concurrency=threads,
        queues=[name for queue in queues for name in (queue.value, queue.of_this_version)],
        task_events=events,
        without_gossip=True,  # workers need not know of each other
        without_mingle=True,
        without_heartbeat=not events,
        quiet=True,
        loglevel="WARNING",
    )
    _keep_memory()
    keeper.start()
    try:
        worker.start()
    finally:
        keeper.stop()
        for signal, receiver in (
            (signals.worker_shutting_down, stopping),
            (signals.worker_ready, ready),
            (signals.setup_logging, logging_is_set_up),
        ):
            signal.disconnect(receiver)
    return int(worker.exitcode or 0)


def _keep_memory() -> None:
    """Have glibc keep what is freed. Every line asks for the same few megabytes of sound again: to measure a take of
    two seconds took 3.4 ms where they were given back and zeroed anew, and takes 1.4 where they are kept."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries do as they like
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES // 2)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
