"""The vocoder: a small windowed transformer that predicts a spectrum per mel frame, and the inverse STFT.

Always float32: it holds one hundredth of the weights, and the reference's bfloat16 here costs audible precision.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import Blocks, Sight, length_mask
from .checkpoint import Parts, parts_of
from .config import CodecConfig
from .projection import Projection

LOUDEST = 100.0  # the reference clips magnitudes here


class Vocoder(nn.Module):
    """Coarse mel frames to samples: ``hop_length`` for each frame."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Projection(config.n_mels, config.vocoder_dim)
        self.blocks = Blocks(
            config.vocoder_layers, config.vocoder_dim, config.vocoder_heads, config.vocoder_ffn_dim, config.rope_theta
        )
        self.out = Projection(config.vocoder_dim, config.nfft + 2, bias=True)

    def parts(self, prefix: str) -> Parts:
        yield from parts_of(self.embeddings, f"{prefix}embeddings.")
        yield from parts_of(self.blocks, prefix)
        yield from parts_of(self.out, f"{prefix}head.out.")

    def forward(self, mel: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[items, frames, n_mels] to the hidden states [items, frames, vocoder_dim] and waves [items, samples]."""
        left, right = self.config.vocoder_window
        hidden = self.blocks(self.embeddings(mel), Sight(left, right, lengths, mel.shape[1]))
        log_magnitude, phase = self.out(hidden).chunk(2, -1)
        spectrum = torch.polar(log_magnitude.exp().clamp(max=LOUDEST), phase)
        return hidden, self._overlap_add(spectrum, lengths)

    def _overlap_add(self, spectrum: Tensor, lengths: Tensor) -> Tensor:
        """Inverse STFT with "same" padding, each item over its own frames: of its row, the first ``hop_length *
        length`` samples; what is behind them means nothing."""
        config = self.config
        window = torch.hann_window(config.window_size, periodic=True, device=spectrum.device)
        count = spectrum.shape[1]
        inside = length_mask(lengths, count).float()
        frames = torch.fft.irfft(spectrum, config.nfft, -1) * window * inside[..., None]
        envelopes = window.square().expand(len(lengths), count, -1) * inside[..., None]
        wave, envelope = _add_frames(frames, config.hop_length), _add_frames(envelopes, config.hop_length)
        edge = (config.window_size - config.hop_length) // 2
        kept = slice(edge, edge + config.hop_length * count)
        return wave[:, kept] / envelope[:, kept]


def _add_frames(frames: Tensor, hop: int) -> Tensor:
    """Sum overlapping frames [items, count, size] at every ``hop`` samples: [items, samples]."""
    count, size = frames.shape[1:]
    samples = (count - 1) * hop + size
    return functional.fold(frames.transpose(1, 2), (1, samples), (1, size), stride=(1, hop))[:, 0, 0]
