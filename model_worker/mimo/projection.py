"""Matrix products with weights: the place where nearly all time goes.

On a CUDA device this is ``linear``. On a CPU in float32 the same product has routes of very different speed for
few rows, because the weights (row-major, [outputs, inputs]) are read from memory once per call and MKL picks its
kernel by shape. Measured on 2 cores of an EPYC (GB of weights read per second):

====================  ==============  ====================  =======================
rows                  ``linear``      weight @ rows^T       one row, doubled
====================  ==============  ====================  =======================
1, wide (512→4096)    11.6            11.7                  **19.2**
1, narrow (2048→512)  **17.2**        15.3                  15.0
4                     5.0 to 8.2      **11.5 to 16.0**
16                    3.4 to 6.5      **7.2 to 10.0**
32 and more           about equal
====================  ==============  ====================  =======================
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
    """``x`` [..., inputs] times ``weight`` [outputs, inputs] transposed, plus ``bias``: [..., outputs]."""
    outputs, inputs = weight.shape
    rows = x.numel() // inputs
    usual = x.device.type != "cpu" or x.dtype != torch.float32 or rows > FEW_ROWS or (rows == 1 and outputs < inputs)
    if usual or _ordinary.get():
        return functional.linear(x, weight, bias)
    columns = x.reshape(rows, inputs)
    if rows == 1:
        columns = torch.cat(
            (columns, columns)
        )  # the two-column kernel reads at full speed, the one-column one does not
    columns = columns.contiguous().t()
    product = torch.mm(weight, columns) if bias is None else torch.addmm(bias[:, None], weight, columns)
    return product[:, :rows].t().reshape(*x.shape[:-1], outputs)


class Projection(nn.Module):
    """A linear layer on :func:`project`; its parameters have the names that PyTorch's own would have."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(outputs), requires_grad=False) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return project(x, self.weight, self.bias)
