"""The tokenizer's encoder: log-mel frames (100 Hz) to hidden states at the code rate (25 Hz)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import Blocks, Sight, length_mask
from .checkpoint import Parts, parts_of
from .config import CodecConfig
from .device import send


class Encoder(nn.Module):
    """Two convolutions, a bidirectional stack with one skip, and a strided pool."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        width = config.d_model
        self.config = config
        self.conv1 = nn.Conv1d(config.n_mels, width, config.kernel_size, padding=1)
        self.conv2 = nn.Conv1d(width, width, config.kernel_size, stride=config.stride, padding=1)
        self.blocks = Blocks(
            config.encoder_layers, width, config.encoder_heads, config.encoder_ffn_dim, config.rope_theta
        )
        self.pool = nn.Conv1d(width, width, config.pool, stride=config.pool, bias=False) if config.pool > 1 else None
        self.pool_norm = nn.LayerNorm(width, eps=1e-5)

    def parts(self, prefix: str) -> Parts:
        yield from parts_of(self.conv1, f"{prefix}conv1.")
        yield from parts_of(self.conv2, f"{prefix}conv2.")
        yield from parts_of(self.blocks, prefix)
        if self.pool is not None:
            yield from parts_of(self.pool, f"{prefix}down_sample_layer.0.")
            yield from parts_of(self.pool_norm, f"{prefix}down_sample_norm.")

    def states(self, mel_frames: int) -> int:
        """How many states the convolutions make of so many mel frames."""
        kernel = self.config.kernel_size
        return (mel_frames + 3 - kernel + 2 - kernel) // self.config.stride + 1

    def frames(self, mel_frames: int) -> int:
        """How many code frames come out for so many mel frames."""
        return -(-self.states(mel_frames) // self.config.pool)

    def forward(self, mels: list[Tensor], padded_to: list[int]) -> list[Tensor]:
        """Encode items [frames, n_mels] in one batch: hidden states [code frames, d_model] of each, float32.

        ``padded_to`` holds for each item the length that the reference would have padded it to: its own length
        makes the result that of the item alone; the length of the longest segment of its recording reproduces how
        the reference treats a shorter last segment (its two convolutions run on into zeros, and the pool repeats
        the last state instead of appending zeros).
        """
        dtype, device = self.conv1.weight.dtype, mels[0].device
        lengths = [len(mel) for mel in mels]
        # one kernel beyond the item is all that its last state can see of the padding
        reach = [min(to, length + self.config.kernel_size) for to, length in zip(padded_to, lengths, strict=True)]
        x = torch.zeros(len(mels), max(reach), self.config.n_mels, dtype=dtype, device=device)
        for row, mel in zip(x, mels, strict=True):
            row[: len(mel)] = mel
        x = functional.gelu(self.conv1(x.transpose(1, 2)))
        x = x * length_mask(send(torch.tensor(reach), device), x.shape[2])[:, None].to(dtype)
        x = functional.gelu(self.conv2(x)).transpose(1, 2)
        states = [self.states(length) for length in lengths]
        x = x[:, : max(states)]
        left, right = self.config.encoder_window
        inside, longest = send(torch.tensor(states), device), max(states)
        sight = Sight(left, right, inside, longest, whole=min(states) == longest)
        x = self.blocks(x, sight, self.config.encoder_skip_layer)
        if self.pool is not None:
            repeats = [count < self.states(to) for count, to in zip(states, padded_to, strict=True)]
            x = self._pooled(x, inside, send(torch.tensor(repeats), device))
        return [row[: self.frames(length)].float() for row, length in zip(x, lengths, strict=True)]

    def _pooled(self, x: Tensor, states: Tensor, repeats: Tensor) -> Tensor:
        """``states``, ``repeats`` [items]: how many each has, and whether the last is repeated to fill the pool."""
        assert self.pool is not None
        pool = self.config.pool
        steps = torch.arange(-(-x.shape[1] // pool) * pool, device=x.device)
        last = states[:, None] - 1
        x = x.gather(1, steps.minimum(last)[..., None].expand(-1, -1, x.shape[-1]))
        keep = (steps[None] <= last) | repeats[:, None]
        x = functional.gelu(self.pool((x * keep[..., None].to(x.dtype)).transpose(1, 2))).transpose(1, 2)
        pooled: Tensor = self.pool_norm(x)
        return pooled
