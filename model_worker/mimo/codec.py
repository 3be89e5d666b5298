"""The audio tokenizer: recordings to code frames and code frames to waves, batched, of any length.

A batch gives each item what it would get alone. Long audio has two ways: ``Seams.REFERENCE`` cuts hard every
60 s, as the public implementation does; ``Seams.SMOOTH`` lets windows overlap and joins them where both have context.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from .checkpoint import Checkpoint, settle
from .config import CodecConfig
from .decoder import Decoded, Decoder
from .device import exact, send, settled
from .encoder import Encoder
from .errors import AudioError, CheckpointError
from .gate import GATE
from .mel import MelFrontEnd
from .quantizer import Quantizer
from .waves import ShapedWaves

SEGMENT_MEL = 6000  # mel frames (60 s) that the reference encodes as one segment
CALL_MEL = 256_000  # mel frames that the reference packs into one call at most
CHUNK_FRAMES = 1500  # code frames (60 s) that the reference decodes at once
OVERLAP_FRAMES = 250  # code frames (10 s) that smooth windows share: the context of the reference's streaming decoder
FADE_FRAMES = 12  # code frames (0.48 s) over which two smooth windows are cross-faded
BATCH_FRAMES = 24_000  # padded code frames in one batch of the encoder or decoder, about 16 minutes


class Seams(enum.Enum):
    """How the parts of a long recording are joined."""

    REFERENCE = "reference"
    SMOOTH = "smooth"


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of mel frames to encode, and how long the reference would have padded it."""

    mel: Tensor
    padded_to: int


class Codec(nn.Module):
    """Encoder, quantizer, decoder and vocoder with their weights on one device."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quantizer = Quantizer(config.codebook_sizes, config.d_model)
        self.decoder = Decoder(config)
        self.mel: MelFrontEnd

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Self:
        """Load the official folder; quantizer, vocoder and mel stay float32 whatever ``dtype`` is.

        Raises ConfigError or CheckpointError naming the file, field or tensor.
        """
        config = CodecConfig.read(folder)
        with Checkpoint(folder) as checkpoint:
            checkpoint.check_counts(config.families)
            with torch.device("meta"):
                for part, prefix in cls(config)._parts():
                    checkpoint.check(part, prefix)
            codec = cls.empty(config, device, dtype)
            for part, prefix in codec._parts():
                checkpoint.fill(part, prefix)
        return codec

    def _parts(self) -> tuple[tuple[nn.Module, str], ...]:
        """What the file has weights for, and what their names begin with there."""
        return (
            (self.encoder, "encoder."),
            (self.quantizer, "encoder.quantizer."),
            (self.decoder, "decoder."),
        )

    @classmethod
    def empty(cls, config: CodecConfig, device: torch.device | str, dtype: torch.dtype) -> Self:
        """All parameters in place, uninitialised."""
        device = settled(device)
        exact(device)
        with torch.device("meta"):
            codec = cls(config)
        with GATE.at_work():
            settle(codec.encoder, device, dtype)
            settle(codec.decoder, device, dtype)
            settle(codec.decoder.vocoder, device, torch.float32)
            settle(codec.quantizer, device, torch.float32)
            codec.mel = MelFrontEnd(config, device)
        return codec.eval()

    @property
    def device(self) -> torch.device:
        return self.encoder.conv1.weight.device

    # encoding

    def check_length(self, samples: int) -> None:
        """Refuse a recording longer than the model's own limit; raises :class:`AudioError`."""
        limit = self.config.max_audio_s
        if samples > limit * self.config.sampling_rate_hz:
            seconds = samples / self.config.sampling_rate_hz
            raise AudioError(
                f"a recording of {seconds:.0f} s is longer than the {limit:.0f} s the tokenizer takes",
                hint="cut it at silences first",
            )

    def frames(self, samples: int, seams: Seams) -> int:
        """How many code frames :meth:`encode` makes of a recording of so many samples."""
        mel = samples // self.config.hop_length + 1
        overlap = OVERLAP_FRAMES if seams is Seams.SMOOTH else 0
        starts = _window_starts(mel, SEGMENT_MEL, overlap * self.config.mel_per_frame)
        made = sum(self.encoder.frames(min(SEGMENT_MEL, mel - start)) for start in starts)
        return made - overlap * (len(starts) - 1)

    @torch.inference_mode()
    def encode(self, waves: list[Tensor], codebooks: int, seams: Seams = Seams.REFERENCE) -> list[Tensor]:
        """Code ids [codebooks, frames] of each wave [samples] float32 at the tokenizer's rate."""
        self._check_codebooks(codebooks)
        for wave in waves:
            self.check_length(len(wave))
        mels = [self.mel(send(wave, self.device)) for wave in waves]
        cut = [self._reference_pieces(mel) if seams is Seams.REFERENCE else self._smooth_pieces(mel) for mel in mels]
        states = iter(self.states([piece for pieces in cut for piece in pieces]))
        results = []
        for pieces in cut:
            codes = [self.quantizer.encode(next(states), codebooks) for _ in pieces]
            results.append(torch.cat(codes, 1) if seams is Seams.REFERENCE else _joined_codes(codes))
        return results

    def states(self, pieces: list[Piece]) -> list[Tensor]:
        """Hidden states [frames, d_model] before the quantizer, batched by length."""
        out: list[Tensor | None] = [None] * len(pieces)
        for batch in _batches([self.encoder.frames(len(piece.mel)) for piece in pieces]):
            chosen = [pieces[index] for index in batch]
            hidden = self.encoder([piece.mel for piece in chosen], [piece.padded_to for piece in chosen])
            for index, states in zip(batch, hidden, strict=True):
                out[index] = states
        return [states for states in out if states is not None]

    def _reference_pieces(self, mel: Tensor) -> list[Piece]:
        segments = torch.split(mel, SEGMENT_MEL)
        pieces: list[Piece] = []
        call: list[Tensor] = []
        for segment in segments:
            if call and sum(map(len, call)) + len(segment) > CALL_MEL:
                pieces += [Piece(part, max(map(len, call))) for part in call]
                call = []
            call.append(segment)
        return pieces + [Piece(part, max(map(len, call))) for part in call]

    def _smooth_pieces(self, mel: Tensor) -> list[Piece]:
        overlap = OVERLAP_FRAMES * self.config.mel_per_frame
        starts = _window_starts(len(mel), SEGMENT_MEL, overlap)
        parts = [mel[start : start + SEGMENT_MEL] for start in starts]
        return [Piece(part, len(part)) for part in parts]

    # decoding

    def decode_once(self, items: list[Tensor]) -> tuple[Tensor, Decoded]:
        """Decode code ids [codebooks, frames] of each item, on the host, in one batch; also the summed code vectors.

        All items must have the same number of codebooks.
        """
        lengths = [item.shape[1] for item in items]
        codes = torch.zeros(items[0].shape[0], len(lengths), max(lengths), dtype=torch.long)
        for row, item in enumerate(items):
            self.check_codes(item)
            codes[:, row, : item.shape[1]] = item
        vectors = self.quantizer.decode(send(codes, self.device))
        return vectors, self.decoder(vectors, send(torch.tensor(lengths), self.device))

    @torch.inference_mode()
    def decode(
        self, items: list[Tensor], seams: Seams = Seams.REFERENCE, *, shaped: ShapedWaves | None = None
    ) -> list[Tensor]:
        """Waves [frames * samples_per_frame] float32 of code ids [codebooks, frames].

        ``shaped``: how batches are decoded in few shapes; without it they are as large as may be.
        """
        smooth = seams is Seams.SMOOTH
        overlap = OVERLAP_FRAMES if smooth else 0
        parts: list[Tensor] = []
        counts: list[int] = []
        for item in items:
            starts = _window_starts(item.shape[1], CHUNK_FRAMES, overlap)
            parts += [item[:, start : start + CHUNK_FRAMES] for start in starts]
            counts.append(len(starts))
        lengths = [part.shape[1] for part in parts]
        waves: dict[int, Tensor] = {}
        for batch in _batches(lengths) if shaped is None else shaped.batches(lengths):
            some = [parts[index] for index in batch]
            waves.update(zip(batch, (self._together if shaped is None else shaped.decode)(some), strict=True))
        results, first = [], 0
        for count in counts:
            own = [waves[index] for index in range(first, first + count)]
            results.append(self._faded(own) if smooth else torch.cat(own))
            first += count
        return results

    def _together(self, items: list[Tensor]) -> list[Tensor]:
        """Waves of one batch."""
        made, size = self.decode_once(items)[1].waves, self.config.samples_per_frame
        return [wave[: item.shape[1] * size] for wave, item in zip(made, items, strict=True)]

    def _faded(self, waves: list[Tensor]) -> Tensor:
        """Join windows that share ``OVERLAP_FRAMES``: linear cross-fade in the middle of the shared stretch."""
        overlap, fade = (frames * self.config.samples_per_frame for frames in (OVERLAP_FRAMES, FADE_FRAMES))
        before = (overlap - fade) // 2
        ramp = (torch.arange(fade, device=self.device) + 0.5) / fade
        joined = waves[0]
        for wave in waves[1:]:
            start = len(joined) - overlap + before
            mixed = joined[start : start + fade] * (1 - ramp) + wave[before : before + fade] * ramp
            joined = torch.cat((joined[:start], mixed, wave[before + fade :]))
        return joined

    def _check_codebooks(self, codebooks: int) -> None:
        if codebooks > len(self.config.codebook_sizes):
            raise CheckpointError(
                Path("config.json"),
                f"{codebooks} codebooks are asked for, but the tokenizer has {len(self.config.codebook_sizes)}",
                hint="model and tokenizer folders do not belong together",
            )

    def check_codes(self, item: Tensor) -> None:
        """Refuse code ids [codebooks, frames] that are none or outside their tables; raises :class:`AudioError`."""
        if not item.shape[1]:
            raise AudioError("there are no code frames to decode")
        self._check_codebooks(item.shape[0])
        sizes = torch.tensor(self.config.codebook_sizes[: item.shape[0]], device=item.device)[:, None]
        if bool(((item < 0) | (item >= sizes)).any()):
            raise AudioError("code ids outside their codebooks cannot be decoded")


@dataclass
class StreamingDecoder:
    """Decodes frames as they come, as the reference's streaming helper does: 10 s of context, 1.6 s held back."""

    codec: Codec
    left_overlap: int = OVERLAP_FRAMES
    right_overlap: int = 40
    _kept: Tensor | None = field(default=None, repr=False)
    _done: int = 0

    @torch.inference_mode()
    def feed(self, codes: Tensor, *, last: bool = False) -> Tensor:
        """Add code ids [codebooks, frames]; returns the samples that are ready, all that is left when ``last``."""
        kept = codes if self._kept is None else torch.cat((self._kept, codes), 1)
        length = kept.shape[1]
        ready = length if last else length - self.right_overlap
        wave = torch.zeros(0)
        if ready <= 0:
            self._done = 0
        else:
            size = self.codec.config.samples_per_frame
            wave = self.codec.decode_once([kept])[1].waves[0][self._done * size : ready * size]
            self._done = ready
            if length > self.left_overlap:
                self._done -= length - self.left_overlap
                kept = kept[:, -self.left_overlap :]
        self._kept = kept
        return wave


def _joined_codes(codes: list[Tensor]) -> Tensor:
    """Half of each overlap from the window before, half from the one after: both have 5 s of context there."""
    half = OVERLAP_FRAMES // 2
    kept = []
    for number, part in enumerate(codes):
        first = half if number else 0
        last = part.shape[1] if number == len(codes) - 1 else part.shape[1] - (OVERLAP_FRAMES - half)
        kept.append(part[:, first:last])
    return torch.cat(kept, 1)


def _window_starts(length: int, window: int, overlap: int) -> list[int]:
    """Where windows begin so that each but the first shares ``overlap`` with the one before and none is needless."""
    step = window - overlap
    return [start for start in range(0, max(length, 1), step) if start == 0 or length - start > overlap]


def _batches(lengths: list[int]) -> list[list[int]]:
    """Neighbours by length, the longest first, as many as stay within ``BATCH_FRAMES`` when padded."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= BATCH_FRAMES:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
