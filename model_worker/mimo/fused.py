"""Few rows on a GPU, by kernels of our own (:mod:`.gpu_kernel`): a whole stack, one new step of every row.

The kernels need Triton, which PyTorch's packages for CUDA bring, and a C compiler, with which it makes their callers;
where that is missing, or ``MIMO_TRITON=0`` stands in the environment, PyTorch does the same work in more kernels.
"""

from __future__ import annotations

import logging
import os
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from .compiled import Cells
from .persistent import PersistentStack
from .progress import got_on
from .rms import rms_norm

if TYPE_CHECKING:
    from .qwen import QwenStack

SWITCH = "MIMO_TRITON"
MOST_ROWS = 256  # measured up to here
STRETCH, STRETCH_ALONE = 256, 64  # keys that one program of a long attention looks at, of many rows and of one
STEPS = 64  # of them at once
LEAST_DIM = 16  # of a head there
FEW_STEPS, FEW_DIMS = 32, 64  # attention that fits into registers
HEADS, FEW_WARPS = 2, 1  # of a program there
GATES = 512  # of a program
MOST_IDS = 4096  # that one program can draw from

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tile:
    """What one program of a product makes, how much of it at once, and how."""

    outputs: int
    inputs: int
    warps: int


def tile_for(inputs: int, *, gated: bool) -> Tile:
    """The fastest of fifteen, on an H200 at the shapes of the full model."""
    if inputs <= 1024:
        return Tile(1, _power(inputs), 1) if gated else Tile(4, _power(inputs), 4)
    if gated:
        return Tile(2, 1024, 2)
    return Tile(2, 2048, 4) if inputs <= 4096 else Tile(2, 512, 2)


@cache
def kernels(device: torch.device) -> ModuleType | None:
    """The kernels for a device, each compiled when it is first used; None where they cannot be had."""
    if not _on_gpu(device) or os.environ.get(SWITCH, "1") == "0":
        return None
    try:
        found = import_module(".gpu_kernel", __package__)
        # Triton starts kernels on the thread's current device, wherever their tensors are
        with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            x = torch.zeros(2, 2, device=device)
            found.gate[(1,)](x, torch.empty_like(x[:, :1]), 1, 2, SIZE=GATES)
    except Exception as error:  # whatever Triton's compilers miss
        log.warning("steps run without kernels of our own, more slowly (%s: %s)", type(error).__name__, error)
        return None
    return found


class FusedStack:
    """A stack on a GPU whose rows each go one step on."""

    @classmethod
    def of(cls, stack: QwenStack) -> Self | None:
        """None where the kernels cannot be had, or do not fit the shape of a head."""
        found, dim = kernels(stack.norm.device), stack.blocks[0].head_dim
        fits = _power(dim) == dim and (dim >= LEAST_DIM or _sees_few(stack))
        return cls(stack, found) if found is not None and fits else None

    @staticmethod
    def takes(rows: int, steps: int) -> bool:
        return steps == 1 and rows <= MOST_ROWS

    def __init__(self, stack: QwenStack, kernel: ModuleType) -> None:
        self._stack, self._kernel = stack, kernel
        self._first, self._few = stack.blocks[0], _sees_few(stack)
        self._alone = PersistentStack.of(stack)

    def run(self, x: Tensor, cells: Cells) -> Tensor:
        """All layers on ``x`` [rows, 1, width], without the final norm."""
        rows, first = len(x), self._first
        if rows == 1 and self._alone is not None:
            return self._alone.run(x, cells)
        out = x.reshape(rows, -1).clone(memory_format=torch.contiguous_format)
        qkv = x.new_empty(rows, first.qkv.outputs)
        seen = x.new_empty(rows, first.o_proj.inputs)
        hidden = x.new_empty(rows, first.down_proj.inputs)
        for number, block in enumerate(self._stack.blocks):
            got_on()
            if rows == 1:
                self._product(out, block.qkv.weight, qkv, norm=block.attention_norm, bias=block.qkv.bias)
                self._attend(qkv, cells, number, seen)
                self._product(seen, block.o_proj.weight, out)
                self._product(out, block.gate_up.weight, hidden, norm=block.ffn_norm)
                self._product(hidden, block.down_proj.weight, out)
            else:
                qkv = block.qkv(rms_norm(out, block.attention_norm, block.eps))
                self._attend(qkv, cells, number, seen)
                block.o_proj.onto(out, seen)
                self._gate(block.gate_up(rms_norm(out, block.ffn_norm, block.eps)), hidden)
                block.down_proj.onto(out, hidden)
        return out.view(x.shape)

    def normed_product(self, x: Tensor, weight: Tensor) -> Tensor | None:
        """The stack's final norm of ``x`` [1, width] times ``weight`` [outputs, width] transposed, in float32."""
        if len(x) > 1:
            return None  # PyTorch's products are as fast
        out = x.new_empty(1, len(weight), dtype=torch.float32)
        self._product(x.contiguous(), weight, out, norm=self._stack.norm)
        return out

    def _product(
        self, x: Tensor, weight: Tensor, out: Tensor, *, norm: Tensor | None = None, bias: Tensor | None = None
    ) -> None:
        """Of one row: of its norm into ``out``, else added to what is there. Twice the outputs are gates and values."""
        outputs, gated = out.shape[1], len(weight) == 2 * out.shape[1]
        tile = tile_for(x.shape[1], gated=gated)
        # what is not used is never read
        self._kernel.row_product[(-(-outputs // tile.outputs),)](
            x, x if norm is None else norm, weight, x if bias is None else bias, out, outputs, self._first.eps,
            inputs=x.shape[1], NORMED=norm is not None, BIASED=bias is not None, GATED=gated, ADDED=norm is None,
            OUTPUTS=tile.outputs, INPUTS=tile.inputs, num_warps=tile.warps,
        )  # fmt: skip

    def _gate(self, x: Tensor, out: Tensor) -> None:
        self._kernel.gate[(-(-out.numel() // GATES),)](x, out, out.shape[1], out.numel(), SIZE=GATES)

    def _attend(self, qkv: Tensor, cells: Cells, layer: int, out: Tensor) -> None:
        kernel, block, stack = self._kernel, self._first, self._stack
        keys, values = cells.keys[layer], cells.values[layer]
        rows, dim, scale = len(qkv), block.head_dim, block.head_dim**-0.5
        where = (keys.stride(0), keys.stride(1), keys.stride(2))
        table = (stack.cos, stack.sin, keys, values, cells.at, cells.at.stride(0), out)
        positions = len(stack.cos)
        if self._few:
            together = min(HEADS, _power(block.heads))
            kernel.attend_few[rows, -(-block.heads // together)](
                qkv, *table, block.heads, positions, scale, *where,
                HEADS=together, STEPS=_power(keys.shape[2]), DIM=dim, num_warps=FEW_WARPS,
            )  # fmt: skip
            return
        stretch = STRETCH_ALONE if rows == 1 else STRETCH
        group, stretches = block.heads // block.kv_heads, -(-cells.longest // stretch)
        parts = peaks = out
        if stretches > 1:
            parts = qkv.new_empty(rows * block.heads * stretches, dim, dtype=torch.float32)
            peaks = qkv.new_empty(rows * block.heads * stretches, 2, dtype=torch.float32)
        kernel.attend_many[rows, block.kv_heads, stretches](
            qkv, *table, parts, peaks, block.kv_heads, positions, scale, *where,
            GROUP=group, QUERIES=max(16, _power(group)), DIM=dim, STRETCH=stretch, STRETCHES=stretches, STEPS=STEPS,
            num_warps=4,
        )  # fmt: skip
        if stretches > 1:
            kernel.join[(rows * block.heads,)](
                parts, peaks, out, STRETCHES=stretches, MANY=_power(stretches), DIM=dim,
            )  # fmt: skip


def chosen(
    scores: Tensor, temperature: Tensor, top_p: Tensor | None, greedy: Tensor, noise: Tensor, forbidden: Tensor
) -> Tensor | None:
    """Ids [rows, channels] of ``scores`` [rows, channels, ids], as :func:`.sampler.choose` draws them; None: it cannot.

    ``noise`` as the scores, ``forbidden`` [channels, ids]; settings [rows]. ``top_p`` None: nobody asks for it.
    """
    ids = scores.shape[-1]
    kernel = kernels(scores.device) if scores.dim() == 3 and ids <= MOST_IDS else None
    if kernel is None or scores.stride(2) != 1 or noise.stride(2) != 1:
        return None
    rows, channels, _ = scores.shape
    out = torch.empty(rows, channels, dtype=torch.long, device=scores.device)
    kernel.choose[rows, channels](
        scores, scores.stride(0), scores.stride(1), noise, noise.stride(0), noise.stride(1), forbidden,
        temperature, temperature if top_p is None else top_p, greedy, temperature.stride(0), greedy.stride(0),
        out, ids, CUT=top_p is not None, IDS=max(16, _power(ids)), num_warps=4 if ids > 256 else 1,
    )  # fmt: skip
    return out


def _sees_few(stack: QwenStack) -> bool:
    """Whether all keys of some heads fit into the registers of a program."""
    block = stack.blocks[0]
    return block.heads == block.kv_heads and len(stack.cos) <= FEW_STEPS and block.head_dim <= FEW_DIMS


def _on_gpu(device: torch.device) -> bool:
    return device.type == "cuda"


def _power(size: int) -> int:
    """The least power of two that is no less."""
    return 1 << (size - 1).bit_length()
