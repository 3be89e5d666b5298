"""The engine: one thread owns the device and serves all requests in one running batch.

A turn of its loop takes in what has arrived, encodes its recordings, reads its prompts into free rows, makes one
step for every running request, and hands out what has ended; a freed row is filled in the next turn. Nothing else
touches the device. A request that cannot be served fails alone:

* out of memory: recorded steps are given up, then half of the batch's width, and everything starts again; what does not
  fit even alone is tried once more, after what can be spared was given back, and then refused;
* any other failure of a step is narrowed down the same way, so that one bad request does not take others along;
* a failure of the device itself closes the engine, since nothing can be computed on it any more. Nobody waits for ever:
  whatever ends the engine's thread, every request that is not finished is refused.

A request that starts again gives the same result: its noise depends on its seed only.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Self

import torch

from .batch import Batch
from .caution import Caution
from .codec import Seams
from .device import Device, device_for
from .errors import Cancelled, DeadlineOver, EngineClosed, EngineError
from .failures import Failed, attempt, refusal
from .graphs import SWITCH
from .handout import Handout
from .intake import Intake
from .model import Model
from .orders import Asked, Composer, Order
from .progress import telling
from .reader import PROMPT_BATCH
from .request import Request, Ticket
from .slots import slot_bytes
from .sounds import Sounds
from .takes import Take

BUSY_GROUPS = 1024  # of prompts, read between two steps of others: at full size some 30 ms of an H100, going by FLOPs
SLOTS_GPU, SLOTS_CPU = 32, 4  # of engines that are not told how many
# for what steps, prompts and waves hold while they are made, and the recordings of each kind: an estimate, generous up
# to 32 rows
WORK_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How large the engine is. At full size one group of one request takes 144 KiB (bfloat16).

    ``steady`` lets a request meet the same kernels alone and in any company, so that its take is equal bit for bit:
    every recording is encoded and every wave decoded on its own, every prompt read alone or in a shape of one size,
    every step made at full width. None: steps and prompts only where rounding is coarse (not float32), since in float32
    the choices are equal anyway. False: everything is batched; waves then differ in their last bits. After a lack of
    memory the width is smaller for a while, and bits are those of that width.
    """

    slots: int = 0  # requests that run at once; 0: on a GPU as many as fit, up to 32, on a processor 4
    groups: int = 2048  # prompt and answer of one request together; at most the model's context
    prefix_bytes: int = 2 << 30  # keys and values kept for recurring prefixes
    left_bytes: int = 0  # memory that is left to others where ``slots`` are as many as fit
    seams: Seams = Seams.SMOOTH  # how recordings and waves longer than a minute are joined
    steady: bool | None = None

    @property
    def reserved_bytes(self) -> int:
        """What an engine may come to hold beside weights and slots."""
        return self.prefix_bytes + WORK_BYTES


class Engine:
    """Serves requests to one loaded model. Safe to use from any thread; close it, or use it with ``with``."""

    def __init__(self, model: Model, settings: EngineSettings | None = None, device: Device | None = None) -> None:
        self.model = model
        asked = settings or EngineSettings()
        self.device = device or device_for(model.lm.device)
        with self.device.at_work():
            model.lm.lay_out()
        self.context = min(asked.groups, model.lm.config.context_groups)
        self.settings = asked if asked.slots else replace(asked, slots=self._as_many_as_fit(asked))
        steady = model.lm.dtype != torch.float32 if self.settings.steady is None else self.settings.steady
        with self.device.at_work():
            self.batch = Batch(
                model.lm,
                self.device,
                model.text.empty,
                count=self.settings.slots,
                groups=self.context,
                prefix_bytes=self.settings.prefix_bytes,
                steady=steady,
            )
        self._composer = Composer(model, self.context, self.settings.seams)
        sounds = Sounds(
            model.codec,
            self.device,
            model.lm.config.channels,
            self.settings.seams,
            together=self.settings.steady is False,
            spare=self.batch.spare,
        )
        kinds = (self.batch.graphs, self.batch.prompt_graphs, sounds.graphs)
        self.caution = Caution(self.settings.slots, *kinds, steady=steady)
        self._intake = Intake(self._composer, sounds)
        self._handout = Handout(model, self.batch, sounds)
        self.steps = 0
        self._open: set[Asked] = set()  # whose tickets have no end yet, wherever they are
        self._arrived: deque[Asked] = deque()
        self._waiting: deque[Order] = deque()
        self._lock = threading.Condition()
        self._nudged = False  # somebody cancelled
        self._earliest_s = math.inf  # no deadline is before this
        self._closed: EngineError | None = None
        self._broken = False
        self._progress_s = time.monotonic()
        self._thread = threading.Thread(target=self._serve, name="mimo-engine", daemon=True)
        self._thread.start()

    def _as_many_as_fit(self, asked: EngineSettings) -> int:
        with self.device.at_work():
            free = self.device.free_bytes()
        if free is None:
            return SLOTS_CPU
        room = free - asked.left_bytes - asked.reserved_bytes
        return max(1, min(SLOTS_GPU, room // slot_bytes(self.model.lm, self.context)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(self, request: Request) -> Ticket:
        """Queue a request. Its ticket ends with a :class:`Take`, or with an error of this package.

        Raises at once what can be known at once: PromptError, AudioError, EngineClosed.
        """
        asked = self._composer.asked(request, Ticket(self._nudge), time.monotonic())
        with self._lock:
            if self._closed is not None:
                raise self._closed
            self._open.add(asked)
            self._arrived.append(asked)
            self._lock.notify_all()
        return asked.ticket

    def run(self, request: Request) -> Take:
        """Submit and wait."""
        return self.submit(request).result()

    def close(self) -> None:
        """Stop serving; what is not finished fails with :class:`EngineClosed`."""
        self._end(EngineClosed("the engine was closed"))
        self._thread.join()

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot."""
        return len(self._arrived) + len(self._intake) + len(self._waiting)

    def stalled_s(self) -> float:
        """Seconds since the engine last got on with work that it has; 0 when it has none, infinity when it broke.

        For a watchdog."""
        if self._broken:
            return math.inf
        return time.monotonic() - self._progress_s if self._busy() else 0.0

    def _got_on(self) -> None:
        self._progress_s = time.monotonic()

    def _nudge(self) -> None:
        with self._lock:
            self._nudged = True
            self._lock.notify_all()

    def _end(self, why: EngineError) -> None:
        with self._lock:
            self._closed = self._closed or why
            self._lock.notify_all()

    def _busy(self) -> bool:
        batch = self.batch
        return bool(self._arrived or self._intake or self._waiting or batch.running or batch.flights or self._handout)

    # the engine's thread

    def _serve(self) -> None:
        try:
            with self.device.at_work():
                self.device.claim()
            with torch.inference_mode(), telling(self._got_on):
                while self._wait_for_work():
                    with self.device.at_work():
                        self._turn()
                    self._got_on()
        except BaseException as error:
            self._broken = True
            switch = f"if it breaks again, {SWITCH}=0 in the environment does without CUDA graphs"
            hint = switch if self.batch.graphs.on else ""
            closed = EngineClosed(f"the engine failed: {type(error).__name__}: {error}", hint=hint)
            closed.__cause__ = error
            self._end(closed)
        finally:
            why = self._closed or EngineClosed("the engine's thread ended")
            self._end(why)
            for asked in tuple(self._open):
                self._settle(asked, why)

    def _wait_for_work(self) -> bool:
        with self._lock:
            while self._closed is None and not self._busy():
                self._lock.wait()
                self._got_on()
            return self._closed is None

    def _turn(self) -> None:
        self._take_in()
        self._drop_overdue()
        self._admit()
        if self.batch.running:
            self._step()
        self._land()
        for asked, end in self._handout.ready(wait=not (self.batch.running or self._waiting)):
            self._settle(asked, end)

    def _take_in(self) -> None:
        """Encode the recordings of what has arrived, and build the prompts of those that are encoded."""
        with self._lock:
            arrived = list(self._arrived)
            self._arrived.clear()
        if arrived:
            self._intake.begin(arrived)
        for asked, order in self._intake.ready(wait=not self.batch.running):
            if isinstance(order, Failed):
                self._settle(asked, order)
            else:
                self._waiting.append(order)
                self._earliest_s = min(self._earliest_s, asked.deadline_s)
                if asked.ticket.cancel_asked:  # while it was encoded
                    self._nudged = True

    def _drop_overdue(self) -> None:
        """End what was cancelled or whose time is over, waiting or running."""
        now = time.monotonic()
        if not self._nudged and now < self._earliest_s:
            return
        self._nudged, self._earliest_s = False, math.inf
        for order in (*self._waiting, *self.batch.running):
            asked = order.asked
            if asked.ticket.cancel_asked:
                error: EngineError = Cancelled("the request was cancelled")
            elif now >= asked.deadline_s:
                error = DeadlineOver(f"the request was not finished within {asked.request.deadline_s:g} s")
            else:
                self._earliest_s = min(self._earliest_s, asked.deadline_s)
                continue
            if order in self.batch.running:
                self.batch.drop(order)
            else:
                self._waiting.remove(order)
            self._settle(asked, error)

    def _admit(self) -> None:
        """Read waiting prompts into the free rows: few at a time while others run, who wait meanwhile."""
        batch, chosen, groups = self.batch, list[Order](), 0
        free, most = self.caution.width - len(batch.running), BUSY_GROUPS if batch.running else PROMPT_BATCH
        while self._waiting and len(chosen) < free and groups < most:
            chosen.append(self._waiting.popleft())
            groups += batch.unread(chosen[-1])
        if not chosen:
            return
        now = time.monotonic()
        for order in chosen:
            order.started_s = now
        failed = attempt(partial(batch.admit, chosen))
        if isinstance(failed, Failed):
            self._start_again(failed, chosen)

    def _step(self) -> None:
        failed = attempt(partial(self.batch.launch, self.caution.width))
        if isinstance(failed, Failed):
            self._start_again(failed, [])
            return
        self.steps += 1
        self.caution.went_well()

    def _land(self) -> None:
        """Look at what steps have brought; where there is a queue one stays in flight, so that it is never empty."""
        batch = self.batch
        while len(batch.flights) > (1 if self.device.queues and batch.running else 0):
            landed = attempt(batch.land)
            if isinstance(landed, Failed):
                self._start_again(landed, [])
                return
            for order in landed.first:
                order.first_group_s = time.monotonic()
            if landed.ended:
                self._handout.begin(landed)

    def _start_again(self, failed: Failed, admitted: list[Order]) -> None:
        """After a failure: run everything again with more caution, or refuse what failed alone."""
        orders = self.batch.clear() + admitted
        if not self.caution.step_back(len(orders), out_of_memory=failed.out_of_memory):
            alone = orders[0]
            if alone.tried or not failed.out_of_memory:
                self._settle(alone.asked, failed)
                return
            alone.tried = True  # what was given back may be enough
        self._waiting.extendleft(reversed(orders))

    def _settle(self, asked: Asked, end: Take | Failed | EngineError) -> None:
        """End a ticket with its take, or with an error of this package."""
        with self._lock:
            self._open.discard(asked)
        if isinstance(end, Take):
            asked.ticket.set_result(end)
        else:
            asked.ticket.set_exception(refusal(end.error) if isinstance(end, Failed) else end)
