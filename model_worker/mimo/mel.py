"""From a waveform to the encoder's input: resampling to 24 kHz and the natural-log mel spectrogram.

The formulas are those of torchaudio's ``resample`` and ``MelSpectrogram`` with the reference's settings
(magnitude, periodic Hann, reflect padding, HTK scale, no area normalisation); all of it is float32.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from .config import CodecConfig
from .errors import AudioError

LOWPASS_ZEROS = 6  # torchaudio's lowpass_filter_width
ROLLOFF = 0.99
MEL_FLOOR = 1e-7  # smaller magnitudes count as this
KERNEL_LIMIT = 50_000_000  # taps; real rates share a large divisor and need far less
BLOCK_FRAMES = 6000  # frames transformed at once, so that an hour needs no more memory than a minute


def resample(wave: Tensor, rate_hz: int, target_hz: int) -> Tensor:
    """Change the rate of ``wave`` [samples] by windowed-sinc interpolation: [ceil(samples * target / rate)]."""
    if rate_hz <= 0:
        raise AudioError(f"a sample rate of {rate_hz} Hz means nothing")
    if rate_hz == target_hz:
        return wave
    divisor = math.gcd(rate_hz, target_hz)
    old, new = rate_hz // divisor, target_hz // divisor
    kernel, width = _sinc_kernel(old, new)
    padded = functional.pad(wave, (width, width + old))
    phases: Tensor = functional.conv1d(padded[None, None], kernel.to(wave.device), stride=old)
    return phases[0].t().reshape(-1)[: math.ceil(new * len(wave) / old)]


@lru_cache(maxsize=16)
def _sinc_kernel(old: int, new: int) -> tuple[Tensor, int]:
    base = ROLLOFF * min(old, new)
    width = math.ceil(LOWPASS_ZEROS * old / base)
    if new * (2 * width + old) > KERNEL_LIMIT:
        raise AudioError(
            f"rates in the ratio {old}:{new} need too long a filter", hint="resample to 24000 or 48000 Hz first"
        )
    taps = torch.arange(-width, width + old, dtype=torch.float64) / old
    phases = torch.arange(new, dtype=torch.float64) / new
    t = ((taps[None] - phases[:, None]) * base).clamp(-LOWPASS_ZEROS, LOWPASS_ZEROS)
    weight = torch.special.sinc(t) * torch.cos(math.pi * t / (2 * LOWPASS_ZEROS)) ** 2 * base / old
    return weight[:, None].to(torch.float32), width


class MelFrontEnd:
    """Waveforms at the tokenizer's rate to log-mel frames; its tables live on one device."""

    def __init__(self, config: CodecConfig, device: torch.device) -> None:
        self.config = config
        self.window = torch.hann_window(config.window_size, periodic=True, device=device)
        self.bank = _mel_bank(config).to(device)

    def __call__(self, wave: Tensor) -> Tensor:
        """Log-mel frames [samples // hop + 1, n_mels] of ``wave`` [samples] float32 in [-1, 1]."""
        config = self.config
        half = config.nfft // 2
        if len(wave) <= half:
            raise AudioError(
                f"a recording needs more than {half} samples at {config.sampling_rate_hz} Hz, but has {len(wave)}",
                hint="leave out recordings this short; they hold no speech",
            )
        padded = functional.pad(wave[None], (half, half), mode="reflect")[0]
        frames = len(wave) // config.hop_length + 1
        blocks = []
        for start in range(0, frames, BLOCK_FRAMES):
            last = min(start + BLOCK_FRAMES, frames) - 1
            part = padded[start * config.hop_length : last * config.hop_length + config.nfft]
            spectrum = torch.stft(
                part,
                config.nfft,
                config.hop_length,
                config.window_size,
                self.window,
                center=False,
                return_complex=True,
            ).abs()
            blocks.append(spectrum.t() @ self.bank)
        return torch.cat(blocks).clamp(min=MEL_FLOOR).log()


def _mel_bank(config: CodecConfig) -> Tensor:
    """Triangles [nfft // 2 + 1, n_mels], equally spaced on the HTK mel scale."""
    bins_hz = torch.linspace(0, config.sampling_rate_hz // 2, config.nfft // 2 + 1)
    low, high = (2595.0 * math.log10(1.0 + hz / 700.0) for hz in (config.fmin_hz, config.fmax_hz))
    corners_hz = 700.0 * (10.0 ** (torch.linspace(low, high, config.n_mels + 2) / 2595.0) - 1.0)
    gaps = corners_hz[1:] - corners_hz[:-1]
    slopes = corners_hz[None] - bins_hz[:, None]
    falling = -slopes[:, :-2] / gaps[:-1]
    rising = slopes[:, 2:] / gaps[1:]
    return torch.clamp(torch.minimum(falling, rising), min=0.0)
