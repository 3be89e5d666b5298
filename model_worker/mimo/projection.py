"""Matrix products with weights: the place where nearly all time goes.

On a CUDA device this is ``linear``. On a CPU in float32 an engine lays out the weights (:func:`lay_out`) in large pages
for a kernel of our own, which reads them once per step for all its rows (:mod:`.compiled`). They are held once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from .compiled import FEW_ROWS, can_compile, product
from .pages import LargePages

_ordinary: ContextVar[bool] = ContextVar("ordinary", default=False)


@contextmanager
def ordinary_products() -> Iterator[None]:
    """Within this, products are what PyTorch's own linear layer does: the measure for all that is cleverer."""
    token = _ordinary.set(True)
    try:
        yield
    finally:
        _ordinary.reset(token)


def is_ordinary() -> bool:
    """Whether :func:`ordinary_products` holds."""
    return _ordinary.get()


class Projection(nn.Module):
    """A linear layer whose weights may be laid out; its parameters have the names that PyTorch's own would have."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(outputs), requires_grad=False) if bias else None
        self.outputs, self.inputs = outputs, inputs
        self.laid_out = False

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [..., inputs] times the weights, plus the bias: [..., outputs]."""
        return self._product(x, self.weight, self.bias)

    def onto(self, total: Tensor, x: Tensor) -> Tensor:
        """Add the product to ``total`` [rows, outputs], in place: on a GPU that is one kernel."""
        if self._few(x):
            return total.add_(self(x))
        return total.addmm_(x, self.weight.t())

    def part(self, x: Tensor, outputs: slice) -> Tensor:
        """Some of the outputs."""
        return self._product(x, self.weight[outputs], None if self.bias is None else self.bias[outputs])

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return product(x, weight, bias) if self._few(x) else functional.linear(x, weight, bias)

    def _few(self, x: Tensor) -> bool:
        return self.laid_out and x.numel() <= FEW_ROWS * self.inputs and not is_ordinary()


def lay_out(module: nn.Module) -> None:
    """Bring the weights of all projections into large pages for the kernel, one after the other; their values stay.

    On a CPU in float32 only, and where the kernel can be had; elsewhere they stay as they were loaded.
    """
    pages = LargePages()
    for part in module.modules():
        if isinstance(part, Projection) and _on_cpu(part.weight) and can_compile():
            part.weight.data = pages.copy(part.weight)
            part.laid_out = True


def _on_cpu(weight: Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32
