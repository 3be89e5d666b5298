"""The running batch: admits prompts into free rows, steps all rows at once, and tells which have ended.

Used by the engine's thread only. On a device with a queue a step's results are looked at while the next one runs; a
row that has ended makes one group too many then, which nobody reads.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from .device import Coming, Device
from .groups import Groups
from .lm import SpeechLm
from .orders import Order
from .prefix import FEWEST_GROUPS, PrefixCache
from .sampler import Uses
from .slots import Slots
from .step import Plan, Stepper

LENGTH_STEP_CPU, LENGTH_STEP_GPU = 64, 256  # attention reads keys in multiples of this


@dataclass(frozen=True, slots=True, eq=False)
class Flight:
    """A step whose results have not been looked at: what its rows were when it was launched."""

    orders: list[Order]
    ids: Coming  # [rows]
    stops: NDArray[np.int64]  # [rows, stop ids]
    counts: NDArray[np.int64]  # [4, rows]: position, made, min_new, max_new after the step


@dataclass(frozen=True, slots=True, eq=False)
class Ended:
    """A request whose groups are complete."""

    order: Order
    groups: Groups
    stopped: bool


class Batch:
    """Up to ``count`` running requests of up to ``groups`` groups each."""

    def __init__(
        self, lm: SpeechLm, device: Device, empty_id: int, *, count: int, groups: int, prefix_bytes: int, steady: bool
    ) -> None:
        self.device, self.steady = device, steady
        self.slots = Slots(lm, count, groups)
        self.graphs = device.graphs()
        self.stepper = Stepper(lm, self.slots, empty_id, static=device.queues or steady)
        self.prefixes = PrefixCache(prefix_bytes)
        self.running: list[Order] = []
        self.flights: deque[Flight] = deque()

    def admit(self, orders: list[Order]) -> None:
        """Read the prompts of ``orders`` into rows after the running ones; there must be room for them.

        When this raises, none of them runs.
        """
        orders = sorted(orders, key=lambda order: -_own(order))
        first = len(self.running)
        prompts: list[Groups] = []
        starts: list[int] = []
        for row, order in enumerate(orders, first):
            groups, settings = order.groups, order.settings
            order.cached = 0
            start = order.shared if order.shared >= FEWEST_GROUPS else 0
            if start:
                self._read_prefix(row, order, groups[:start])
            prompts.append(groups[start:])
            starts.append(start)
            self.slots.place(row, len(groups), settings)
        if self.steady:  # one at a time, so that no prompt's numbers depend on the others' lengths
            for row, (prompt, start) in enumerate(zip(prompts, starts, strict=True), first):
                self.stepper.read(row, [prompt], [start])
        else:
            self.stepper.read(first, prompts, starts)
        self.running += orders

    def _read_prefix(self, row: int, order: Order, prefix: Groups) -> None:
        kept = self.prefixes.find(prefix)
        if kept is not None:
            self.slots.restore(row, kept)
            order.cached = len(prefix)
            return
        self.stepper.read(row, [prefix], [0])
        self.prefixes.keep(prefix, self.slots.prefix(row, len(prefix)))

    def launch(self, width: int) -> None:
        """Start one step for all running rows, of which there are ``width`` at most."""
        slots, rows = self.slots, len(self.running)
        plan = self._plan(rows, width)
        self.graphs.run(plan, partial(self.stepper.step, plan))
        slots.host_counts[:2, :rows] += 1
        stops, counts = slots.host_stops[:rows].copy(), slots.host_counts[:, :rows].copy()
        self.flights.append(Flight(list(self.running), self.device.fetch(slots.latest[:rows]), stops, counts))

    def _plan(self, running: int, width: int) -> Plan:
        slots, rows = self.slots, running
        step = LENGTH_STEP_GPU if self.device.queues else LENGTH_STEP_CPU
        longest = int(slots.host_counts[0, :running].max()) + 1
        length = min(-(-longest // step) * step, slots.groups + 1)
        if self.device.queues:  # few different plans: powers of two
            while length & (length - 1) and length <= slots.groups:
                length = min(length + (length & -length), slots.groups + 1)
        if self.steady:
            rows = width
        elif self.device.queues:
            rows = min(1 << (rows - 1).bit_length(), width)
        return Plan(
            rows,
            length,
            Uses.of([order.settings.text for order in self.running]),
            Uses.of([order.settings.audio for order in self.running]),
            bool((slots.host_counts[1, :running] < slots.host_counts[2, :running]).any()),
        )

    def land(self) -> tuple[list[Order], list[Ended]]:
        """Look at the oldest step: which requests made their first group, and which have ended."""
        flight = self.flights.popleft()
        ids = flight.ids.wait().numpy()
        _, made, least, most = flight.counts
        stopped = (ids[:, None] == flight.stops).any(1) & (made >= least)
        first = [flight.orders[row] for row in np.flatnonzero(made == 1)]
        ended = []
        for row in np.flatnonzero(stopped | (made >= most)):
            order = flight.orders[row]
            if order in self.running:
                groups = self.slots.history(self.running.index(order), int(made[row]))
                ended.append(Ended(order, groups, bool(stopped[row])))
                self.drop(order)
        return first, ended

    def drop(self, order: Order) -> None:
        """Free the row of a running request."""
        row, last = self.running.index(order), len(self.running) - 1
        if row != last:
            self.slots.move(last, row)
            self.running[row] = self.running[last]
        self.running.pop()

    def clear(self) -> list[Order]:
        """Give up all rows, and the memory that can be spared; returns what was running."""
        orders, self.running = self.running, []
        self.flights.clear()
        self.graphs.forget()
        self.spare()
        return orders

    def spare(self) -> None:
        """Give back the memory that what runs can do without."""
        self.prefixes.clear()
        self.device.spare()


def _own(order: Order) -> int:
    """Groups of a prompt that cannot come from the prefix cache."""
    return len(order.groups) - (order.shared if order.shared >= FEWEST_GROUPS else 0)
