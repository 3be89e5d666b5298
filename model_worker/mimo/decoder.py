"""The tokenizer's decoder: code frames (25 Hz) to a coarse mel (100 Hz); the vocoder makes the wave of it.

Both norms of the up-convolutions take mean and variance over **all channels and all steps of one item**, so a
chunk's sound depends on the whole chunk. Statistics are taken per item here, over its own steps only, and a
batch gives each item what it would get alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .blocks import Blocks, Sight, length_mask
from .checkpoint import Parts, parts_of
from .config import CodecConfig
from .vocoder import Vocoder


class Decoded(NamedTuple):
    """What decoding a batch gives, stage by stage; padded beyond each item's own length."""

    coarse_mel: Tensor  # [items, frames, n_mels]
    vocoder_hidden: Tensor  # [items, frames, vocoder_dim]
    waves: Tensor  # [items, samples] float32


class UpConvolution(nn.Module):
    """A transposed convolution followed by GroupNorm with one group, of which the overhang is cut after the norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose1d(inputs, outputs, kernel, stride)
        self.norm = nn.GroupNorm(1, outputs, eps=1e-5)
        self.kernel = kernel
        self.stride = stride

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[items, steps, inputs] to [items, steps * stride, outputs], and the new lengths."""
        inside = length_mask(lengths, x.shape[1])
        x = self.conv(
            (x * inside[..., None].to(x.dtype)).transpose(1, 2)
        )  # padding must not reach an item's last steps
        counted = length_mask((lengths - 1) * self.stride + self.kernel, x.shape[2])[:, None].float()
        counts = counted.sum(2, keepdim=True) * x.shape[1]
        wide = x.float()
        mean = (wide * counted).sum((1, 2), keepdim=True) / counts
        centred = wide - mean
        variance = ((centred * counted) ** 2).sum((1, 2), keepdim=True) / counts
        normed = (centred * torch.rsqrt(variance + self.norm.eps)).to(x.dtype)
        x = normed * self.norm.weight[:, None] + self.norm.bias[:, None]
        return x.transpose(1, 2)[:, : x.shape[2] - (self.kernel - self.stride)], lengths * self.stride


class Decoder(nn.Module):
    """Up-convolution, causal stack, up-convolution, vocoder (which stays in float32)."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        width = config.d_model
        self.config = config
        self.dconv1 = UpConvolution(width, width, config.pool, config.pool)
        self.blocks = Blocks(
            config.decoder_layers, width, config.decoder_heads, config.decoder_ffn_dim, config.rope_theta
        )
        self.dconv2 = UpConvolution(width, config.n_mels, config.decoder_kernel_size, config.decoder_stride)
        self.vocoder = Vocoder(config)

    def parts(self, prefix: str) -> Parts:
        yield from parts_of(self.dconv1, f"{prefix}dconv1.")
        yield from parts_of(self.blocks, prefix)
        yield from parts_of(self.dconv2, f"{prefix}dconv2.")
        yield from parts_of(self.vocoder, f"{prefix}vocoder.")

    def forward(self, vectors: Tensor, lengths: Tensor) -> Decoded:
        """Decode summed code vectors [items, longest, d_model] with ``lengths`` [items] frames each."""
        x, steps = self.dconv1(vectors.to(self.dconv1.conv.weight.dtype), lengths)
        left, right = self.config.decoder_window
        x = self.blocks(x, Sight(left, right, steps, x.shape[1]))
        coarse, frames = self.dconv2(x, steps)
        hidden, waves = self.vocoder(coarse.float(), frames)
        return Decoded(coarse, hidden, waves)
