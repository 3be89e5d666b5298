"""The kernel that stays: its source emulated thread by thread and held against PyTorch, and doing without it.

It needs a GPU to be fast, not to be right: ``emulated.h`` stands for ``hopper.cuh``, and a smaller shape for the
published one.
"""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from model_worker.mimo import fused, persistent
from model_worker.mimo.checkpoint import settle
from model_worker.mimo.local import LocalMemory
from model_worker.mimo.nvrtc import Argument, compiled
from model_worker.mimo.persistent import PersistentStack, source
from model_worker.mimo.qwen import QwenStack
from tests.servers import missing

os.environ["TRITON_INTERPRET"] = "1"  # looked at when Triton is imported

CPU = torch.device("cpu")
WARPS, LAYERS, STEPS = 2, 2, 5
SHAPE = {"WIDTH": 256, "HIDDEN": 1024, "HEADS": 16, "BLOCKS": 32, "THREADS": 96}
ENTRY = """
static struct {{ const void* p[11]; int layers; float eps, scale; int strides[3]; }} now;
static void once() {{
    auto p = now.p;
    stack((const u16*)p[0], (u16*)p[1], (const u64*)p[2], (const u16*)p[3], (const u16*)p[4], (const u16*)p[5],
          (const u16*)p[6], (u16*)p[7], (u16*)p[8], (const long long*)p[9], (u32*)p[10], now.layers, now.eps, now.scale,
          now.strides[0], now.strides[1], now.strides[2]);
}}
extern "C" int run(int blocks, int threads, u32 seed, const void** p, int layers, float eps, float scale, int a, int b,
                    int c) {{
    for (int i = 0; i < 11; i++) now.p[i] = p[i];
    now.layers = layers, now.eps = eps, now.scale = scale;
    now.strides[0] = a, now.strides[1] = b, now.strides[2] = c;
    return emulated::run(once, blocks, threads, {shared}, seed);
}}
"""


class Stuck(Exception):
    """All threads wait for each other."""


@dataclass
class Emulated:
    """Stands for :class:`model_worker.mimo.nvrtc.Kernel`."""

    library: ctypes.CDLL
    seed: int = 1
    launches: int = 0

    def launch_together(self, blocks: int, threads: int, *arguments: Argument) -> None:
        tensors = [argument.data_ptr() for argument in arguments if isinstance(argument, Tensor)]
        numbers = [argument for argument in arguments if not isinstance(argument, Tensor)]
        given = [ctypes.c_float(number) if isinstance(number, float) else number for number in numbers]
        self.launches += 1
        places = (ctypes.c_void_p * len(tensors))(*tensors)
        if not self.library.run(blocks, threads, self.seed, places, *given):
            raise Stuck


def built(folder: Path, text: str) -> ctypes.CDLL:
    compiler = shutil.which("g++")
    if compiler is None:
        missing("no C++ compiler is installed (apt-get install g++)")
    (folder / "kernel.cpp").write_text(f'#include "emulated.h"\n{text}{ENTRY.format(shared="sizeof(Shared)")}')
    define = [f"-DWARPS={WARPS}", "-DSHARED_BYTES=216 << 10"]
    flags = ["-O1", "-std=c++17", "-shared", "-fPIC", "-Wall", "-Werror", "-Wno-unknown-pragmas"]
    library = folder / "kernel.so"
    subprocess.run(
        [compiler, *flags, *define, "-I", Path(__file__).parent, folder / "kernel.cpp", "-o", library], check=True
    )
    return ctypes.CDLL(str(library))


def kernel_text() -> str:
    return (Path(persistent.__file__).parent / "persistent.cu").read_text()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return built(tmp_path_factory.mktemp("kernel"), kernel_text())


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MIMO_NUMBA", "0")
    for name, size in SHAPE.items():
        monkeypatch.setattr(persistent, name, size)
    found = persistent._kernel  # tests put others in its place
    found.cache_clear()
    yield
    found.cache_clear()


def stack_of(
    width: int = 256, dtype: torch.dtype = torch.bfloat16, positions: int = STEPS, spread: float = 0.05
) -> QwenStack:
    with torch.device("meta"):
        stack = QwenStack(LAYERS, width, width // 16, width // 16, 16, 4 * width, 1e-6, 10_000.0, positions)
    stack = settle(stack, CPU, dtype)
    generator = torch.Generator().manual_seed(3)
    for name, part in stack.named_parameters():
        size = spread if part.dim() > 1 else 0.1
        part.data.copy_(torch.randn(part.shape, generator=generator) * size + ("norm" in name))
    stack.make_tables(CPU, dtype)
    return stack


def passes(step: nn.Module | PersistentStack, memory: LocalMemory) -> Tensor:
    """Outputs of one pass after the other, and below them what is remembered."""
    generator, said = torch.Generator().manual_seed(4), []
    memory.cache.zero_()
    for number in range(STEPS):
        x = torch.randn(1, 1, 256, generator=generator).bfloat16()
        memory.step = number
        if isinstance(step, PersistentStack):
            said.append(step.run(x, memory.cells(step._stack, 1, 1)))
        else:
            said.append(step(x, slice(number, number + 1), memory))
    return torch.cat([torch.cat(said).flatten(), memory.cache.flatten()]).float()


def memory() -> LocalMemory:
    return LocalMemory(LAYERS, 1, 16, STEPS, 16, torch.empty(0, dtype=torch.bfloat16))


def test_it_gives_what_pytorch_gives_and_the_same_bits_whoever_comes_first(library: ctypes.CDLL) -> None:
    stack = stack_of()
    wanted = passes(stack, memory())
    made = [passes(PersistentStack(stack, Emulated(library, seed)), memory()) for seed in (1, 2)]  # type: ignore[arg-type]
    assert float((made[0] - wanted).abs().mean()) < 0.01 * float(wanted.abs().mean())
    assert float((made[0] - wanted).abs().max()) < 0.02 * float(wanted.abs().max())
    assert torch.equal(*made)


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        ("while (lacks(w, tag));\n    return", "while (false);\n    return"),  # takes what is not told yet
        ("wait(&shared.full[stage], parity);\n        return", "return"),  # weights that have not come
        ("if (lane == 0) arrive(&shared.empty[stage]);", ""),  # never gives room back
    ],
)
def test_an_error_in_what_is_waited_for_is_seen(what: str, instead: str, tmp_path: Path) -> None:
    """Of the emulation: it must not be kinder than a GPU."""
    text = kernel_text()
    assert text.count(what) == 1
    broken, stack = built(tmp_path, text.replace(what, instead)), stack_of()
    wanted = passes(stack, memory())
    with suppress(Stuck):
        made = passes(PersistentStack(stack, Emulated(broken)), memory())  # type: ignore[arg-type]
        assert not float((made - wanted).abs().mean()) < 0.01 * float(wanted.abs().mean())


def test_one_row_alone_takes_it_and_rows_in_company_do_not(
    library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    kernel = Emulated(library)
    monkeypatch.setattr(fused, "_on_gpu", lambda _: True)
    monkeypatch.setattr(persistent, "_kernel", lambda _: kernel)
    fused.kernels.cache_clear()
    stack = stack_of()
    stack.lay_out()
    fused.kernels.cache_clear()
    kernel.launches = 0
    for rows, launches in ((1, 1), (2, 1)):
        kept = LocalMemory(LAYERS, rows, 16, STEPS, 16, torch.empty(0, dtype=torch.bfloat16))
        stack(torch.randn(rows, 1, 256).bfloat16(), slice(0, 1), kept)
        assert kernel.launches == launches


def test_other_stacks_do_without_it(library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistent, "_kernel", lambda _: Emulated(library))
    assert PersistentStack.of(stack_of()) is not None
    assert PersistentStack.of(stack_of(width=128)) is None
    assert PersistentStack.of(stack_of(dtype=torch.float32)) is None
    assert PersistentStack.of(stack_of(positions=17)) is None


def test_a_gpu_on_which_it_gives_other_numbers_does_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = built(tmp_path, kernel_text().replace("* scale;", "* -scale;"))
    monkeypatch.setattr(persistent, "_kernel", lambda _: Emulated(other))
    assert PersistentStack.of(stack_of(spread=0.2)) is None
    assert "it was off by" in caplog.text


@pytest.mark.parametrize("architecture", ["sm_90", "sm_100"])
def test_it_compiles_for_gpus_since_hopper(architecture: str) -> None:
    code = compiled(source(), architecture, WARPS=persistent.WARPS, SHARED_BYTES=persistent.SHARED_BYTES)
    assert code.startswith(b"\x7fELF")
    assert b"stack" in code


def test_a_kernel_that_does_not_compile_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"does not compile for sm_90: kernel.cu\(1\): error: .*undefined"):
        compiled('extern "C" __global__ void k(float* x) { *x = missing; }', "sm_90")


@dataclass
class Gpu:
    major: int = 9
    minor: int = 0
    multi_processor_count: int = 132
    shared_memory_per_block_optin: int = 227 << 10


@pytest.mark.parametrize(
    ("gpu", "architecture"),
    [
        (Gpu(), "sm_90"),
        (Gpu(10, 3, 148), "sm_103"),
        (Gpu(8, 0), None),
        (Gpu(multi_processor_count=20), None),
        (Gpu(12, 0, 170, 99 << 10), None),
    ],
)
def test_it_is_for_gpus_that_have_what_it_needs(
    gpu: Gpu, architecture: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: gpu)
    assert persistent._architecture(torch.device("cuda", 0)) == architecture
    assert persistent._architecture(CPU) is None


def test_without_what_compiles_it_there_are_more_kernels(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def absent(*_: object, **__: int) -> bytes:
        raise OSError("libnvrtc.so.13: cannot open shared object file")

    device = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Gpu())
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    monkeypatch.setattr(persistent, "compiled", absent)
    with caplog.at_level(logging.WARNING):
        assert persistent._kernel(device) is None
        assert persistent._kernel(device) is None
    assert [record.getMessage().count("libnvrtc.so.13") for record in caplog.records] == [1]


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Gpu())
    monkeypatch.setenv(persistent.SWITCH, "0")
    assert persistent._kernel(torch.device("cuda", 0)) is None
    assert not caplog.records
