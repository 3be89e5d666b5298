"""The tasks on the queue: read the facts, work, write the fact.

A message may come twice, late, or for what nobody wants any more: the lease is what allows work to begin, and the
result is written only under it. What goes wrong is written beside the order, never raised into Celery.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from celery import Celery, Task
from pydantic import ValidationError

from model_worker.announcing import announce
from model_worker.app import make_app, task_name
from model_worker.broker import Broker, Waker
from model_worker.engines.registry import engine
from model_worker.health import Check, Loading, shown
from model_worker.keeper import Keeper
from model_worker.messages import MOST_VERSION, QUEUE_OF_ENGINE, VERSION, Message, Queue, aside, queue_of
from model_worker.metrics import REGISTRY, measured, stalled_s
from model_worker.worker import run_worker, worker_name
from speechmill.abilities import Ability, Engine, ServesMany
from speechmill.errors import LeaseLost, SpeechmillError, Unavailable
from speechmill.logs import about
from speechmill.recipes import Digest
from speechmill.settings import Settings
from speechmill.takes import Take
from storage.artifacts import ArtifactStore
from storage.catalog import Catalog, Lease, Order, OrderKey
from storage.catalog.leases import PAUSE_S
from storage.catalog.products import OrderArtifacts, Products
from storage.stores import object_store
from tasks.answering import answer_ordered
from tasks.speaking import speak_ordered
from tasks.transcribing import hear_ordered
from tasks.translating import translate_ordered
from tasks.workplace import artifact_store

OUTAGE_PAUSE_S = 10.0  # before work is tried again for which something was not there
MOST_STALLED_S = 30.0  # a step takes tens of milliseconds; reading a first prompt, seconds
PATIENCE_S = 60.0  # a database that restarts is waited for

Operation = Callable[[Settings, ArtifactStore, Order], Take | None]
OPERATIONS: Mapping[str, Operation] = {
    Ability.SPEAK: speak_ordered,
    Ability.TRANSCRIBE: hear_ordered,
    Ability.TRANSLATE: translate_ordered,
    Ability.WRITE: answer_ordered,
}
Answer = TypeVar("Answer")

log = logging.getLogger("speechmill.worker")


@dataclass(frozen=True, slots=True)
class Station:
    """What a worker works with, shared by its threads."""

    settings: Settings
    catalog: Catalog
    store: ArtifactStore
    products: Products
    broker: Broker
    waker: Waker
    keeper: Keeper
    owner: str


def station(settings: Settings) -> Station:
    """A worker's place; raises ``Unavailable`` where a service is missing or the tables are not up to date."""
    with ExitStack() as opened:
        broker = Broker(settings)
        opened.callback(broker.close)
        broker.check()
        catalog = Catalog.open(settings.database_url, upgrade=False)
        opened.callback(catalog.close)
        objects = object_store(settings.objects_url, settings)
        objects.head("artifacts/none")
        store = artifact_store(settings, catalog)
        keeper = Keeper(settings.lease_s, settings.work_timeout_s, stalled_s)
        opened.pop_all()
    return Station(settings, catalog, store, Products(), broker, Waker(broker), keeper, worker_name())


def default_queues(settings: Settings) -> list[Queue]:
    """The queues that a worker of these settings can serve."""
    return [queue_of(settings.engine)]


def serve(settings: Settings, queues: list[Queue], *, threads: int | None = None, events: bool = False) -> int:
    """Work until told to stop, on as much at a time as ``threads`` says or is worth it; returns the exit code."""
    app = make_app(settings)
    here = station(settings)
    loading = Loading("the engine")
    checks: dict[str, Check] = {
        "engine": loading,
        "steps": _steps,
        "broker": here.broker.check,
        "database": here.catalog.check,
    }
    try:
        with shown(settings, REGISTRY, checks):
            loaded = load_engines(settings, queues, here.catalog)
            loading.done.set()
            register(app, here)
            threads = threads or worth_at_once(loaded, settings)
            return run_worker(app, here.keeper, queues, threads=threads, shutdown_s=settings.shutdown_s, events=events)
    finally:
        here.waker.close()
        here.broker.close()
        here.catalog.close()


def _steps() -> None:
    """Raise ``Unavailable`` for an engine that has work and does not get on: a GPU that is lost answers to nothing."""
    if (for_s := stalled_s()) > MOST_STALLED_S:
        raise Unavailable(f"the engine has made no step for {for_s:.0f} s")


def load_engines(settings: Settings, queues: list[Queue], catalog: Catalog) -> list[Engine]:
    """Make the engines of the queues ready, so that the first message finds them so. Those that flows may not have
    are announced before they are loaded, which takes long."""
    loaded = []
    named = {name for name, queue in QUEUE_OF_ENGINE.items() if queue in queues}
    if queue_of(settings.engine) in queues:
        named.add(settings.engine)
    for name in sorted(named):
        found = engine(name, settings)
        for ability in (found.speaks, found.transcribes):
            if ability is not None:
                _ = ability.languages  # an engine finds out here what it has, and says what is missing
        if name in QUEUE_OF_ENGINE:
            announce(found, catalog)
        if found.load is not None:
            found.load()
        loaded.append(found)
    return loaded


def worth_at_once(engines: list[Engine], settings: Settings) -> int:
    """How much is worth working on at a time: what an engine serves at once, or one line for each core."""
    ables: list[object] = [able for found in engines for able in (found.speaks, found.transcribes)]
    return max([settings.threads, *(able.at_once for able in ables if isinstance(able, ServesMany))])


def register(app: Celery, here: Station) -> None:
    """Give an app its tasks."""
    for kind, operation in OPERATIONS.items():

        def run(task: Task, raw: dict[str, Any], kind: str = kind, operation: Operation = operation) -> None:
            if raw.get("v") == VERSION:
                work(here, kind, operation, raw)
            else:
                put_aside(app, kind, raw, queue=task.request.delivery_info["routing_key"])

        app.task(run, name=task_name(kind), bind=True, typing=False)


def work(here: Station, kind: str, operation: Operation, raw: dict[str, Any]) -> None:
    """Do what a message asks for, unless it is done, or somebody else is at it."""
    try:
        message = Message.model_validate(raw)
    except ValidationError as error:
        log.error("dropped a message that says nothing: %s", error.errors()[0]["msg"])
        return
    key = OrderKey(message.job, kind, message.line, message.take, Digest(message.recipe))
    lease = patiently(partial(here.catalog.lease, key, here.owner, here.settings.lease_s))
    if lease is None:
        return
    with here.keeper.holding(lease), about(job=key.job_id, line=key.item, kind=key.kind):
        _work(here, operation, lease)
    here.waker.wake(message.job)


def _work(here: Station, operation: Operation, lease: Lease) -> None:
    key = lease.order.key
    artifacts = OrderArtifacts(here.catalog.uses_of(key.job_id), key.recipe, here.products, is_made=lease.is_made)
    store = here.store.apart(artifacts)
    try:
        with measured(key.kind, str(lease.order.payload.get("engine", ""))) as done:
            take = operation(here.settings, store, lease.order)
            tally = {f"{name} {how}": count for (name, how), count in store.tally.items()}
            patiently(partial(lease.finish, take, tally, artifacts.made))
            done(take)
    except LeaseLost as error:
        log.info("%s", error)
    except SpeechmillError as error:
        log.warning("%s went wrong: %s", lease.order.key.kind, error)
        pause_s = OUTAGE_PAUSE_S if error.retryable else PAUSE_S
        patiently(partial(lease.give_up, f"{error.code}: {error}", pause_s=pause_s))
    except Exception as error:
        log.exception("%s went wrong", lease.order.key.kind)
        patiently(partial(lease.give_up, f"internal: {type(error).__name__}: {error}"))


def patiently(change: Callable[[], Answer]) -> Answer:
    """Wait for a database that is away for a while; the queue waits meanwhile."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return change()
        except Unavailable as error:
            if time.monotonic() > until_s:
                raise
            log.warning("%s", error)
            time.sleep(1.0)


def put_aside(app: Celery, kind: str, raw: dict[str, Any], *, queue: str) -> None:
    """Leave a message of another version to workers of that version."""
    version = raw.get("v")
    if not isinstance(version, int) or not 0 < version <= MOST_VERSION:
        log.error("dropped a message of no version")
        return
    base = queue.rpartition(".v")[0] or queue
    log.warning("put aside a message of version %d: this worker knows version %d", version, VERSION)
    app.send_task(task_name(kind), args=(raw,), queue=aside(base, version))
