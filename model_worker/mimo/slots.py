"""Where running requests live on the device: one row each, in tensors that never move or grow.

Rows 0..n-1 are running. A row that ends is filled by moving the last one into it, so a step always works on the
front of every tensor, and a captured graph can name its memory once and for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .compiled import Cells
from .device import send
from .groups import Groups
from .lm import SpeechLm
from .qwen import QwenStack
from .sampler import Sampling, SamplingRows, Uses, seed_words

MOST_STOPS = 8  # stop ids a request may have
LINE_GROUPS = 64
FEW_LENGTHS, FEW_LENGTHS_LONG, LONG = (
    256,
    1024,
    2048,
)  # attention reads keys in multiples of this; from a length on, this

# columns of what a row is at, and of its settings; those of two have one for text and one for audio
POSITION, MADE, MIN_NEW, MUTE, WORDS, TOP_K, GREEDY, TEMPERATURE, TOP_P, STOPS = 0, 1, 2, 3, 4, 6, 8, 10, 12, 14
COLUMNS = STOPS + MOST_STOPS


@dataclass(frozen=True, slots=True)
class Settings:
    """What a row needs to know of its request."""

    text: Sampling
    audio: Sampling
    seed: int
    stops: tuple[int, ...]
    min_new: int
    max_new: int
    speaks: bool = True  # it may choose audio groups

    def columns(self, position: int, no_stop: int) -> NDArray[np.int32]:
        """A row of ``Slots.state`` that has read ``position`` groups."""
        row = np.full(COLUMNS, no_stop, np.int32)
        row[[POSITION, MADE, MIN_NEW, MUTE]] = position, 0, self.min_new, not self.speaks
        row[WORDS : WORDS + 2] = seed_words(self.seed)
        row[STOPS : STOPS + len(self.stops)] = self.stops
        fractions = row.view(np.float32)
        for kind, how in enumerate((self.text, self.audio)):
            row[TOP_K + kind], row[GREEDY + kind] = min(how.top_k, no_stop), how.greedy
            fractions[TEMPERATURE + kind], fractions[TOP_P + kind] = how.temperature, how.top_p
        return row


IDLE = Settings(Sampling(greedy=True), Sampling(greedy=True), 0, (), 0, 0)  # of a row that nobody has


def slot_bytes(lm: SpeechLm, groups: int) -> int:
    """What one row of :class:`Slots` takes, the few numbers of its state aside."""
    config = lm.config
    keys_and_values = 2 * config.layers * config.kv_heads * _room(groups) * config.head_dim * lm.dtype.itemsize
    return keys_and_values + (groups + 1) * (1 + config.group_size * config.channels) * torch.int32.itemsize


def few_lengths(longest: int, room: int) -> int:
    """The keys that attention reads for ``longest``: few different numbers, so that what is recorded serves often."""
    multiple = FEW_LENGTHS if longest <= LONG else FEW_LENGTHS_LONG
    return min(-(-longest // multiple) * multiple, room)


def _room(groups: int) -> int:
    """One group more than can be used, where padding is written; in whole lines, as attention wants its keys."""
    return -(-(groups + 1) // LINE_GROUPS) * LINE_GROUPS


class Slots:
    """Keys, values, states, settings and histories of up to ``count`` requests of up to ``groups`` groups."""

    def __init__(self, lm: SpeechLm, count: int, groups: int) -> None:
        config, device = lm.config, lm.device
        self.count, self.groups, self.heads = count, groups, config.heads
        self.no_stop = config.vocab_size  # pads the stop ids: one id beyond the vocabulary
        self.room = _room(groups)
        # keys, values; zeros, since what is masked must still be finite
        shape = (2, config.layers, count, config.kv_heads, self.room, config.head_dim)
        self.cache = torch.zeros(shape, device=device, dtype=lm.dtype)
        self.hidden = torch.zeros(count, config.hidden_size, device=device, dtype=lm.dtype)
        # what a step needs to know of each row, and the same on the host, which counts along as steps are launched
        self.host: NDArray[np.int32] = np.tile(IDLE.columns(0, self.no_stop), (count, 1))
        self.host_most: NDArray[np.int64] = np.zeros(count, dtype=np.int64)
        self.state = torch.from_numpy(self.host.copy()).to(device)
        self.fractions = self.state.view(torch.float32)
        # of each generated group the text id, then its codes
        cells = 1 + config.group_size * config.channels
        self.history = torch.zeros(count, groups + 1, cells, dtype=torch.int32, device=device)
        self.latest = torch.zeros(count, dtype=torch.long, device=device)
        self._frames = (config.group_size, config.channels)

    def place(self, first: int, rows: list[tuple[int, Settings]]) -> None:
        """Set up rows ``first``.., whose prompts of so many groups have been read or will be."""
        part = slice(first, first + len(rows))
        self.host[part] = [settings.columns(position, self.no_stop) for position, settings in rows]
        self.host_most[part] = [settings.max_new for _, settings in rows]
        self.state[part] = send(torch.from_numpy(self.host[part].copy()), self.state.device)

    def move(self, source: int, target: int) -> None:
        """Move a running row to a free place."""
        length = int(self.host[source, POSITION])
        self.cache[:, :, target, :, :length] = self.cache[:, :, source, :, :length]
        made = int(self.host[source, MADE])
        self.history[target, :made] = self.history[source, :made]
        for tensor in (self.hidden, self.state):
            tensor[target] = tensor[source]
        self.host[target] = self.host[source]
        self.host_most[target] = self.host_most[source]

    def how(self, kind: int, rows: int, uses: Uses) -> SamplingRows:
        """Sampling settings of the first ``rows`` rows; ``kind`` 0 is text, 1 is audio."""
        whole, fractions = self.state[:rows], self.fractions[:rows]
        return SamplingRows(
            fractions[:, TEMPERATURE + kind],
            whole[:, TOP_K + kind].long() if uses.top_k else whole[:, TOP_K + kind],
            fractions[:, TOP_P + kind],
            whole[:, GREEDY + kind].bool(),
            uses,
        )

    def histories(self, rows: list[int], made: list[int]) -> Tensor:
        """The first generated groups of some rows, one below the other: [all of them, 1 + frames * channels]."""
        return torch.cat([self.history[row, :count] for row, count in zip(rows, made, strict=True)])

    def groups_of(self, histories: Tensor, made: list[int]) -> list[Groups]:
        """The groups of each row of :meth:`histories`, once they are on the host."""
        return [
            Groups(part[:, 0].long(), part[:, 1:].long().view(-1, *self._frames))
            for part in torch.split(histories, made)
        ]

    def prefix(self, row: int, length: int) -> Tensor:
        """A copy of the keys and values of a row's first groups: [2, layers, kv_heads, length, head_dim]."""
        return self.cache[:, :, row, :, :length].clone()

    def restore(self, row: int, prefix: Tensor) -> None:
        """Put a copy of a prefix back at the front of a row."""
        self.cache[:, :, row, :, : prefix.shape[3]] = prefix


class StepMemory:
    """One new group per row: written at the row's position, attending to all of its groups so far."""

    def __init__(self, slots: Slots, rows: int, length: int) -> None:
        self.slots, self.rows, self.length = slots, rows, length
        device = slots.cache.device
        self.index = torch.arange(rows, device=device)
        self.position = slots.state[:rows, POSITION].long().clamp_(max=slots.groups)

    @cached_property
    def mask(self) -> Tensor:
        """What is added to the scores: [rows, 1, 1, length]."""
        seen = torch.arange(self.length, device=self.position.device) <= self.position[:, None]
        blind = torch.zeros(seen.shape, dtype=self.slots.cache.dtype, device=seen.device)
        return blind.masked_fill_(~seen, float("-inf"))[:, None, None]

    def attend(self, layer: int, q: Tensor, kv: Tensor) -> Tensor:
        cache = self.slots.cache[:, layer]
        heads, shared, width = q.shape[1], kv.shape[1] // 2, q.shape[3]
        cache[:, self.index, :, self.position] = kv.view(self.rows, 2, shared, width)
        keys, values = cache[:, : self.rows, :, : self.length]
        # the query heads that share a key head become steps of it: no copy of keys, and every backend can do it
        folded = q.reshape(self.rows, shared, heads // shared, width)
        return functional.scaled_dot_product_attention(folded, keys, values, attn_mask=self.mask).reshape(q.shape)

    def cells(self, _stack: QwenStack, _rows: int, _steps: int) -> Cells:
        keys, values = self.slots.cache
        return Cells(keys, values, self.position, self.length)


class PromptMemory:
    """Many groups per prompt, each in a row of its own and from its own position on; padding goes to the group that is
    never used."""

    def __init__(self, slots: Slots, rows: Tensor, starts: Tensor, counts: Tensor, steps: int, length: int) -> None:
        """``rows``, ``starts``, ``counts`` [prompts]; ``length`` keys are seen, or (0) what a prompt that starts at
        position 0 has itself."""
        self.slots, self.length = slots, length
        step = torch.arange(steps, device=rows.device)
        self.positions = starts[:, None] + step
        self.target = self.positions.masked_fill(step >= counts[:, None], slots.groups)
        self.rows = rows[:, None]
        self.positions.clamp_(max=slots.groups - 1)

    @cached_property
    def mask(self) -> Tensor:
        """Which keys are seen: [prompts, 1, steps, length]."""
        return (torch.arange(self.length, device=self.rows.device) <= self.positions[..., None])[:, None]

    @cached_property
    def by_head(self) -> Tensor:
        """The key head that each query head shares: [heads]."""
        heads = torch.arange(self.slots.heads, device=self.rows.device)
        return heads // (self.slots.heads // self.slots.cache.shape[3])

    def attend(self, layer: int, q: Tensor, kv: Tensor) -> Tensor:
        cache = self.slots.cache[:, layer]
        prompts, heads, steps, width = q.shape
        shared = kv.shape[1] // 2
        cache[:, self.rows, :, self.target] = kv.transpose(1, 2).reshape(prompts, steps, 2, shared, width)
        if not self.length:
            k, v = kv.chunk(2, 1)
            return functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=heads > shared)
        k, v = cache[:, self.rows, self.by_head, : self.length]  # one copy, with each key head as often as it is shared
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=self.mask)

    def cells(self, _stack: QwenStack, _rows: int, _steps: int) -> None:
        """Many rows, of different lengths."""
