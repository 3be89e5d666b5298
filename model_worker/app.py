"""The Celery app: how messages travel. What they ask for is done in ``tasks/queue.py``.

Celery delivers at least once and forgets; what is true is in the database (``storage/catalog/leases.py``). So every
setting here chooses to deliver again rather than to lose, and none keeps results.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu.entity import Queue as Declared
from kombu.exceptions import OperationalError

from model_worker import transport
from model_worker.messages import Message, Priority, Queue
from speechmill.errors import BadInput, Unavailable
from speechmill.settings import Settings

PREFIX = "speechmill:"  # of every key of ours in Redis
SCHEMES = ("redis://", "rediss://", "unix://")
LEAST_VISIBILITY_S = 900
SILENT_S = 10  # a Redis that says nothing for so long; Celery asks it every second


def make_app(settings: Settings) -> Celery:
    """A Celery app for the settings' broker; nothing is connected yet. Raises ``BadInput`` for what is no Redis."""
    transport.register()
    app = Celery("speechmill", set_as_current=False)
    app.conf.update(configuration(settings))
    return app


def configuration(settings: Settings) -> dict[str, Any]:
    """Every setting that differs from Celery's own, with its reason."""
    if not settings.broker_url.startswith(SCHEMES):
        raise BadInput(
            "the setting SPEECHMILL_BROKER_URL names no Redis", hint="give it as redis://host:6379/0, or leave it out"
        )
    return {
        "broker_url": settings.broker_url.replace("unix://", "redis+socket://"),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # a worker outlives any restart of Redis
        "broker_transport_options": {
            # Redis gives a message out again that was not acknowledged for so long: far above the longest work, else
            # long work is begun twice. A worker's death is noticed much sooner, by its leases.
            "visibility_timeout": max(LEAST_VISIBILITY_S, 4 * settings.work_timeout_s),
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,  # look every 5 s, not every 100
            # A connection that only one side has is noticed within about twice as long.
            "socket_timeout": SILENT_S,
            "health_check_interval": SILENT_S,
            "socket_connect_timeout": 10,
            "socket_keepalive": True,
            "queue_order_strategy": "priority",
            "priority_steps": sorted(Priority),
            "sep": "/",  # readable names for what `redis-cli` and autoscalers look at
            "global_keyprefix": PREFIX,
        },
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],  # never pickle: who can write to Redis must not run code here
        "task_acks_late": True,  # a message is gone when its work is done, not when it is begun
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,  # what one worker holds no other can do
        "task_ignore_result": True,  # results are rows and artifacts
        "task_store_errors_even_if_ignored": False,
        "task_queues": [
            Declared(name)  # type: ignore[no-untyped-call]
            for queue in Queue
            for name in (queue.value, queue.of_this_version)
        ],
        "task_default_queue": Queue.CPU_SPEECH.value,
        "task_default_priority": int(Priority.NORMAL),
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # leased work may end whatever Redis does
        "worker_enable_remote_control": False,  # nobody stops or asks our workers through Redis
        "worker_send_task_events": False,  # unless `speechmill worker --events` asks for them
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_soft_shutdown_timeout": settings.shutdown_s,
        "enable_utc": True,
    }


def task_name(kind: str) -> str:
    return f"speechmill.{kind}"


class Sender:
    """Puts messages on the queues."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def send(self, kind: str, messages: list[Message], queue: str, priority: Priority) -> None:
        """Send messages, one after the other; raises ``Unavailable`` where the broker does not take them. What was
        sent before stays sent."""
        with refusals(), self._app.producer_or_acquire() as producer:
            for message in messages:
                self._app.send_task(
                    task_name(kind),
                    args=(message.model_dump(),),
                    queue=queue,
                    priority=int(priority),
                    producer=producer,
                    retry=False,
                    declare=(),  # a list of Redis needs no declaring
                    argsrepr="",  # nobody reads how Celery would print them
                    kwargsrepr="",
                )

    def close(self) -> None:
        self._app.close()


@contextmanager
def refusals() -> Iterator[None]:
    """What the broker refuses, in our words."""
    try:
        yield
    except (OperationalError, OSError) as error:
        raise Unavailable("the broker takes no messages", hint="see `speechmill doctor`") from error
