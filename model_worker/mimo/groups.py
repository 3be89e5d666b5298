"""Groups: the positions of the language model. One group is a text id, or 160 ms of audio codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .config import LmConfig

NO_TEXT = -100  # what the official matrix holds where a frame has no text id


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """A sequence of groups on the CPU: ``text`` [groups] int64 and ``codes`` [groups, frames, channels] int64.

    A text group holds the channels' empty ids as codes; an audio group holds ``<|empty|>`` as text.
    """

    text: Tensor
    codes: Tensor

    def __len__(self) -> int:
        return len(self.text)

    def __getitem__(self, part: slice) -> Groups:
        return Groups(self.text[part], self.codes[part])

    @staticmethod
    def of_text(ids: list[int], config: LmConfig) -> Groups:
        """One text group for each id."""
        empty = torch.tensor(config.speech_empty).expand(len(ids), config.group_size, -1)
        return Groups(torch.tensor(ids, dtype=torch.long), empty)

    @staticmethod
    def of_audio(codes: Tensor, config: LmConfig, empty_id: int) -> Groups:
        """Audio groups of code ids [codebooks, frames]; the last frame repeats until the group is full."""
        frames = codes[: config.channels].t().cpu().long()
        short = -len(frames) % config.group_size
        frames = torch.cat((frames, frames[-1:].expand(short, -1)))
        grouped = frames.reshape(-1, config.group_size, config.channels)
        return Groups(torch.full((len(grouped),), empty_id), grouped)

    @staticmethod
    def joined(parts: list[Groups]) -> Groups:
        return Groups(torch.cat([part.text for part in parts]), torch.cat([part.codes for part in parts]))

    @staticmethod
    def from_matrix(matrix: Tensor, config: LmConfig) -> Groups:
        """From the official matrix [1 + channels, group_size * groups]: the text row counts at frame 0 of a group."""
        codes = matrix[1:].t().reshape(-1, config.group_size, config.channels)
        return Groups(matrix[0, :: config.group_size].contiguous(), codes.contiguous())

    def matrix(self, *, repeat_text: bool = False) -> Tensor:
        """The official matrix; frames 1.. of a group hold -100 as text, or the id again as generated groups do."""
        frames = self.codes.shape[1]
        text = self.text[:, None].repeat(1, frames)
        if not repeat_text:
            text[:, 1:] = NO_TEXT
        return torch.cat((text.reshape(1, -1), self.codes.reshape(-1, self.codes.shape[2]).t()))

    def key(self) -> bytes:
        """Bytes that name this content; equal for equal groups."""
        text: NDArray[np.int32] = self.text.to(torch.int32).numpy()
        codes: NDArray[np.int32] = self.codes.to(torch.int32).contiguous().numpy()
        return text.tobytes() + codes.tobytes()
