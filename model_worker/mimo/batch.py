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
from .prefix import PrefixCache
from .reader import Part, Reader
from .sampler import Uses
from .slots import LINE_GROUPS, MADE, MIN_NEW, POSITION, STOPS, Settings, Slots, few_lengths
from .step import Plan, Stepper


@dataclass(frozen=True, slots=True, eq=False)
class Flight:
    """A step whose results have not been looked at: what its rows were when it was launched."""

    orders: list[Order]
    ids: Coming  # [rows]
    rows: NDArray[np.int32]  # the rows of ``Slots.host`` after the step
    most: NDArray[np.int64]  # groups that each may make


@dataclass(frozen=True, slots=True, eq=False)
class Ended:
    """A request whose groups are complete."""

    order: Order
    groups: Groups
    stopped: bool


@dataclass(frozen=True, slots=True, eq=False)
class Landed:
    """What a step brought: requests that made their first group, and those that ended, whose groups are coming."""

    first: list[Order]
    ended: list[tuple[Order, int, bool]]  # with its number of groups, and whether a stop id was the last
    histories: Coming | None

    @property
    def here(self) -> bool:
        return self.histories is None or self.histories.here


class Batch:
    """Up to ``count`` running requests of up to ``groups`` groups each."""

    def __init__(
        self, lm: SpeechLm, device: Device, empty_id: int, *, count: int, groups: int, prefix_bytes: int, steady: bool
    ) -> None:
        self.device, self.steady = device, steady
        self.slots = Slots(lm, count, groups)
        self.graphs = device.graphs("steps")
        self.stepper = Stepper(lm, self.slots, empty_id, static=device.queues or steady)
        self.prompt_graphs = device.graphs("prompts")
        self.reader = Reader(lm, self.slots, empty_id, self.prompt_graphs if device.queues else None, steady=steady)
        self.prefixes = PrefixCache(prefix_bytes)
        self.running: list[Order] = []
        self.flights: deque[Flight] = deque()
        self._asks: tuple[Uses, Uses | None, bool] | None = None  # of a plan; None: to be looked at again

    def admit(self, orders: list[Order]) -> None:
        """Read the prompts of ``orders`` into rows after the running ones; there must be room for them.

        When this raises, none of them runs.
        """
        first = len(self.running)
        prompts: list[Part] = []
        for row, order in enumerate(orders, first):
            start = order.prefix
            if start:
                self._read_prefix(row, order, order.groups[:start])
            prompts.append(Part(row, start, order.groups[start:]))
        self.slots.place(first, [(len(order.groups), order.settings) for order in orders])
        self.reader.read(prompts)
        self.running += orders
        self._asks = None

    def unread(self, order: Order) -> int:
        """Groups of a prompt that would have to be read now."""
        kept = order.prefix > 0 and order.groups[: order.prefix] in self.prefixes
        return order.own if kept else len(order.groups)

    def _read_prefix(self, row: int, order: Order, prefix: Groups) -> None:
        kept = self.prefixes.find(prefix)
        order.cached = len(prefix) if kept is not None else 0
        if kept is not None:
            self.slots.restore(row, kept)
            return
        self.reader.read([Part(row, 0, prefix)])
        self.prefixes.keep(prefix, self.slots.prefix(row, len(prefix)))

    def launch(self, width: int) -> None:
        """Start one step for all running rows, of which there are ``width`` at most."""
        slots, rows = self.slots, len(self.running)
        plan = self._plan(rows, width)
        self.graphs.run(plan, partial(self.stepper.step, plan))
        slots.host[:rows, POSITION : MADE + 1] += 1
        ids = self.device.fetch(slots.latest[:rows])
        self.flights.append(Flight(list(self.running), ids, slots.host[:rows].copy(), slots.host_most[:rows].copy()))

    def _plan(self, running: int, width: int) -> Plan:
        slots, rows = self.slots, running
        if self._asks is None:
            self._asks = _asks([order.settings for order in self.running])
        longest = int(slots.host[:running, POSITION].max()) + 1
        length = -(-longest // LINE_GROUPS) * LINE_GROUPS
        if self.device.queues:  # few different plans
            length = few_lengths(longest, slots.room)
            rows = min(1 << (rows - 1).bit_length(), width)
        if self.steady:
            rows = width
        holds = bool((slots.host[:running, MADE] < slots.host[:running, MIN_NEW]).any())
        return Plan(rows, length, *self._asks, holds)

    def land(self) -> Landed:
        """Look at the oldest step; the rows of what has ended are free then."""
        flight = self.flights.popleft()
        ids, made = flight.ids.wait().numpy(), flight.rows[:, MADE]
        stopped = (ids[:, None] == flight.rows[:, STOPS:]).any(1) & (made >= flight.rows[:, MIN_NEW])
        first = [flight.orders[row] for row in np.flatnonzero(made == 1)]
        ended = [
            (flight.orders[row], int(made[row]), bool(stopped[row]))
            for row in np.flatnonzero(stopped | (made >= flight.most))
            if flight.orders[row] in self.running
        ]
        if not ended:
            return Landed(first, [], None)
        places = [self.running.index(order) for order, _, _ in ended]
        histories = self.device.fetch(self.slots.histories(places, [count for _, count, _ in ended]))
        for order, _, _ in ended:
            self.drop(order)
        return Landed(first, ended, histories)

    def groups_of(self, landed: Landed) -> list[Ended]:
        """What ended, once its groups are there."""
        if landed.histories is None:
            return []
        groups = self.slots.groups_of(landed.histories.wait(), [count for _, count, _ in landed.ended])
        return [Ended(order, own, stopped) for (order, _, stopped), own in zip(landed.ended, groups, strict=True)]

    def drop(self, order: Order) -> None:
        """Free the row of a running request."""
        row, last = self.running.index(order), len(self.running) - 1
        if row != last:
            self.slots.move(last, row)
            self.running[row] = self.running[last]
        self.running.pop()
        self._asks = None

    def clear(self) -> list[Order]:
        """Give up all rows, and the memory that can be spared; returns what was running."""
        orders, self.running = self.running, []
        self._asks = None
        self.flights.clear()
        for graphs in (self.graphs, self.prompt_graphs):
            graphs.forget()
        self.spare()
        return orders

    def spare(self) -> None:
        """Give back the memory that what runs can do without."""
        self.prefixes.clear()
        self.device.spare()


def _asks(rows: list[Settings]) -> tuple[Uses, Uses | None, bool]:
    """What rows ask of a plan: how text is chosen, how audio (None: nobody speaks), and whether some must not speak."""
    speaking = [row.audio for row in rows if row.speaks]
    return Uses.of([row.text for row in rows]), Uses.of(speaking) if speaking else None, len(speaking) < len(rows)
