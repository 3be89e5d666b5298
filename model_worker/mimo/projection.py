"""Matrix products with weights: the place where nearly all time goes.

On a CUDA device this is ``linear``. On a CPU in float32 an engine lays out the weights (:func:`lay_out`) in large pages
for a kernel of our own, which reads them once per step for all its rows (:mod:`.compiled`). They are held once; where a
checkpoint has them in bfloat16 they stay so, and are widened, without any loss, as they are read.
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

WIDENED_BYTES = 16 << 20  # of weights at a time, where many rows share them

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
        """Add the product (without a bias) to ``total`` [rows, outputs], in place: on a GPU that is one kernel."""
        if self._few(x) or self.weight.dtype != x.dtype:
            return total.add_(self(x))
        return total.addmm_(x, self.weight.t())

    def part(self, x: Tensor, outputs: slice) -> Tensor:
        """Some of the outputs."""
        return self._product(x, self.weight[outputs], None if self.bias is None else self.bias[outputs])

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self._few(x):
            return product(x, weight, bias)
        return functional.linear(x, weight, bias) if weight.dtype == x.dtype else _widened_product(x, weight, bias)

    def _few(self, x: Tensor) -> bool:
        return self.laid_out and x.numel() <= FEW_ROWS * self.inputs and not is_ordinary()


def has_kernel(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether what computes in ``dtype`` on ``device`` can have our kernel for CPUs."""
    return device.type == "cpu" and dtype == torch.float32 and can_compile()


def lay_out(module: nn.Module, dtype: torch.dtype) -> None:
    """Bring the weights of all projections into large pages for the kernel, one after the other; their values stay.

    On a CPU and where it is float32 (``dtype``) that is computed in only, and where the kernel can be had; elsewhere
    they stay as they were loaded.
    """
    pages = LargePages()
    for part in module.modules():
        if isinstance(part, Projection) and has_kernel(part.weight.device, dtype):
            part.weight.data = pages.copy(part.weight)
            part.laid_out = True


def _widened_product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The product in the dtype of ``x`` with weights of another one, of which never many are widened at a time."""
    outputs, inputs = weight.shape
    out = x.new_empty(*x.shape[:-1], outputs)
    size = max(1, WIDENED_BYTES // (inputs * x.element_size()))
    for part in (slice(start, start + size) for start in range(0, outputs, size)):
        some = None if bias is None else bias[part]
        out[..., part] = functional.linear(x, weight[part].to(x.dtype), some)
    return out
