"""Choosing ids from logits, row by row, with noise that depends on nothing but the request.

The filters are the reference's, in its order: temperature, top-k, top-p, then the forbidden ids. The draw is
argmax(filtered logits + Gumbel noise), which has the distribution of a multinomial draw. The noise is a hash of
(seed, group, site, id), so a request gets the same noise alone, in any batch and on any device; and where
rounding differs between batch shapes, only two candidates that tie to the last digits can change places (a
cumulative sum, as multinomial uses, would drift over the whole vocabulary).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .fused import chosen

GOLDEN = 0x9E3779B9 - (1 << 32)  # 2^32 / golden ratio, as int32: spreads consecutive counters


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw: ``top_k`` 0 and ``top_p`` 1 keep everything, ``greedy`` takes the best."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    greedy: bool = False

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and self.top_k >= 0 and 0 < self.top_p <= 1):
            raise ValueError(f"not a way to sample: {self!r}")

    def __str__(self) -> str:
        if self.greedy:
            return "greedy"
        kept = (f"top k {self.top_k}",) if self.top_k else ()
        return ", ".join((f"temperature {self.temperature:g}", *kept, f"top p {self.top_p:g}"))


GREEDY = Sampling(greedy=True)


@dataclass(frozen=True, slots=True)
class SamplingRows:
    """Settings of many rows as tensors [rows], and what at least one of them needs."""

    temperature: Tensor
    top_k: Tensor
    top_p: Tensor
    greedy: Tensor
    uses: Uses

    @classmethod
    def of(cls, settings: list[Sampling], device: torch.device) -> SamplingRows:
        return cls(
            torch.tensor([one.temperature for one in settings], device=device),
            torch.tensor([one.top_k for one in settings], device=device),
            torch.tensor([one.top_p for one in settings], device=device),
            torch.tensor([one.greedy for one in settings], device=device),
            Uses.of(settings),
        )

    def rows(self, part: slice | Tensor) -> SamplingRows:
        return SamplingRows(self.temperature[part], self.top_k[part], self.top_p[part], self.greedy[part], self.uses)


@dataclass(frozen=True, slots=True)
class Uses:
    """What the settings of a batch ask for; a part nobody asks for is not computed."""

    draws: bool
    top_k: bool
    top_p: bool

    @classmethod
    def of(cls, settings: list[Sampling]) -> Uses:
        drawn = [one for one in settings if not one.greedy]
        return cls(bool(drawn), any(one.top_k for one in drawn), any(one.top_p < 1 for one in drawn))


def filtered(scores: Tensor, how: SamplingRows) -> Tensor:
    """Scores [rows, ..., ids] after temperature, top-k and top-p of each row; what is removed is -inf."""
    shape = (-1,) + (1,) * (scores.dim() - 1)
    scores = scores / how.temperature.view(shape)
    lowest = float("-inf")
    if how.uses.top_k:
        ids = scores.shape[-1]
        kept = torch.where(how.top_k > 0, how.top_k, ids).clamp(max=ids).view(shape)
        ranked = scores.sort(-1, descending=True).values
        smallest = ranked.gather(-1, (kept - 1).expand(*scores.shape[:-1], 1))
        scores = scores.masked_fill(scores < smallest, lowest)
    if how.uses.top_p:
        ranked, order = scores.sort(-1)
        removed = _running_totals(ranked.softmax(-1)) <= (1 - how.top_p).view(shape)
        removed &= (how.top_p < 1).view(shape)
        removed[..., -1] = False
        scores = scores.masked_fill(torch.zeros_like(removed).scatter_(-1, order, removed), lowest)
    return scores


def _running_totals(shares: Tensor) -> Tensor:
    """Along the last dimension. On a GPU a row alone would be added up in an order that changes from call to call."""
    if shares.device.type == "cuda" and shares.numel() == shares.shape[-1]:
        return torch.cat((shares, shares)).cumsum(-1)[:1]
    return shares.cumsum(-1)


def choose(scores: Tensor, how: SamplingRows, noise: Tensor | None, forbidden: Tensor | None = None) -> Tensor:
    """Ids [rows, ...] chosen from scores [rows, ..., ids] (float32).

    ``noise`` has the shape of the scores; None when no row draws. ``forbidden`` is a mask that broadcasts against
    them, applied after the filters as in the reference; where nothing else is left, the best allowed id is taken.
    """
    lowest = float("-inf")
    allowed = scores if forbidden is None else scores.masked_fill(forbidden, lowest)
    if not how.uses.draws or noise is None:
        return allowed.argmax(-1)
    if forbidden is not None and not how.uses.top_k:
        top_p = how.top_p if how.uses.top_p else None
        fused = chosen(scores, how.temperature, top_p, how.greedy, noise, forbidden)
        if fused is not None:
            return fused
    drawn = filtered(scores, how)
    if forbidden is not None:
        drawn = drawn.masked_fill(forbidden, lowest)
    settled = how.greedy.view((-1,) + (1,) * (scores.dim() - 2)) | (drawn.amax(-1) == lowest)
    return torch.where(settled, allowed.argmax(-1), (drawn + noise).argmax(-1))


def seed_words(seed: int) -> tuple[int, int]:
    """A seed as two int32 words."""
    words = (seed ^ (seed >> 64)) & 0xFFFF_FFFF_FFFF_FFFF
    return _signed(words & 0xFFFF_FFFF), _signed(words >> 32)


def gumbel(words: Tensor, counter: Tensor, site: int, sites: Tensor) -> Tensor:
    """Gumbel noise [rows, ids] for rows with seed ``words`` [rows, 2] int32 at their group ``counter`` [rows].

    ``sites`` [ids] int32 numbers the ids (and frames and channels) within one use, ``site`` the use.
    """
    key = _mixed(words[:, 0] ^ (counter.to(torch.int32) * GOLDEN))
    key = _mixed(key ^ words[:, 1]) + site
    bits = _mixed(_mixed(key[:, None] ^ (sites * GOLDEN)) + key[:, None])
    # 23 bits, so that the half is exact in float32 and the result stays inside (0, 1)
    uniform = ((bits & 0x7FFFFFFF) >> 8).float().add_(0.5).mul_(2.0**-23)
    return uniform.log_().neg_().log_().neg_()


def _mixed(x: Tensor) -> Tensor:
    """A 32-bit integer hash (xor-shift and multiply, constants of "lowbias32" by C. Wellons, public domain)."""
    x = x ^ ((x >> 16) & 0xFFFF)
    x = x * 0x7FEB352D
    x = x ^ ((x >> 15) & 0x1FFFF)
    x = x * _signed(0x846CA68B)
    return x ^ ((x >> 16) & 0xFFFF)


def _signed(word: int) -> int:
    return word - (1 << 32) if word & 0x8000_0000 else word
