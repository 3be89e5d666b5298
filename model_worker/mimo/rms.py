"""The norm of the language model's stacks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """``x`` [rows, width] over its root mean square, times ``weight``."""
    width = x.shape[-1]
    if len(x) == 1 and x.device.type == "cpu" and x.dtype == torch.float32:
        flat = x.view(width)  # three small kernels instead of eight, where launching them is what costs
        return (x * weight).mul_((float(flat.dot(flat)) / width + eps) ** -0.5)
    return functional.rms_norm(x, (width,), weight, eps)
