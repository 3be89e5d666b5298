"""CUDA graphs of steps, prompts and waves: recorded once per shape, replayed without the cost of launching thousands of
kernels.

A group is 218 layers at full size; launched one kernel at a time they cost more than the work itself. The first
step of a plan runs as usual (it also warms up the libraries), the second is recorded, and from then on it is
replayed. What cannot be recorded is run as it is, like all of its kind that follows: slower, with the same result.
``MIMO_CUDA_GRAPHS=0`` in the environment turns all of it off from the start.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Protocol

import torch

from .failures import is_out_of_memory
from .gate import GATE

SWITCH = "MIMO_CUDA_GRAPHS"
MOST_RECORDINGS = 64  # each holds thousands of kernels; the ones used last stay

log = logging.getLogger(__name__)


class Recording(Protocol):
    """Work that can be replayed."""

    def replay(self) -> None: ...


Recorder = Callable[[Callable[[], None]], Recording]


class CudaRecorder:
    """Records work into CUDA graphs that share one memory pool, which is of no use once they are all dropped."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        # PyTorch's own stream for recording is one for all devices and engines
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __call__(self, work: Callable[[], None]) -> Recording:
        graph = torch.cuda.CUDAGraph()
        here = torch.cuda.current_stream(self._device)
        # the outer stream: a recording that fails leaves the inner one as the current one
        with GATE.alone(), torch.cuda.device(self._device), torch.cuda.stream(here):
            try:
                with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                    work()
            except BaseException:
                self._end_allocation()
                raise
        return graph

    def _end_allocation(self) -> None:
        """Where CUDA spoils a recording, PyTorch leaves its allocator in the middle of it, and no memory could ever be
        given back in this process (its end calls this only after CUDA's own call went well)."""
        end = getattr(torch._C, "_cuda_endAllocateToPool", None)
        if end is not None:
            with contextlib.suppress(RuntimeError):  # it was ended
                end(self._device.index, self._pool)


class Graphs:
    """Runs work by its key: as it is at first, then from a recording."""

    def __init__(self, what: str, recorder: Callable[[], Recorder] | None) -> None:
        """``what`` is told of work that cannot be recorded: "steps". ``recorder`` makes a recorder, anew whenever all
        recordings were dropped; None: nothing is recorded."""
        self._what, self._make = what, recorder
        self._recorder: Recorder | None = None
        self._resting = False
        self.seen: set[Hashable] = set()
        self.recordings: OrderedDict[Hashable, Recording] = OrderedDict()

    @property
    def on(self) -> bool:
        """Whether work is recorded."""
        return self._make is not None and not self._resting

    def run(self, key: Hashable, work: Callable[[], None]) -> None:
        """Do ``work`` once; ``key`` names everything that its kernels depend on besides memory at fixed places."""
        recording = self.recordings.get(key)
        if recording is None and self.on:
            if key in self.seen:
                recording = self._recorded(key, work)
            self.seen.add(key)
        if recording is None:
            work()
        else:
            self.recordings.move_to_end(key)
            recording.replay()

    def _recorded(self, key: Hashable, work: Callable[[], None]) -> Recording | None:
        """A recording of ``work``, which recording does not run; None where it cannot be had."""
        assert self._make is not None
        try:
            self._recorder = self._recorder or self._make()
            self.recordings[key] = self._recorder(work)
            if len(self.recordings) > MOST_RECORDINGS:
                self.recordings.popitem(last=False)
        except Exception as error:  # if the device itself broke, running the work says so
            if is_out_of_memory(error):
                raise  # others may have to give some back
            log.warning(
                "%s cannot be recorded (%s: %s): they run without CUDA graphs from now on, more slowly; "
                "%s=0 in the environment leaves them out from the start",
                self._what, type(error).__name__, error, SWITCH,
            )  # fmt: skip
            self._make = None
            self.forget()
            return None
        return self.recordings[key]

    def forget(self) -> None:
        """Drop all recordings and their memory."""
        self.recordings.clear()
        self.seen.clear()
        self._recorder = None

    def rest(self) -> None:
        """Drop all recordings and make none, until :meth:`resume`: their memory is needed elsewhere."""
        self.forget()
        self._resting = True

    def resume(self) -> bool:
        """Record again; whether it had rested."""
        rested, self._resting = self._resting, False
        return rested


def graphs_for(device: torch.device, what: str) -> Graphs:
    """Graphs where the device has them and the environment does not turn them off."""
    wanted = device.type == "cuda" and os.environ.get(SWITCH, "1") != "0"
    return Graphs(what, (lambda: CudaRecorder(device)) if wanted else None)
