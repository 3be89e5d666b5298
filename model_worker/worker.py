"""A worker: Celery's consumer around threads, in a process that ends well.

Threads, not processes: an engine owns its device once, and joins what all threads ask for into one batch. More than
one machine is served by more workers.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import warnings
from collections.abc import Sequence

from celery import Celery, signals
from celery.platforms import SecurityWarning

from model_worker.keeper import Keeper
from model_worker.messages import Queue

log = logging.getLogger("speechmill.worker")


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
