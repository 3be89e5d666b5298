"""A processor that behaves as a GPU does: its results come late, steps are recorded and replayed, and memory ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from model_worker.mimo.device import Coming, Device
from model_worker.mimo.gate import Gate
from model_worker.mimo.graphs import Graphs

LOOKS = 2  # how often a copy is looked at before it is there


class Late:
    """A copy that is rubbish until somebody waits for it, or has looked often enough."""

    def __init__(self, source: Tensor, room: Tensor) -> None:
        self._source, self._room, self._looks = source, room, 0

    def query(self) -> bool:
        self._looks += 1
        if self._looks > LOOKS:
            self.synchronize()
        return self._looks > LOOKS

    def synchronize(self) -> None:
        self._room.copy_(self._source)
        self._looks = LOOKS


class Tape:
    """Records work without running it, as a CUDA graph does."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work, self.replays = work, 0

    def replay(self) -> None:
        self.replays += 1
        self.work()


class Queueing(Device):
    """``record`` is called as steps are recorded; engines with one ``gate`` are in one process of CUDA's."""

    queues = True

    def __init__(
        self,
        record: Callable[[Callable[[], None]], Tape] = Tape,
        gate: Gate | None = None,
        free_bytes: int = 80 << 30,
    ) -> None:
        super().__init__(torch.device("cpu"))
        self.record, self.gate, self._free_bytes = record, gate or Gate(), free_bytes
        self.recorders = 0
        self.owner: threading.Thread | None = None

    def claim(self) -> None:
        self.owner = threading.current_thread()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        with self.gate.at_work():
            yield

    def fetch(self, tensor: Tensor) -> Coming:
        room = torch.full_like(tensor, 77)
        return Coming(room, Late(tensor.clone(), room))

    def free_bytes(self) -> int:
        return self._free_bytes

    def graphs(self, what: str) -> Graphs:
        return Graphs(what, self._recorder)

    def _recorder(self) -> Callable[[Callable[[], None]], Tape]:
        self.recorders += 1

        def record(work: Callable[[], None]) -> Tape:
            with self.gate.alone():
                return self.record(work)

        return record
