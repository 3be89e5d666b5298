"""Waiting: work ordered from others, and looked after until all of it has ended.

The database knows what is done; hints through Redis only say when to look. The same loop sends messages again where a
worker died or Redis lost them, notices that the job is cancelled, and sits out a database or a Redis that restarts.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from model_worker.app import Sender, make_app
from model_worker.broker import Broker
from model_worker.messages import Message, Priority, Queue, queue_of
from speechmill.errors import Conflict, GivenUp, SpeechmillError, Unavailable
from speechmill.settings import Settings
from storage.artifacts import ArtifactStore, How
from storage.catalog import BATCH, Catalog, Order, OrderKey, OrderState
from tasks.dispatch import Operation, checked

Given = TypeVar("Given")
Result = TypeVar("Result")

HINT_S = 1.0  # looked at least this often, hint or no hint
LOOK_S = 0.25  # and at most this often, however fast the work goes
LOST_S = 5.0  # an empty queue and orders that nobody took, for so long: their messages are gone
OUTAGE_S = 120.0  # a database or a broker that is away for longer ends the job
SLICE = 500  # messages between two looks whether the job is cancelled


class OnQueue:
    """Has work done by workers."""

    def __init__(self, settings: Settings, catalog: Catalog, store: ArtifactStore, job: str) -> None:
        self._catalog = catalog
        self._store = store
        self._job = job
        self._broker = Broker(settings)
        self._sender = Sender(make_app(settings))
        self._broker.check()

    def __call__(
        self,
        operation: Operation[Given, Result],
        given: Sequence[Given],
        *,
        done: Callable[[int], None],
        check: Callable[[], None],
    ) -> list[Result]:
        if not given:
            return []
        queue, priority = queue_of(operation.chosen.name), self._priority()
        watch = Round(self._catalog, self._broker, self._sender, self._job, operation.kind, queue, priority)
        total = self._ordered(operation, given, watch.id, check)
        done(len(given) - total)
        self._store.count({(operation.recipe(given[0]).operation, "reused"): len(given) - total})
        try:
            watch.until_ended(total, done, check)
        except BaseException:
            _quietly(self._catalog.withdraw, watch.id)
            raise
        finally:
            _quietly(self._broker.forget, watch.id)
        self._store.count(_tally(self._catalog.tally(watch.id)))
        given_up = self._catalog.given_up(watch.id)
        _raise_outages(given_up)
        return operation.recall(given, given_up)

    def _ordered(
        self, operation: Operation[Given, Result], given: Sequence[Given], round_id: str, check: Callable[[], None]
    ) -> int:
        """Order everything; how much of it is to be waited for. What was done, but whose bytes are gone since, is
        done again."""
        pairs = [(operation.order(each), each) for each in checked(given, check)]
        orders = {order.key: order for order, _ in pairs}
        wanted_by = {order.key: each for order, each in pairs}

        def order(wanted: Sequence[Order], *, anew: bool = False) -> list[OrderKey]:
            return self._catalog.order(round_id, self._job, operation.kind, operation.language, wanted, anew=anew)

        finished = order(list(orders.values()))
        gone = [orders[key] for key in finished if self._store.find(operation.recipe(wanted_by[key])) is None]
        if gone:
            order(gone, anew=True)
        return len(orders) - len(finished) + len(gone)

    def _priority(self) -> Priority:
        if self._catalog.deliveries(self._job):
            return Priority.AGAIN
        return Priority.BATCH if self._catalog.job(self._job).facts.get(BATCH) else Priority.NORMAL


@dataclass(slots=True)
class Round:
    """Orders that are waited for together."""

    catalog: Catalog
    broker: Broker
    sender: Sender
    job: str
    kind: str
    queue: Queue
    priority: Priority
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    ended: int = 0
    marked: bool = False
    untaken_since_s: float | None = None

    def until_ended(self, total: int, done: Callable[[int], None], check: Callable[[], None]) -> None:
        """Return when every order of the round is done or given up."""
        well_s = time.monotonic()
        while True:
            looked_s = time.monotonic()
            try:
                self._send(check)
                if self._look(total, done):
                    return
                check()
                self._hint(looked_s)
                well_s = time.monotonic()
            except Unavailable as error:
                if not error.retryable or time.monotonic() - well_s > OUTAGE_S:
                    raise
                time.sleep(HINT_S)

    def _send(self, check: Callable[[], None]) -> None:
        """Messages for what is due. They are sent before this is written down: rather twice than not at all."""
        due = self.catalog.due(self.id)
        for start in range(0, len(due.keys), SLICE):
            check()
            messages = [
                Message(job=key.job_id, line=key.item, take=key.number, recipe=key.recipe)
                for key in due.keys[start : start + SLICE]
            ]
            self.sender.send(self.kind, messages, self.queue, self.priority)
        if due.keys:
            self.catalog.sent(self.id, due)
        if not self.marked:
            self.broker.mark(self.id)
            self.marked = True

    def _look(self, total: int, done: Callable[[int], None]) -> bool:
        counts = self.catalog.counts(self.id)
        ended = counts[OrderState.DONE] + counts[OrderState.FAILED]
        done(ended - self.ended)
        self.ended = ended
        if ended == total:
            return True
        if counts[OrderState.WITHDRAWN] or sum(counts.values()) < total:
            raise Conflict(f"another process runs job {self.job} too", hint="wait for it, or stop one of the two")
        self._find_lost(counts[OrderState.ORDERED])
        return False

    def _find_lost(self, ordered: int) -> None:
        """Have messages sent again that are nowhere any more."""
        if not self.broker.remembers(self.id):
            self.catalog.resend(self.id)
            self.marked = False
        elif not ordered or self.broker.depth(self.queue):
            self.untaken_since_s = None
        elif self.untaken_since_s is None:
            self.untaken_since_s = time.monotonic()
        elif time.monotonic() - self.untaken_since_s > LOST_S:
            self.catalog.resend(self.id)
            self.untaken_since_s = None

    def _hint(self, looked_s: float) -> None:
        self.broker.wait(self.job, HINT_S)
        time.sleep(max(0.0, LOOK_S - (time.monotonic() - looked_s)))


def _tally(tally: Mapping[str, int]) -> Counter[tuple[str, How]]:
    """``speak made`` → (``speak``, ``made``)."""
    found: Counter[tuple[str, How]] = Counter()
    for name, count in tally.items():
        operation, _, how = name.rpartition(" ")
        found[operation, "made" if how == "made" else "reused"] += count
    return found


def _raise_outages(given_up: Mapping[OrderKey, str]) -> None:
    """What went wrong because a service or a tool was not there is no fault of the lines."""
    codes = _codes(Unavailable)
    missing = [error for error in given_up.values() if error.partition(":")[0] in codes]
    if missing:
        code, _, sentence = missing[0].partition(": ")
        raise GivenUp(
            f"workers gave up on {len(missing)} {'orders' if len(missing) > 1 else 'order'}: {sentence}",
            hint="mend that, and run the same command again; finished work is kept",
            cause=code,
        )


def _codes(kind: type[SpeechmillError]) -> set[str]:
    return {kind.code}.union(*(_codes(each) for each in kind.__subclasses__()))


def _quietly(change: Callable[[str], Any], round_id: str) -> None:
    """A change that must not hide what went wrong."""
    try:
        change(round_id)
    except SpeechmillError:
        return
