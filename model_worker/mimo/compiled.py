"""Few rows on a CPU, by a kernel of our own (:mod:`.kernel`): a whole stack, or one product, in one call.

With one row a step is nothing but reading weights, and what PyTorch does between its products costs as much as a third
of that. The kernel needs numba; where that is missing, or ``MIMO_NUMBA=0`` stands in the environment, PyTorch does it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .crew import crew

if TYPE_CHECKING:
    from .qwen import QwenStack

SWITCH = "MIMO_NUMBA"
FEW_ROWS = 64  # up to here the kernel is faster than PyTorch on its own products, or as fast

_NO_BIAS = np.empty(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Where the keys and values of a call's new positions go, and which of them each sees.

    ``keys``, ``values`` [layers, items, kv_heads, positions, head_dim]; ``at``, ``seen`` for each step of each item.
    """

    keys: Tensor
    values: Tensor
    at: Tensor  # int64: the position, which is also that of its rotation
    longest: int  # no position is beyond this many
    seen: Tensor | None = None  # int64: so many positions from the first; None: up to the step itself


def can_compile() -> bool:
    """Whether the kernel can be had. The first call compiles it, or loads what was compiled before."""
    return os.environ.get(SWITCH, "1") != "0" and _kernel() is not None


@cache
def _kernel() -> ModuleType | None:
    try:
        return import_module(".kernel", __package__)
    except ImportError:  # numba is missing, or does not fit this numpy
        return None


def bits(weight: Tensor) -> NDArray[np.float32] | NDArray[np.int16]:
    """Weights as the kernel takes them: float32 as they are, bfloat16 as their 16 bits."""
    made: NDArray[np.float32] | NDArray[np.int16]
    made = (weight.view(torch.int16) if weight.dtype == torch.bfloat16 else weight).numpy()
    return made


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``x`` [..., inputs] times ``weight`` [outputs, inputs] transposed, plus ``bias``: [..., outputs].

    ``weight`` is contiguous, float32 or bfloat16; all else is float32.
    """
    kernel = _kernel()
    assert kernel is not None
    outputs, inputs = weight.shape
    out = x.new_empty(*x.shape[:-1], outputs)
    crew().run(
        kernel.run_product, kernel.counters(), bits(weight), _NO_BIAS if bias is None else bias.numpy(),
        x.reshape(-1, inputs).contiguous().numpy(), out.view(-1, outputs).numpy(),
    )  # fmt: skip
    return out


class CompiledStack:
    """A stack whose weights stay where they are, row by row, as long as this is used."""

    @staticmethod
    def takes(rows: int, steps: int) -> bool:
        return rows * steps <= FEW_ROWS

    def __init__(self, stack: QwenStack) -> None:
        self._first = stack.blocks[0]
        self._weights = [block.weights() for block in stack.blocks]
        self._addresses = np.array([[part.data_ptr() for part in block] for block in self._weights], np.int64)
        self._like = bits(self._first.qkv.weight[:0]).reshape(-1)
        self._cos, self._sin = stack.cos.numpy(), stack.sin.numpy()

    def run(self, x: Tensor, cells: Cells) -> Tensor:
        """All layers on ``x`` [items, steps, width], without the final norm."""
        kernel = _kernel()
        assert kernel is not None
        items, steps, width = x.shape
        first, rows = self._first, items * steps
        at = np.ascontiguousarray(cells.at.numpy())
        out = x.clone(memory_format=torch.contiguous_format)
        room = [np.empty((rows, size), np.float32) for size in (
            first.qkv.outputs, first.o_proj.inputs, first.down_proj.inputs,
        )]  # fmt: skip
        crew().run(
            kernel.run_stack, kernel.counters(), self._addresses, self._like, first.heads, first.kv_heads, first.eps,
            self._cos, self._sin, out.view(rows, width).numpy(), cells.keys.numpy(), cells.values.numpy(),
            at, at + 1 if cells.seen is None else cells.seen.numpy(), steps, *room,
        )  # fmt: skip
        return out
