"""Reading prompts into rows.

A GPU is done with a prompt before its kernels have been started one by one. So there prompts are read in few shapes,
padded, which are recorded like steps (:mod:`.graphs`). What stands beside a prompt in its shape changes none of its
numbers, and a steady engine's shapes have one size whoever asks, so that it meets the same kernels in any company.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from .device import send
from .graphs import Graphs
from .groups import Groups
from .lm import SpeechLm
from .slots import PromptMemory, Slots, few_lengths

PROMPT_CHUNK = 1024  # groups of one prompt read in one go; bounds the attention mask
PROMPT_BATCH = 4096  # groups, padded, of several prompts read in one go
FEWEST_STEPS, STEPS = 32, 256  # of a shape: powers of two between these, then multiples
STEADY_GROUPS = 256  # read in one go by a steady engine: multiplying them takes about as long as reading the weights
ROW, START, COUNT, TEXT = 0, 1, 2, 3  # columns of what is sent of a prompt; its ids are followed by its codes


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Groups of a prompt, whose keys and values go to a row from position ``start`` on; what is before is there."""

    row: int
    start: int
    groups: Groups

    @property
    def end(self) -> int:
        return self.start + len(self.groups)

    def chunk(self, first: int) -> Part:
        return Part(self.row, self.start + first, self.groups[first : first + PROMPT_CHUNK])


@dataclass(frozen=True, slots=True)
class Shape:
    """Whatever decides which kernels run. Parts of one shape can share a recording."""

    prompts: int
    steps: int
    length: int  # keys seen by attention; 0: prompts that begin at position 0 see themselves
    audio: bool  # some groups may be audio


class Reader:
    """Reads prompts of one model into one set of slots."""

    def __init__(self, lm: SpeechLm, slots: Slots, empty_id: int, graphs: Graphs | None, *, steady: bool) -> None:
        """``graphs``: of a device with a queue, else None; ``steady``: numbers depend on no other prompt's length."""
        self.lm, self.slots, self.empty_id, self.graphs, self.steady = lm, slots, empty_id, graphs, steady
        config = lm.config
        self._cells = config.group_size * config.channels
        if graphs is not None:  # where recordings find what they read, and leave what they made
            most = PROMPT_BATCH // FEWEST_STEPS
            room = most * TEXT + PROMPT_BATCH * (1 + self._cells)
            self._given = torch.zeros(room, dtype=torch.int32, device=lm.device)
            self._last = torch.zeros(most, config.hidden_size, dtype=lm.dtype, device=lm.device)

    def read(self, prompts: list[Part]) -> None:
        """Read prompts into their rows, and leave their last hidden states there."""
        longest = max(len(prompt.groups) for prompt in prompts)
        for first in range(0, longest, PROMPT_CHUNK):  # a later chunk sees the keys of those before it
            chunks = [prompt.chunk(first) for prompt in prompts if len(prompt.groups) > first]
            for shape, parts in self._few_shapes(chunks) if self.graphs is not None else self._own_shapes(chunks):
                self._read(shape, parts)

    def _own_shapes(self, parts: list[Part]) -> Iterator[tuple[Shape, list[Part]]]:
        """What is read together, as long as the longest of it."""
        parts = sorted(parts, key=lambda part: -len(part.groups))
        while parts:
            steps = len(parts[0].groups)
            count = 1 if self.steady else max(1, PROMPT_BATCH // steps)
            some, parts = parts[:count], parts[count:]
            length = max(part.end for part in some) if any(part.start for part in some) else 0
            yield Shape(len(some), steps, length, self._speak(some)), some

    def _few_shapes(self, parts: list[Part]) -> Iterator[tuple[Shape, list[Part]]]:
        """What is read together, and the shape that it is padded to."""
        alike = defaultdict[tuple[int, int], list[Part]](list)
        for part in parts:
            length = few_lengths(part.end, self.slots.room) if part.start else 0
            alike[_few_steps(len(part.groups)), length].append(part)
        for (steps, length), some in alike.items():
            most = max(1, (STEADY_GROUPS if self.steady else PROMPT_BATCH) // steps)
            for first in range(0, len(some), most):
                together = some[first : first + most]
                prompts = most if self.steady else min(most, _power(len(together)))
                yield Shape(prompts, steps, length, self._speak(together)), together

    def _speak(self, parts: list[Part]) -> bool:
        return any(bool((part.groups.text == self.empty_id).any()) for part in parts)

    def _read(self, shape: Shape, parts: list[Part]) -> None:
        sent = send(self._table(shape, parts), self.lm.device)
        if self.graphs is None:
            last = self._hidden(shape, sent)
        else:
            self._given[: sent.numel()] = sent.view(-1)
            self.graphs.run(shape, partial(self._read_given, shape))
            last = self._last
        # rows with more to come are overwritten by their next chunk
        self.slots.hidden[sent[: len(parts), ROW].long()] = last[: len(parts)]

    def _table(self, shape: Shape, parts: list[Part]) -> Tensor:
        """What there is to know of each prompt of a shape; a place that nobody has holds nothing, in the first row."""
        table = torch.zeros(shape.prompts, self._columns(shape), dtype=torch.int32)
        table[:, ROW] = parts[0].row
        for line, part in zip(table, parts, strict=False):
            count, codes = len(part.groups), TEXT + shape.steps
            line[ROW], line[START], line[COUNT] = part.row, part.start, count
            line[TEXT : TEXT + count] = part.groups.text
            line[codes : codes + count * self._cells] = part.groups.codes.reshape(-1)
        return table

    def _columns(self, shape: Shape) -> int:
        return TEXT + shape.steps * (1 + self._cells)

    def _read_given(self, shape: Shape) -> None:
        """At fixed places, as recordings need it."""
        columns = self._columns(shape)
        given = self._given[: shape.prompts * columns].view(shape.prompts, columns)
        self._last[: shape.prompts] = self._hidden(shape, given)

    def _hidden(self, shape: Shape, table: Tensor) -> Tensor:
        """Write keys and values; the normed hidden state [prompts, hidden] of each prompt's last group."""
        lm, codes = self.lm, TEXT + shape.steps
        rows, starts, counts = table[:, :TEXT].long().unbind(1)
        text = table[:, TEXT:codes].long().flatten()
        x = lm.embed_text(text)
        if shape.audio:
            groups = table[:, codes:].long().view(-1, lm.config.group_size, lm.config.channels)
            x = torch.where((text == self.empty_id)[:, None], lm.embed_audio(groups), x)
        memory = PromptMemory(self.slots, rows, starts, counts, shape.steps, shape.length)
        x = lm.backbone(x.view(shape.prompts, shape.steps, -1), memory.positions, memory)
        places = torch.arange(shape.prompts, device=x.device)
        return lm.backbone.normed(x[places, (counts - 1).clamp(min=0)])


def _few_steps(count: int) -> int:
    """At least ``count``."""
    return max(FEWEST_STEPS, _power(count)) if count <= STEPS else -(-count // STEPS) * STEPS


def _power(count: int) -> int:
    """The power of two that is at least ``count``."""
    return 1 << (count - 1).bit_length()
