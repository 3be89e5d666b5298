"""Matrix products with weights: the place where nearly all time goes.

On a CUDA device this is ``linear``. On a CPU in float32 the same product has routes of very different speed for few
rows, because the weights are read from memory once per call and MKL picks its kernel by shape and by the order the
weights lie in. Measured on 2 cores of an EPYC, in GB of weights read per second (a matrix of 512 to 4096):

===========  ===================  =====================  =======================
rows         ``linear``           weight @ rows^T        ``linear``, columns
===========  ===================  =====================  =======================
1            11.6                 11.7                   **20.8**
4            6.3                  **14.1**               6.7
16           4.6                  **8.0**                5.2
48 and more  about equal
===========  ===================  =====================  =======================

So several rows are multiplied the second way, and an engine that runs one request at a time keeps its wide
matrices column by column (:func:`lay_out`). Narrow matrices (2048 to 512) are read at full speed as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn
from torch.nn import functional

FEW_ROWS = 48  # up to here the transposed product is faster; beyond it the two are equal and linear needs no copy

_ordinary: ContextVar[bool] = ContextVar("ordinary", default=False)


@contextmanager
def ordinary_products() -> Iterator[None]:
    """Within this, products are what PyTorch's own linear layer does: the measure for all that is cleverer."""
    token = _ordinary.set(True)
    try:
        yield
    finally:
        _ordinary.reset(token)


def project(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x`` [..., inputs] times ``weight`` [outputs, inputs] transposed, plus ``bias`` [outputs]: [..., outputs]."""
    outputs, inputs = weight.shape
    rows = x.numel() // inputs
    if _ordinary.get() or not _few(x, rows):
        return functional.linear(x, weight, bias)
    if rows == 1 or not weight.is_contiguous():  # as linear does it, without its detours
        flat = x.reshape(rows, inputs)
        product = torch.mm(flat, weight.t()) if bias is None else torch.addmm(bias, flat, weight.t())
        return product.view(*x.shape[:-1], outputs)
    columns = x.reshape(rows, inputs).contiguous().t()
    product = torch.mm(weight, columns) if bias is None else torch.addmm(bias[:, None], weight, columns)
    return product.t().reshape(*x.shape[:-1], outputs)


def _few(x: Tensor, rows: int) -> bool:
    return rows <= FEW_ROWS and x.device.type == "cpu" and x.dtype == torch.float32


class Projection(nn.Module):
    """A linear layer on :func:`project`; its parameters have the names that PyTorch's own would have."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(outputs), requires_grad=False) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return project(x, self.weight, self.bias)

    def onto(self, x: Tensor, base: Tensor) -> Tensor:
        """``base`` [rows, outputs] plus the layer's answer to ``x`` [rows, inputs], without a kernel of its own."""
        if _ordinary.get():
            return base + functional.linear(x, self.weight)
        if _few(x, len(x)) and len(x) > 1 and self.weight.is_contiguous():
            return torch.addmm(base.t(), self.weight, x.contiguous().t()).t()
        return torch.addmm(base, x, self.weight.t())


def lay_out(module: nn.Module, *, rows: int) -> None:
    """Put the weights of all projections in the order that is read fastest for so many rows at a time.

    On a CPU only, one matrix after the other; shapes and values stay.
    """
    for part in module.modules():
        if not isinstance(part, Projection) or part.weight.device.type != "cpu":
            continue
        weight = part.weight.data
        wide = weight.shape[0] >= weight.shape[1]
        part.weight.data = weight.t().contiguous().t() if wide and rows == 1 else weight.contiguous()
