"""What CUDA asks for, as far as it can be seen without a GPU: names, recordings, who works when, number formats."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from model_worker.mimo import DeviceError, Model
from model_worker.mimo.device import Cuda, exact, settled
from model_worker.mimo.gate import GATE, Gate
from model_worker.mimo.graphs import SWITCH, CudaRecorder, Graphs, graphs_for

from .queueing import Tape


def test_recordings_get_a_new_pool_once_they_were_dropped() -> None:
    made: list[object] = []

    def recorder() -> Callable[[Callable[[], None]], Tape]:
        made.append(object())
        return Tape

    graphs = Graphs("steps", recorder)
    for _ in range(2):
        for key in "ab":
            for _ in range(3):
                graphs.run(key, lambda: None)
        graphs.forget()
    assert len(made) == 2


def test_graphs_can_be_switched_off_and_need_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not graphs_for(torch.device("cpu"), "steps").on
    assert graphs_for(torch.device("cuda", 0), "steps").on
    monkeypatch.setenv(SWITCH, "0")
    assert not graphs_for(torch.device("cuda", 0), "steps").on


def test_a_gate_lets_one_in_alone_and_all_others_together() -> None:
    gate, inside, alone = Gate(), set[int](), list[set[int]]()
    together = threading.Barrier(4, timeout=20)

    def work(number: int) -> None:
        with gate.at_work():
            together.wait()  # four are in at a time
        for _ in range(50):
            with gate.at_work():
                inside.add(number)
                if number % 2:
                    inside.discard(number)
                    with gate.alone():
                        alone.append(set(inside))
                else:
                    time.sleep(0.0001)
                    inside.discard(number)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert alone == [set()] * 100


class FakeCuda:
    """PyTorch's functions for CUDA, which tell what they were called with: this machine may have no GPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, object]] = []
        self.spoilt = False
        for name in ("set_device", "synchronize", "empty_cache"):
            monkeypatch.setattr(torch.cuda, name, lambda *given, name=name: self.calls.append((name, given)))
        monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: ("pool", len(self.calls)))
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: ("stream of", device))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: ("current stream of", device))
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: Tape(lambda: None))
        monkeypatch.setattr(torch.cuda, "graph", self.graph)
        for name in ("device", "stream"):
            monkeypatch.setattr(torch.cuda, name, lambda what, name=name: self.inside(name, what))
        monkeypatch.setattr(
            torch._C, "_cuda_endAllocateToPool", lambda *given: self.calls.append(("end", given)), raising=False
        )

    @contextmanager
    def inside(self, name: str, what: object) -> Iterator[None]:
        self.calls.append((name, what))
        yield
        self.calls.append((f"out of {name}", what))

    @contextmanager
    def graph(self, _: Tape, *, pool: object, stream: object, capture_error_mode: str) -> Iterator[None]:
        self.calls.append(("graph", (pool, stream, capture_error_mode)))
        yield
        if self.spoilt:
            raise torch.AcceleratorError("CUDA error: operation failed due to a previous error during capture")


def test_each_engine_records_with_a_pool_and_a_stream_of_its_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, device = FakeCuda(monkeypatch), torch.device("cuda", 1)
    recorder, done = CudaRecorder(device), list[int]()
    with GATE.at_work():
        recorder(lambda: done.append(1))
    pool = ("pool", 0)
    assert ("graph", (pool, ("stream of", device), "thread_local")) in cuda.calls
    assert cuda.calls[0] == ("device", device)
    assert done == [1]
    cuda.spoilt = True
    with GATE.at_work(), pytest.raises(torch.AcceleratorError):
        recorder(lambda: None)
    assert ("end", (1, pool)) in cuda.calls  # else the allocator stays in the middle of a recording
    assert Cuda(device).graphs("steps").on
    Cuda(device).claim()
    assert cuda.calls[-1] == ("set_device", (device,))


def test_float32_is_float32_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    matmul = torch.backends.cuda.matmul  # its fields are no attributes that could be patched
    coarse, matmul.allow_tf32 = matmul.allow_tf32, True
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    exact(torch.device("cpu"))
    assert torch.backends.cudnn.allow_tf32
    attention = torch.backends.cuda.cudnn_sdp_enabled()
    exact(torch.device("cuda", 0))
    assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.deterministic
    assert not matmul.allow_tf32
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(attention)
    matmul.allow_tf32 = coarse


def test_a_device_has_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two engines on ``cuda`` and ``cuda:0`` are on the same one."""
    assert settled("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert settled("cuda") == torch.device("cuda", 1)
    assert settled("cuda:0") == torch.device("cuda", 0)
    with pytest.raises(DeviceError, match="cuda:2: this machine has 2"):
        settled("cuda:2")


@pytest.mark.parametrize(
    ("name", "problem"), [("cuda", "has no CUDA"), ("cuda:1", "has no CUDA"), ("gpu", "no device")]
)
def test_a_device_that_is_not_there_is_named(folder: Path, name: str, problem: str) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(DeviceError, match=problem):
        Model.load(folder / "lm", folder / "tokenizer", name)
