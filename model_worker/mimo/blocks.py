"""The tokenizer's transformer block (pre-norm, biased, exact GELU) and attention over padded items.

Items of different length share a batch as rows [items, longest, width]; what a row holds beyond its length is
never seen by a valid position, so every item gets what it would get alone.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

from .checkpoint import Parts, parts_of
from .progress import got_on
from .projection import Projection
from .rotary import inverse_frequencies, rotary_table, rotate

BAND_BLOCK = 64  # queries that share one gathered stretch of keys in windowed attention


def length_mask(lengths: Tensor, longest: int) -> Tensor:
    """True where a position is inside its item: [items, longest], of lengths [items] on their device."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]


class Sight:
    """Which keys the queries of a batch see: ``left`` and ``right`` of them (-1: all), inside their own items."""

    def __init__(self, left: int, right: int, lengths: Tensor, longest: int, *, whole: bool = False) -> None:
        """``lengths`` [items], on the device; ``whole``: all of them are known to be ``longest``."""
        self.left, self.right, self.lengths, self.longest, self.whole = left, right, lengths, longest, whole

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention over [items, heads, longest, head_dim]; scale 1/sqrt(head_dim)."""
        if 0 <= self.left < self.longest and 0 <= self.right < self.longest:
            return self._banded(q, k, v)
        if self.left < 0 and self.right == 0:
            # padding is on the right, where a causal query does not look
            return functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        if self.whole and (self.left, self.right) == (-1, -1):
            return functional.scaled_dot_product_attention(q, k, v)
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=self._seen)

    @cached_property
    def _seen(self) -> Tensor:
        """[items, 1, longest, longest]."""
        steps = torch.arange(self.longest, device=self.lengths.device)
        gap = steps[None] - steps[:, None]  # key minus query
        seen = length_mask(self.lengths, self.longest)[:, None, None]
        if self.left >= 0:
            seen = seen & (gap >= -self.left)
        if self.right >= 0:
            seen = seen & (gap <= self.right)
        # a row beyond its item sees itself: an empty row of the softmax would be NaN and spread through sums
        return seen | (gap == 0)

    def _banded(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention within a narrow window, block by block: cost grows with the length, not with its square."""
        items, heads, longest, width = q.shape
        blocks = -(-longest // BAND_BLOCK)
        tail = blocks * BAND_BLOCK - longest
        queries = functional.pad(q, (0, 0, 0, tail)).view(items, heads, blocks, BAND_BLOCK, width)

        def stretches(x: Tensor) -> Tensor:
            padded = functional.pad(x, (0, 0, self.left, self.right + tail))
            return padded.unfold(2, self._span, BAND_BLOCK).transpose(-1, -2)  # [items, heads, blocks, span, width]

        def flat(x: Tensor) -> Tensor:
            """Every block an item of its own: in four dimensions PyTorch has kernels that keep no scores."""
            return x.transpose(1, 2).flatten(0, 1)

        out = functional.scaled_dot_product_attention(
            flat(queries), flat(stretches(k)), flat(stretches(v)), self._seen_in_blocks
        )
        out = out.reshape(items, blocks, heads, BAND_BLOCK, width).transpose(1, 2)
        return out.reshape(items, heads, blocks * BAND_BLOCK, width)[:, :, :longest]

    @property
    def _span(self) -> int:
        return BAND_BLOCK + self.left + self.right

    @cached_property
    def _seen_in_blocks(self) -> Tensor:
        """[items * blocks, 1, BAND_BLOCK, span]."""
        device, blocks = self.lengths.device, -(-self.longest // BAND_BLOCK)
        query, key = torch.arange(BAND_BLOCK, device=device), torch.arange(self._span, device=device) - self.left
        offset = key - query[:, None]  # key minus query
        inside = (offset >= -self.left) & (offset <= self.right)
        at = torch.arange(blocks, device=device)[:, None] * BAND_BLOCK + key
        real = (at >= 0) & (at < self.lengths[:, None, None])  # [items, blocks, span]
        seen = (inside & real[:, :, None]) | (offset == 0)  # a padded query sees itself, see above
        return seen.flatten(0, 1)[:, None]


class Block(nn.Module):
    """h = x + out(attention(norm(x))); h + fc2(gelu(fc1(norm(h)))). q, v and out have biases, k has none."""

    def __init__(self, width: int, heads: int, ffn_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Projection(width, 3 * width, bias=True)
        self.out_proj = Projection(width, width, bias=True)
        self.attention_norm = nn.LayerNorm(width, eps=1e-5)
        self.fc1 = Projection(width, ffn_dim, bias=True)
        self.fc2 = Projection(ffn_dim, width, bias=True)
        self.ffn_norm = nn.LayerNorm(width, eps=1e-5)

    def parts(self, prefix: str) -> Parts:
        """q, k and v of the file are the thirds of one matrix here; k's bias stays zero."""
        bias = self.qkv.bias
        assert bias is not None
        bias.data.zero_()
        for name, weight, third in zip("qkv", self.qkv.weight.data.chunk(3), bias.data.chunk(3), strict=True):
            yield f"{prefix}self_attn.{name}_proj.weight", weight
            if name != "k":
                yield f"{prefix}self_attn.{name}_proj.bias", third
        yield from parts_of(self.out_proj, f"{prefix}self_attn.out_proj.")
        yield from parts_of(self.attention_norm, f"{prefix}self_attn_layer_norm.")
        yield from parts_of(self.fc1, f"{prefix}fc1.")
        yield from parts_of(self.fc2, f"{prefix}fc2.")
        yield from parts_of(self.ffn_norm, f"{prefix}final_layer_norm.")

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, sight: Sight) -> Tensor:
        """``x`` [items, longest, width]; ``cos``, ``sin`` [longest, head_dim]."""
        items, longest, width = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(items, longest, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        seen = sight.attend(rotate(q, cos, sin), rotate(k, cos, sin), v)
        x = x + self.out_proj(seen.transpose(1, 2).reshape(items, longest, width))
        out: Tensor = x + self.fc2(functional.gelu(self.fc1(self.ffn_norm(x))))
        return out


class Blocks(nn.Module):
    """A stack of :class:`Block` with its final norm and its rotary table."""

    def __init__(self, layers: int, width: int, heads: int, ffn_dim: int, theta: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(width, heads, ffn_dim) for _ in range(layers))
        self.layer_norm = nn.LayerNorm(width, eps=1e-5)
        self.head_dim = width // heads
        self.theta = theta

    def forward(self, x: Tensor, sight: Sight, skip_layer: int | None = None) -> Tensor:
        """Run all blocks on [items, longest, width]; what block ``skip_layer`` (1-based) gave is added at the end."""
        frequencies = inverse_frequencies(self.head_dim, self.theta, x.device)
        cos, sin = rotary_table(frequencies.to(x.dtype).float(), x.shape[1], x.dtype)
        skipped = None
        for number, layer in enumerate(self.layers, 1):
            got_on()
            x = layer(x, cos, sin, sight)
            if number == skip_layer:
                skipped = x
        out: Tensor = self.layer_norm(x if skipped is None else x + skipped)
        return out
