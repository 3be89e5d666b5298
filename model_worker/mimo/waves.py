"""Decoding waves on a GPU: a few at a time, padded to one of few shapes.

Kernels that depend on shapes then give an item the same bits in any company, one wave costs as much as several, and
what a shape does can be recorded (:mod:`.graphs`): starting the kernels one by one takes longer than their work.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .device import send
from .graphs import Graphs

if TYPE_CHECKING:
    from .codec import Codec

ITEMS, FRAMES = 4, 50  # of a shape: so many items, each padded to a multiple of so many frames


class ShapedWaves:
    """Decodes items of up to ``longest`` code frames of one codec."""

    def __init__(self, codec: Codec, codebooks: int, longest: int, graphs: Graphs) -> None:
        self.graphs = graphs
        self._codec, self._codebooks = codec, codebooks
        room, size = ITEMS * _padded(longest), codec.config.samples_per_frame
        # where recordings find what they decode, and leave what they made
        self._given = torch.zeros(ITEMS + codebooks * room, dtype=torch.int32, device=codec.device)
        self._made = torch.zeros(room * size, device=codec.device)

    def batches(self, lengths: list[int]) -> list[list[int]]:
        """What is decoded together: those of one padded length, a few at a time, the longest first."""
        order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
        groups = [list(group) for _, group in itertools.groupby(order, lambda index: _padded(lengths[index]))]
        return [group[at : at + ITEMS] for group in groups for at in range(0, len(group), ITEMS)]

    def decode(self, items: list[Tensor]) -> list[Tensor]:
        """Waves [samples] of a batch of code ids [codebooks, frames], which are on the host."""
        lengths = [item.shape[1] for item in items]
        frames, size = _padded(max(lengths)), self._codec.config.samples_per_frame
        codes = torch.zeros(self._codebooks, ITEMS, frames, dtype=torch.int32)
        for row, item in enumerate(items):
            self._codec.check_codes(item)
            codes[:, row, : item.shape[1]] = item
        counts = torch.tensor([*lengths, *[frames] * (ITEMS - len(items))], dtype=torch.int32)
        sent = torch.cat((counts, codes.flatten()))
        self._given[: len(sent)] = send(sent, self._given.device)
        self.graphs.run(frames, partial(self._decode, frames))
        waves = self._waves(frames)
        return [wave[: length * size].clone() for wave, length in zip(waves, lengths, strict=False)]

    def _decode(self, frames: int) -> None:
        codes = self._given[ITEMS:][: self._codebooks * ITEMS * frames].view(self._codebooks, ITEMS, frames)
        vectors = self._codec.quantizer.decode(codes.long())
        self._waves(frames)[:] = self._codec.decoder(vectors, self._given[:ITEMS].long()).waves

    def _waves(self, frames: int) -> Tensor:
        samples = frames * self._codec.config.samples_per_frame
        return self._made[: ITEMS * samples].view(ITEMS, samples)


def _padded(frames: int) -> int:
    return -(-frames // FRAMES) * FRAMES
