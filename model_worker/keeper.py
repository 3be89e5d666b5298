"""The keeper: looks after the leases of a worker while its threads work.

A thread can neither be killed nor look at a clock while it waits for an engine. So one thread beside them renews
leases in time, gives back what runs when the worker has to stop, and ends the whole process where an engine does not
come back: others then do its work, and whoever supervises it starts it anew.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from speechmill.errors import LeaseLost, SpeechmillError, Unavailable
from storage.catalog import Lease

EXIT_STUCK = 70  # EX_SOFTWARE of sysexits.h
LOOK_S = 1.0
MOST_STALLED_S = 60.0  # an engine that works makes steps of milliseconds

log = logging.getLogger("speechmill.worker")


@dataclass(slots=True, eq=False)
class Held:
    """A lease that somebody works on."""

    lease: Lease
    began_s: float
    renewed_s: float


class Keeper:
    """Keeps leases of ``lease_s`` alive, for work that takes at most ``work_timeout_s``.

    ``stalled_s`` says how long an engine has had work and not got on with any of it; infinity: it never will.
    """

    def __init__(
        self,
        lease_s: float,
        work_timeout_s: float,
        stalled_s: Callable[[], float] = lambda: 0.0,
        *,
        leave: Callable[[int], None] = os._exit,
    ) -> None:
        self._lease_s = lease_s
        self._work_timeout_s = work_timeout_s
        self._stalled_s = stalled_s
        self._leave = leave
        self._look_s = min(LOOK_S, lease_s / 6)
        self._held: set[Held] = set()
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def busy(self) -> int:
        """How many leases are held."""
        with self._guard:
            return len(self._held)

    @contextmanager
    def holding(self, lease: Lease) -> Iterator[None]:
        """Look after a lease while the block works on it."""
        now = time.monotonic()
        held = Held(lease, now, now)
        with self._guard:
            self._held.add(held)
        try:
            yield
        finally:
            with self._guard:
                self._held.discard(held)

    def look(self) -> None:
        """Renew what needs it; end the process where something has taken too long."""
        now = time.monotonic()
        with self._guard:
            held = list(self._held)
        late = [each for each in held if now - each.began_s > self._work_timeout_s]
        if late:
            self._abandon(late, f"it took longer than {self._work_timeout_s:.0f} s")
        elif (stalled_s := self._stalled_s()) == math.inf:
            self._abandon(held, "the engine broke")
        elif held and stalled_s > MOST_STALLED_S:
            self._abandon(held, f"the engine did not get on for {MOST_STALLED_S:.0f} s")
        for each in held:
            if now - each.renewed_s > self._lease_s / 3:
                self._renew(each)

    def give_back(self, code: int) -> None:
        """Give back what runs, and end the process with an exit code."""
        with self._guard:
            held = list(self._held)
        for each in held:
            log.warning("gave back %s", _about(each))
            _kept(each.lease.give_back)
        logging.shutdown()
        self._leave(code)

    def _run(self) -> None:
        while not self._over.wait(self._look_s):
            self.look()

    def _renew(self, held: Held) -> None:
        try:
            held.lease.renew(self._lease_s)
            held.renewed_s = time.monotonic()
        except LeaseLost:
            log.info("lost %s", _about(held))
            with self._guard:
                self._held.discard(held)
        except Unavailable as error:  # the next look tries again
            log.warning("could not renew %s: %s", _about(held), error)

    def _abandon(self, guilty: list[Held], why: str) -> None:
        for each in guilty:
            log.error("%s: %s; this worker ends", _about(each), why)
            with self._guard:
                self._held.discard(each)
            _kept(partial(each.lease.give_up, why))
        self.give_back(EXIT_STUCK)


def _about(held: Held) -> str:
    key = held.lease.order.key
    return f"{key.kind} {key.item} of job {key.job_id}"


def _kept(change: Callable[[], None]) -> None:
    """A change that need not succeed: the lease runs out anyway."""
    try:
        change()
    except SpeechmillError as error:
        log.warning("%s", error)
