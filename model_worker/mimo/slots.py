"""Where running requests live on the device: one row each, in tensors that never move or grow.

Rows 0..n-1 are running. A row that ends is filled by moving the last one into it, so a step always works on the
front of every tensor, and a captured graph can name its memory once and for all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .compiled import Cells
from .groups import Groups
from .lm import SpeechLm
from .qwen import QwenStack
from .sampler import Sampling, SamplingRows, Uses, seed_words

MOST_STOPS = 8  # stop ids a request may have


@dataclass(frozen=True, slots=True)
class Settings:
    """What a row needs to know of its request."""

    text: Sampling
    audio: Sampling
    seed: int
    stops: tuple[int, ...]
    min_new: int
    max_new: int


class Slots:
    """Keys, values, states, settings and histories of up to ``count`` requests of up to ``groups`` groups."""

    def __init__(self, lm: SpeechLm, count: int, groups: int) -> None:
        config, device = lm.config, lm.device
        self.count, self.groups = count, groups
        self.no_stop = config.vocab_size  # pads the stop ids: one id beyond the vocabulary
        # one group more than can be used: where padding is written
        shape = (config.layers, count, config.kv_heads, groups + 1, config.head_dim)
        self.keys = torch.zeros(shape, device=device, dtype=lm.dtype)  # zeros: what is masked must still be finite
        self.values = torch.zeros_like(self.keys)
        self.hidden = torch.zeros(count, config.hidden_size, device=device, dtype=lm.dtype)
        self.position = torch.zeros(count, dtype=torch.long, device=device)
        self.made = torch.zeros(count, dtype=torch.long, device=device)
        self.words = torch.zeros(count, 2, dtype=torch.int32, device=device)
        self.stops = torch.full((count, MOST_STOPS), self.no_stop, device=device)
        self.min_new = torch.zeros(count, dtype=torch.long, device=device)
        self.sampling = torch.ones(2, 2, count, device=device)  # text, audio; temperature, top_p
        self.top_k = torch.zeros(2, count, dtype=torch.long, device=device)
        self.greedy = torch.ones(2, count, dtype=torch.bool, device=device)
        self.text = torch.zeros(count, groups + 1, dtype=torch.int32, device=device)
        self.codes = torch.zeros(
            count, groups + 1, config.group_size, config.channels, dtype=torch.int16, device=device
        )
        self.latest = torch.zeros(count, dtype=torch.long, device=device)
        # what the host has to know of each row without asking the device
        self.host_stops: NDArray[np.int64] = np.full((count, MOST_STOPS), self.no_stop, dtype=np.int64)
        self.host_counts: NDArray[np.int64] = np.zeros((4, count), dtype=np.int64)  # position, made, min_new, max_new

    @property
    def _rows(self) -> list[Tensor]:
        return [self.hidden, self.position, self.made, self.words, self.stops, self.min_new, self.text, self.codes]

    def place(self, row: int, position: int, settings: Settings) -> None:
        """Set up a row whose prompt of ``position`` groups has been read."""
        stops = settings.stops
        self.position[row] = position
        self.made[row] = 0
        self.min_new[row] = settings.min_new
        self.words[row] = torch.tensor(seed_words(settings.seed), dtype=torch.int32)
        for kind, how in enumerate((settings.text, settings.audio)):
            self.sampling[kind, :, row] = torch.tensor([how.temperature, how.top_p])
            self.top_k[kind, row] = how.top_k
            self.greedy[kind, row] = how.greedy
        self.host_stops[row] = self.no_stop
        self.host_stops[row, : len(stops)] = stops
        self.stops[row] = torch.from_numpy(self.host_stops[row])
        self.host_counts[:, row] = (position, 0, settings.min_new, settings.max_new)

    def move(self, source: int, target: int) -> None:
        """Move a running row to a free place."""
        length = int(self.host_counts[0, source])
        for cache in (self.keys, self.values):
            cache[:, target, :, :length] = cache[:, source, :, :length]
        for tensor in self._rows:
            tensor[target] = tensor[source]
        for settings in (self.sampling, self.top_k, self.greedy):
            settings[..., target] = settings[..., source]
        self.host_stops[target] = self.host_stops[source]
        self.host_counts[:, target] = self.host_counts[:, source]

    def how(self, kind: int, rows: int, uses: Uses) -> SamplingRows:
        """Sampling settings of the first ``rows`` rows; ``kind`` 0 is text, 1 is audio."""
        temperature, top_p = self.sampling[kind, :, :rows]
        return SamplingRows(temperature, self.top_k[kind, :rows], top_p, self.greedy[kind, :rows], uses)

    def history(self, row: int, made: int) -> Groups:
        """The first ``made`` generated groups of a row, on the CPU."""
        return Groups(self.text[row, :made].cpu().long(), self.codes[row, :made].cpu().long())

    def prefix(self, row: int, length: int) -> tuple[Tensor, Tensor]:
        """A copy of the keys and values of a row's first groups: two [layers, kv_heads, length, head_dim]."""
        return self.keys[:, row, :, :length].clone(), self.values[:, row, :, :length].clone()

    def restore(self, row: int, prefix: tuple[Tensor, Tensor]) -> None:
        """Put a copy of a prefix back at the front of a row."""
        keys, values = prefix
        self.keys[:, row, :, : keys.shape[2]] = keys
        self.values[:, row, :, : values.shape[2]] = values


class StepMemory:
    """One new group per row: written at the row's position, attending to all of its groups so far."""

    def __init__(self, slots: Slots, rows: int, length: int) -> None:
        self.slots, self.rows, self.length = slots, rows, length
        device = slots.keys.device
        self.index = torch.arange(rows, device=device)
        self.position = slots.position[:rows].clamp(max=slots.groups)
        seen = torch.arange(length, device=device)[None] <= self.position[:, None]
        blind = torch.zeros(seen.shape, dtype=slots.keys.dtype, device=device)
        self.mask = blind.masked_fill_(~seen, float("-inf"))[:, None, None]

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        keys, values = self.slots.keys[layer], self.slots.values[layer]
        keys[self.index, :, self.position] = k[:, :, 0]
        values[self.index, :, self.position] = v[:, :, 0]
        keys, values = keys[: self.rows, :, : self.length], values[: self.rows, :, : self.length]
        # the query heads that share a key head become steps of it: no copy of keys, and every backend can do it
        heads, shared, width = q.shape[1], k.shape[1], q.shape[3]
        folded = q.reshape(self.rows, shared, heads // shared, width)
        return functional.scaled_dot_product_attention(folded, keys, values, attn_mask=self.mask).reshape(q.shape)

    def cells(self, _stack: QwenStack, _rows: int, _steps: int) -> Cells:
        at = self.position.numpy()
        return Cells(self.slots.keys, self.slots.values, at, at + 1)


class PromptMemory:
    """Many groups per row, each row starting at its own position; padding goes to the group that is never used."""

    def __init__(self, slots: Slots, first: int, starts: list[int], lengths: list[int]) -> None:
        self.slots, self.first, self.fresh = slots, first, not any(starts)
        device = slots.keys.device
        steps = torch.arange(max(lengths), device=device)
        self.positions = torch.tensor(starts, device=device)[:, None] + steps
        inside = steps < torch.tensor(lengths, device=device)[:, None]
        self.target = self.positions.masked_fill(~inside, slots.groups)
        self.index = torch.arange(first, first + len(starts), device=device)[:, None]
        self.length = max(start + length for start, length in zip(starts, lengths, strict=True))
        self.positions.clamp_(max=slots.groups - 1)
        self.mask = (torch.arange(self.length, device=device) <= self.positions[..., None])[:, None]

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        keys, values = self.slots.keys[layer], self.slots.values[layer]
        keys[self.index, :, self.target] = k.transpose(1, 2)
        values[self.index, :, self.target] = v.transpose(1, 2)
        times = q.shape[1] // k.shape[1]
        if self.fresh:
            return functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=times > 1)
        rows = slice(self.first, self.first + len(q))
        k, v = (cache[rows, :, : self.length].repeat_interleave(times, 1) for cache in (keys, values))
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=self.mask)

    def cells(self, _stack: QwenStack, _rows: int, _steps: int) -> None:
        """Many rows, of different lengths."""
