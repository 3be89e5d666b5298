"""Rotary positions in the "rotate-half" layout: the pair of coordinate i is coordinate i + half."""

from __future__ import annotations

import torch
from torch import Tensor


def inverse_frequencies(head_dim: int, theta: float, device: torch.device) -> Tensor:
    """theta^(-2i/head_dim) for each pair: [head_dim / 2] float32."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32, device=device) / head_dim
    return 1.0 / torch.pow(theta, exponents)


def rotary_table(frequencies: Tensor, positions: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines of positions 0..``positions``: two [positions, head_dim] in ``dtype``.

    Computed in float32 from the given frequencies. The first half of the sines is negative, so that a rotation
    is ``x * cos + roll(x, half) * sin``.
    """
    steps = torch.arange(positions, dtype=torch.float32, device=frequencies.device)
    angles = torch.outer(steps, frequencies)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((cos, cos), -1).to(dtype), torch.cat((-sin, sin), -1).to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Turn every pair of ``x`` [..., head_dim] by its angle; the table's rows broadcast against ``x``.

    ``out`` may be ``x`` itself.
    """
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin, out=out)
