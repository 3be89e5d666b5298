"""Residual vector quantizer: hidden states to code ids and back. Always float32."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .checkpoint import Parts

ROWS = 1 << 16  # states compared at once; bounds the distance matrix


class Quantizer(nn.Module):
    """Each codebook [codes, d_model] quantizes what the ones before it left over."""

    def __init__(self, sizes: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.codebooks = nn.ParameterList(torch.empty(size, width) for size in sizes)

    def parts(self, prefix: str) -> Parts:
        """Only ``embed`` is used; the file's other tensors are the state of training."""
        for index, codebook in enumerate(self.codebooks):
            yield f"{prefix}vq.layers.{index}._codebook.embed", codebook.data

    def encode(self, hidden: Tensor, count: int) -> Tensor:
        """Ids [count, rows] of the first ``count`` codebooks for states [rows, d_model]."""
        return torch.cat([self._encode(part, count) for part in torch.split(hidden.float(), ROWS)], 1)

    def _encode(self, residual: Tensor, count: int) -> Tensor:
        ids = []
        for codebook in list(self.codebooks)[:count]:
            squares = residual.pow(2).sum(1, keepdim=True) - 2 * residual @ codebook.t() + codebook.pow(2).sum(1)
            best = (-squares).max(1).indices
            residual = residual - codebook[best]
            ids.append(best)
        return torch.stack(ids)

    def decode(self, codes: Tensor) -> Tensor:
        """Sum of the code vectors of ids [count, ...]: [..., d_model] float32."""
        total: Tensor = self.codebooks[0][codes[0]]
        for codebook, ids in zip(list(self.codebooks)[1:], codes[1:], strict=False):
            total = total + codebook[ids]
        return total
