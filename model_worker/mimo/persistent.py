"""The local decoder's layers for one row as one kernel whose blocks stay (``persistent.cu``), on GPUs that can.

It is for the published shape in bfloat16 and needs what Hopper brought (bulk copies into shared memory), 128
multiprocessors and NVRTC. Elsewhere, or with ``MIMO_PERSISTENT=0`` in the environment, there are five kernels a layer
(:mod:`.fused`).
"""

from __future__ import annotations

import logging
import os
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor
from torch.nn import functional

from .compiled import Cells
from .nvrtc import Kernel, compiled

if TYPE_CHECKING:
    from .qwen import QwenStack

SWITCH = "MIMO_PERSISTENT"
WARPS = 8  # of a block, besides one; they fix the shape of the stack
WIDTH, HIDDEN, HEADS, DIM = 1024, 4096, 64, 16
MOST_STEPS = 16
BLOCKS, THREADS = 128, 32 * (WARPS + 1)
SHARED_BYTES = 216 << 10
HOPPER = (9, 0)
ALIGNED = 16  # bytes: where bulk copies may begin
MOST_OFF = 0.05  # of the outputs, on average; 0.01 is usual in bfloat16, of PyTorch's own kernels too

log = logging.getLogger(__name__)


def source() -> str:
    """The kernel in CUDA C++; it wants ``WARPS`` and ``SHARED_BYTES`` defined."""
    return "".join(files(__package__).joinpath(name).read_text() for name in ("hopper.cuh", "persistent.cu"))


class PersistentStack:
    """A stack one row of which goes one step on."""

    @classmethod
    def of(cls, stack: QwenStack) -> Self | None:
        """None where the kernel cannot be had, is not for such a stack, or gives other numbers than PyTorch."""
        kernel = _kernel(stack.norm.device) if _fits(stack) else None
        made = cls(stack, kernel) if kernel is not None else None
        if made is None or (off := made._off()) <= MOST_OFF:
            return made
        log.warning("a request alone has no kernel of its own and runs more slowly (it was off by %.0f %%)", 100 * off)
        return None

    def __init__(self, stack: QwenStack, kernel: Kernel) -> None:
        self._stack, self._kernel = stack, kernel
        blocks = stack.blocks
        addresses = [[part.data_ptr() for part in block.weights()[:5] if part.dim() == 2] for block in blocks]
        self._weights = torch.tensor(addresses, device=stack.norm.device)
        self._norms = torch.stack([torch.stack((block.attention_norm, block.ffn_norm)) for block in blocks])
        self._biases = torch.stack([block.weights()[1] for block in blocks])

    def run(self, x: Tensor, cells: Cells) -> Tensor:
        """All layers on ``x`` [1, 1, width], without the final norm."""
        stack, keys = self._stack, cells.keys
        x = x.contiguous()
        out, room = torch.empty_like(x), x.new_zeros(3 * WIDTH + HIDDEN, dtype=torch.int32)
        self._kernel.launch_together(
            BLOCKS, THREADS, x, out, self._weights, self._norms, self._biases, stack.cos, stack.sin, keys, cells.values,
            cells.at, room, len(stack.blocks), stack.eps, DIM**-0.5, keys.stride(0), keys.stride(2), keys.stride(3),
        )  # fmt: skip
        return out

    def _off(self) -> float:
        """How far the outputs of two steps are from PyTorch's, as a share of them: GPUs differ, and few were tried."""
        stack, like = self._stack, self._stack.norm
        x = torch.randn(1, 2, WIDTH, generator=torch.Generator().manual_seed(1)).to(like)
        wanted = stack(x, slice(0, 2), _Causal()).float()
        keys, values = like.new_zeros(2, len(stack.blocks), 1, HEADS, 2, DIM)
        at = torch.arange(2, device=like.device)
        steps = [self.run(x[:, [step]], Cells(keys, values, at[[step]], step + 1)) for step in range(2)]
        return float((torch.cat(steps, 1) - wanted).abs().mean() / wanted.abs().mean())


class _Causal:
    """Steps of one call that see those before."""

    def attend(self, _layer: int, q: Tensor, kv: Tensor) -> Tensor:
        k, v = kv.chunk(2, 1)
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    def cells(self, _stack: QwenStack, _rows: int, _steps: int) -> None:
        return None


def _fits(stack: QwenStack) -> bool:
    block = stack.blocks[0]
    shape = (stack.width, block.down_proj.inputs, block.heads, block.kv_heads, block.head_dim)
    if shape != (WIDTH, HIDDEN, HEADS, HEADS, DIM) or len(stack.cos) > MOST_STEPS or stack.norm.dtype != torch.bfloat16:
        return False
    return all(part.data_ptr() % ALIGNED == 0 for block in stack.blocks for part in block.weights())


def _architecture(device: torch.device) -> str | None:
    """Of a GPU that has what the kernel needs."""
    if device.type != "cuda":
        return None
    has = torch.cuda.get_device_properties(device)
    shared = getattr(has, "shared_memory_per_block_optin", 0)  # since PyTorch 2.6
    enough = has.multi_processor_count >= BLOCKS and shared >= SHARED_BYTES
    return f"sm_{has.major}{has.minor}" if enough and (has.major, has.minor) >= HOPPER else None


@cache
def _kernel(device: torch.device) -> Kernel | None:
    architecture = _architecture(device)
    if architecture is None or os.environ.get(SWITCH, "1") == "0":
        return None
    try:
        with torch.cuda.device(device):
            code = compiled(source(), architecture, WARPS=WARPS, SHARED_BYTES=SHARED_BYTES)
            return Kernel(code, "stack", shared_bytes=SHARED_BYTES)
    except (OSError, RuntimeError) as error:
        log.warning("a request alone has no kernel of its own and runs more slowly (%s)", error)
        return None
