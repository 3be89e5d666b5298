"""Matrix products with weights: the place where nearly all time goes.

On a CUDA device this is ``linear``. On a CPU in float32 the same product has routes of very different speed for few
rows, because the weights are read from memory once per call and MKL picks its kernel by shape and by the order the
weights lie in. Measured on one core of an EPYC without AVX-512, in GB of weights read per second (1 row) and in
GFLOP/s (more), over the matrices of 512 to 5504 that the mid-size model has:

====  ===========  ======================  ====================  ==================
rows  ``linear``   weight @ rows^T         ``linear``, columns   packed for oneDNN
====  ===========  ======================  ====================  ==================
1     7 to 17      13 to 20 where narrow   12 to 22 where wide   2 to 4
2     6 to 10      7 to 12                 7 to 12               8 to 12
4     9 to 16      15 to 22                11 to 15              11 to 20
16    23 to 40     30 to 48                29 to 41              **36 to 46**
32    36 to 56     41 to 62                36 to 56              **51 to 55**
64    about equal
====  ===========  ======================  ====================  ==================

So an engine lays out the weights for the number of rows it will see (:func:`lay_out`): one row takes wide matrices
column by column and narrow ones row by row; a few rows take all row by row; from :data:`PACKED_ROWS` on they are
packed for oneDNN, where a single row is doubled, which is three times as fast. Plain weights then lie in large pages
(:mod:`.pages`). The weights are held once in every layout. ``MIMO_ONEDNN=0`` in the environment leaves packing out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum, auto

import torch
from torch import Tensor, nn
from torch.nn import functional

from .pages import LargePages

SWITCH = "MIMO_ONEDNN"
FEW_ROWS = 48  # up to here the transposed product is faster; beyond it the two are equal and linear needs no copy
PACKED_ROWS = 8  # from so many rows on oneDNN is faster
TYPICAL_ROWS = 16  # what oneDNN packs for; the order it chooses serves 2 to 64 rows equally well

_ordinary: ContextVar[bool] = ContextVar("ordinary", default=False)


class Layout(Enum):
    """How the weights of a projection lie in memory."""

    LOADED = auto()  # as PyTorch has them
    ROWS = auto()  # the same, in large pages
    COLUMNS = auto()  # column by column, in large pages
    PACKED = auto()  # in blocks, as oneDNN likes them


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
    shape = (*x.shape[:-1], outputs)
    if not weight.is_contiguous():  # as linear does it, without its detours
        flat = x.reshape(rows, inputs)
        return (torch.mm(flat, weight.t()) if bias is None else torch.addmm(bias, flat, weight.t())).view(shape)
    if rows == 1:
        flat = x.reshape(inputs)
        return (torch.mv(weight, flat) if bias is None else torch.addmv(bias, weight, flat)).view(shape)
    columns = x.reshape(rows, inputs).contiguous().t()
    product = torch.mm(weight, columns) if bias is None else torch.addmm(bias[:, None], weight, columns)
    return product.t().reshape(shape)


def _few(x: Tensor, rows: int) -> bool:
    return rows <= FEW_ROWS and x.device.type == "cpu" and x.dtype == torch.float32


class Projection(nn.Module):
    """A linear layer on :func:`project`; its parameters have the names that PyTorch's own would have."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs), requires_grad=False)  # empty while it is packed
        self.bias = nn.Parameter(torch.empty(outputs), requires_grad=False) if bias else None
        self.outputs, self.inputs = outputs, inputs
        self.layout = Layout.LOADED
        self._packed: Tensor | None = None

    def plain(self) -> Tensor:
        """The weights [outputs, inputs] in any layout; a copy where they are packed."""
        return self.weight.data if self._packed is None else self._packed.to_dense()

    def forward(self, x: Tensor) -> Tensor:
        if self._packed is None:
            return project(x, self.weight, self.bias)
        if _ordinary.get():
            return functional.linear(x, self.plain(), self.bias)
        return _packed_product(x.reshape(-1, self.inputs), self._packed, self.bias).view(*x.shape[:-1], self.outputs)

    def onto(self, x: Tensor, base: Tensor) -> Tensor:
        """``base`` [rows, outputs] plus the layer's answer to ``x`` [rows, inputs], without a kernel of its own."""
        if _ordinary.get():
            return base + functional.linear(x, self.plain())
        if self._packed is not None:
            return base + _packed_product(x, self._packed, None)
        if self.weight.is_contiguous() and _few(x, len(x)):
            if len(x) == 1:
                return torch.addmv(base[0], self.weight, x[0])[None]
            return torch.addmm(base.t(), self.weight, x.contiguous().t()).t()
        return torch.addmm(base, x, self.weight.t())

    def lay_out(self, layout: Layout, pages: LargePages) -> None:
        """Bring the weights into another order; their values stay."""
        if layout is self.layout:
            return
        weight = self.plain()
        self._packed, self.layout = None, layout
        if layout is Layout.PACKED:
            self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), TYPICAL_ROWS)
            self.weight.data = weight.new_empty(0)
        elif layout is Layout.LOADED:
            self.weight.data = weight.clone(memory_format=torch.contiguous_format)
        else:
            self.weight.data = pages.copy(weight.t()).t() if layout is Layout.COLUMNS else pages.copy(weight)


def _packed_product(x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    """``x`` [rows, inputs] times packed weights transposed, plus ``bias``."""
    rows = len(x)
    if rows == 1:  # oneDNN's kernel for one row is three times slower than that for two
        x = x.expand(2, -1)
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x.contiguous(), packed, bias, "none", [], "")
    return product[:rows]


def lay_out(module: nn.Module, *, rows: int | None) -> None:
    """Put the weights of all projections in the order that is read fastest for so many rows at a time.

    None: as they were loaded. On a CPU in float32 only, one matrix after the other.
    """
    pages = LargePages()
    for part in module.modules():
        if isinstance(part, Projection) and part.weight.device.type == "cpu" and part.weight.dtype == torch.float32:
            part.lay_out(_layout(part, rows), pages)


def _layout(part: Projection, rows: int | None) -> Layout:
    if rows is None:
        return Layout.LOADED
    if rows >= PACKED_ROWS and can_pack():
        return Layout.PACKED
    return Layout.COLUMNS if rows == 1 and part.outputs >= part.inputs else Layout.ROWS


def can_pack() -> bool:
    """Whether this PyTorch has oneDNN with packed weights, and the environment does not turn it off."""
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    known = available and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return known and os.environ.get(SWITCH, "1") != "0"
