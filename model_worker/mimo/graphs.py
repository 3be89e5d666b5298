"""CUDA graphs of steps: recorded once per plan, replayed without the cost of launching thousands of kernels.

A group is 218 layers at full size; launched one kernel at a time they cost more than the work itself. The first
step of a plan runs as usual (it also warms up the libraries), the second is recorded, and from then on it is
replayed. ``MIMO_CUDA_GRAPHS=0`` in the environment turns all of it off.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from typing import Protocol

import torch

SWITCH = "MIMO_CUDA_GRAPHS"


class Recording(Protocol):
    """Work that can be replayed."""

    def replay(self) -> None: ...


Recorder = Callable[[Callable[[], None]], Recording]


class CudaRecorder:
    """Records work into CUDA graphs that share one memory pool."""

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Callable[[], None]) -> Recording:
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        # thread_local: another engine of this process may use the device meanwhile
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            work()
        return graph


class Graphs:
    """Runs work by its key: as it is at first, then from a recording."""

    def __init__(self, recorder: Recorder | None) -> None:
        self.recorder = recorder
        self.seen: set[Hashable] = set()
        self.recordings: dict[Hashable, Recording] = {}

    def run(self, key: Hashable, work: Callable[[], None]) -> None:
        """Do ``work`` once; ``key`` names everything that its kernels depend on besides memory at fixed places."""
        if self.recorder is None:
            work()
            return
        if key not in self.recordings:
            if key not in self.seen:
                self.seen.add(key)
                work()
                return
            self.recordings[key] = self.recorder(work)  # recording does not run the work
        self.recordings[key].replay()

    def forget(self) -> None:
        """Drop all recordings and their memory."""
        self.recordings.clear()
        self.seen.clear()


def graphs_for(device: torch.device) -> Graphs:
    """Graphs where the device has them and the environment does not turn them off."""
    wanted = device.type == "cuda" and os.environ.get(SWITCH, "1") != "0"
    return Graphs(CudaRecorder() if wanted else None)
