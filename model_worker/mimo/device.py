"""What PyTorch leaves to its users about a device: its one name, its settings, who may use it when, and copies that
nobody waits for.

A processor has done its work when a call returns. A GPU is given its work in a queue, so results are asked for early
and looked at late.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .errors import DeviceError
from .gate import GATE
from .graphs import Graphs, graphs_for


class Event(Protocol):
    """A place in a device's queue."""

    def query(self) -> bool: ...
    def synchronize(self) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Coming:
    """A tensor on its way to the host."""

    tensor: Tensor
    copied: Event | None = None  # None: it is there

    @property
    def here(self) -> bool:
        return self.copied is None or self.copied.query()

    def wait(self) -> Tensor:
        if self.copied is not None:
            self.copied.synchronize()
        return self.tensor


class Device:
    """A processor, and what all devices have in common."""

    queues = False  # calls return before their work is done

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def claim(self) -> None:
        """Make this the device of the calling thread."""

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """To be inside of while anything is done on the device; see :mod:`.gate`."""
        yield

    def fetch(self, tensor: Tensor) -> Coming:
        """A copy for the host of what ``tensor`` is when the work queued so far is done."""
        return Coming(tensor.clone())

    def spare(self) -> None:
        """Give memory back that nothing uses."""

    def free_bytes(self) -> int | None:
        """Memory that could be had; None where that is not the limit."""
        return None

    def graphs(self, what: str) -> Graphs:
        """For one kind of work."""
        return graphs_for(self.device, what)


class Cuda(Device):
    """A GPU of NVIDIA's."""

    queues = True

    def claim(self) -> None:
        # events, streams and pinned memory belong to the thread's current device, whatever tensors they are used with
        torch.cuda.set_device(self.device)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        with GATE.at_work():
            yield

    def fetch(self, tensor: Tensor) -> Coming:
        room = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        room.copy_(tensor, non_blocking=True)
        copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        copied.record(torch.cuda.current_stream(self.device))
        return Coming(room, copied)

    def spare(self) -> None:
        torch.cuda.empty_cache()

    def free_bytes(self) -> int:
        free, _ = torch.cuda.mem_get_info(self.device)
        return int(free) + torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)


def device_for(device: torch.device) -> Device:
    return Cuda(device) if device.type == "cuda" else Device(device)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` on a device; a GPU gets what is the host's when it comes to it, and nobody waits."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def exact(device: torch.device) -> None:
    """Have work on a GPU, in this whole process, done with all its bits and by kernels that depend on shapes alone.

    PyTorch's own choice is to compute convolutions of float32 with ten bits (TF32), to let cuDNN decide for itself how
    it splits the keys of an attention, and to let it add up a transposed convolution in whatever order threads come.
    """
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.deterministic = True
        torch.backends.cuda.enable_cudnn_sdp(False)


def settled(device: torch.device | str) -> torch.device:
    """The device by its one name, ``cuda`` being the thread's current one; raises :class:`DeviceError`."""
    try:
        asked = torch.device(device)
    except RuntimeError as error:
        raise DeviceError(
            f"there is no device '{device}'", hint="say cpu, cuda, or cuda:1 for the second one"
        ) from error
    if asked.type != "cuda":
        return asked
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = asked.index if asked.index is not None else torch.cuda.current_device() if count else 0
    if index >= count:
        raise DeviceError(
            f"there is no device {asked}: this machine has {count or 'no'} CUDA devices that PyTorch can use",
            hint="look at nvidia-smi; PyTorch has to be a build for CUDA",
        )
    return torch.device("cuda", index)
