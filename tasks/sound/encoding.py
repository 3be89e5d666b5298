"""Lossy coders, AAC in parts that join frame by frame, and the other files a master leaves in.

A frame of AAC overlaps the one before it, so every part is encoded with a little of the sound on either side, and of
what comes out only its own frames are kept. The joined frames are those of one long encode, but made on all cores,
and after an edit only the part that changed is made again.
"""

from __future__ import annotations

import contextlib
import shutil
import struct
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from speechmill.errors import ToolFailed
from speechmill.languages import iso639_2t
from speechmill.lines import RATE_HZ
from speechmill.profiles import Encoding
from speechmill.recipes import Json
from tasks.media import ffmpeg
from tasks.sound.layouts import AAC_AS, Layout
from tasks.sound.loudness import Sound

FRAME_SAMPLES = 1024
PREROLL_FRAMES = 128
"""2.7 s. The encoder spends bits by what it has heard so far, and is about 4 dB noisier in the first seconds of any
file than later; measured on music, this much brings the beginning of a part within 2 dB of one long encode."""
POSTROLL_FRAMES = 4  # it looks ahead two
ADTS_HEADER_BYTES = 7
WAV_BYTES = 3  # 24 bit
_RIFF_MOST_BYTES = (1 << 32) - 1 - 64
_COPY_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class Frames:
    """Which frames of a programme's encoded stream a part owns, and the sound that the encoder must hear for them."""

    skipped: int  # frames of run-up to throw away
    count: int | None  # None: all that come
    hear_from_samples: int
    hear_to_samples: int  # beyond the programme's end it is silent

    @classmethod
    def of(cls, start_samples: int, end_samples: int, length_samples: int) -> Frames:
        """Those of AAC for the part ``start:end`` of a programme; parts begin at whole frames.

        Frame ``k`` of a stream is heard from sample ``(k − 1) · 1024`` on: the first one is the encoder's run-up.
        """
        first = start_samples // FRAME_SAMPLES
        last = end_samples // FRAME_SAMPLES if end_samples < length_samples else -(-length_samples // FRAME_SAMPLES) + 1
        hear_from = max(0, first - PREROLL_FRAMES)
        return cls(
            first - hear_from,
            last - first,
            hear_from * FRAME_SAMPLES,
            # The encoder is fed silence past the end of the programme until it has let go of every frame.
            (last + POSTROLL_FRAMES) * FRAME_SAMPLES,
        )


class Coder(Protocol):
    """A lossy form that a master is delivered in, made in parts that join where that can be."""

    @property
    def name(self) -> str:
        """What files of it end in."""

    @property
    def in_parts(self) -> bool:
        """Whether this sound can be encoded in parts."""

    @property
    def settings(self) -> dict[str, Json]:
        """What the recipes of its files hold."""

    def frames(self, start_samples: int, end_samples: int, length_samples: int) -> Frames:
        """What the part ``start:end`` of a programme owns and must hear."""

    def write_part(self, blocks: Iterable[Sound], frames: Frames, out: Path) -> None:
        """Encode the sound ``hear_from:hear_to`` (silence where ``blocks`` end early); keep the frames of the part."""

    def join(self, parts: Sequence[Path], length_samples: int, out: Path) -> None:
        """Join parts into a file that is heard from sample 0 to the last."""

    def encode_whole(self, master: Path, out: Path) -> None:
        """Encode a lossless master in one piece, where ``in_parts`` says no."""


@dataclass(frozen=True, slots=True)
class Aac:
    """AAC in an MP4."""

    layout: Layout
    encoding: Encoding
    language: str
    comment: str = ""  # that the file carries
    name: str = field(default="m4a", init=False)

    @property
    def in_parts(self) -> bool:
        return can_join(self.layout, self.encoding)

    @property
    def settings(self) -> dict[str, Json]:
        return {
            "codec": self.encoding.codec,
            "kbps_per_channel": self.encoding.bitrate_kbps_per_channel,
            "language": self.language,
            **({"comment": self.comment} if self.comment else {}),
        }

    def frames(self, start_samples: int, end_samples: int, length_samples: int) -> Frames:
        return Frames.of(start_samples, end_samples, length_samples)

    def write_part(self, blocks: Iterable[Sound], frames: Frames, out: Path) -> None:
        write_aac_part(blocks, self.layout, self.encoding, frames, out)

    def join(self, parts: Sequence[Path], length_samples: int, out: Path) -> None:
        join_aac(parts, length_samples, self.language, out, self.comment)

    def encode_whole(self, master: Path, out: Path) -> None:
        encode_whole(master, self.layout, self.encoding, self.language, out, self.comment)


def can_join(layout: Layout, encoding: Encoding) -> bool:
    """Whether this sound can be encoded in parts: AAC, in a layout that its frames have a number for."""
    return encoding.codec == "aac" and layout.name in AAC_AS


def write_aac_part(blocks: Iterable[Sound], layout: Layout, encoding: Encoding, frames: Frames, out: Path) -> None:
    """Encode the sound ``hear_from:hear_to`` (silence where ``blocks`` end early) and keep the frames the part owns."""
    assert frames.count is not None
    whole = out.with_name(out.name + ".whole")
    encode_sound(blocks, layout, frames, whole, "adts", _aac(layout, encoding))
    data = whole.read_bytes()
    starts = _frame_starts(data)
    if len(starts) - 1 < frames.skipped + frames.count:
        raise ToolFailed("the AAC encoder left out the end of a part", hint="run again; see `speechmill doctor`")
    out.write_bytes(data[starts[frames.skipped] : starts[frames.skipped + frames.count]])
    whole.unlink()


def encode_sound(
    blocks: Iterable[Sound], layout: Layout, frames: Frames, out: Path, form: str, options: dict[str, object]
) -> None:
    """Encode the sound that ``frames`` must hear into a bare stream of frames; silence where ``blocks`` end early."""
    sound = ffmpeg.pcm_pipe(RATE_HZ, layout.channels, AAC_AS[layout.name])
    node = sound.output(f"file:{out}", f=form, **options)
    length_samples = frames.hear_to_samples - frames.hear_from_samples
    limits = ffmpeg.lasting(length_samples / RATE_HZ)
    with ffmpeg.running(node, stdin=subprocess.PIPE, limits=limits) as process:
        _feed(process, blocks, length_samples, layout.channels)
        ffmpeg.finish(process)


def _aac(layout: Layout, encoding: Encoding) -> dict[str, object]:
    heard = sum(1 for weight in layout.weights if weight)  # the LFE needs next to nothing
    return {"c:a": encoding.codec, "b:a": f"{encoding.bitrate_kbps_per_channel * max(1, heard)}k"}


def _feed(process: subprocess.Popen[bytes], blocks: Iterable[Sound], length: int, channels: int) -> None:
    assert process.stdin is not None
    fed = 0
    try:
        for block in blocks:
            process.stdin.write(np.ascontiguousarray(block[: length - fed], dtype="<f4").data)
            fed += len(block)
        while fed < length:
            silence = np.zeros((min(length - fed, RATE_HZ), channels), "<f4")
            process.stdin.write(silence.data)
            fed += len(silence)
        process.stdin.close()
    except BrokenPipeError:  # it ended early; what it said is in the error that ``finish`` raises
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    process.stdin = None


def _frame_starts(data: bytes) -> list[int]:
    """Where each ADTS frame begins, and where the last one ends."""
    starts, at = [], 0
    while at + ADTS_HEADER_BYTES <= len(data):
        if data[at] != 0xFF or data[at + 1] & 0xF0 != 0xF0:
            raise ToolFailed("the AAC encoder wrote something that is not a frame", hint="report this")
        starts.append(at)
        at += (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    return [*starts, at]


def join_aac(parts: Sequence[Path], length_samples: int, language: str, out: Path, comment: str = "") -> None:
    """Join AAC parts into an ``.m4a`` whose sample 0 is heard at time 0 and which is as long as the programme.

    The run-up of the encoder is left out by the file's edit list, as in any MP4 that ffmpeg writes.
    """
    joined = out.with_name(out.name + ".aac")
    concatenate(parts, joined)
    last = -(-length_samples // FRAME_SAMPLES)
    ending = length_samples - (last - 1) * FRAME_SAMPLES
    shorten = f"setts=duration='if(eq(N,{last}),DURATION*{ending}/{FRAME_SAMPLES},DURATION)'"
    run_up = f"{-FRAME_SAMPLES / RATE_HZ:.9f}"
    node = ffmpeg.source(joined, itsoffset=run_up).output(
        f"file:{out}", f="ipod", **{"c:a": "copy", "bsf:a": f"aac_adtstoasc,{shorten}", **_tags(language, comment)}
    )
    ffmpeg.execute(node)
    joined.unlink()


def encode_whole(master: Path, layout: Layout, encoding: Encoding, language: str, out: Path, comment: str = "") -> None:
    """Encode a lossless master in one piece, where ``can_join`` says no."""
    node = ffmpeg.source(master).output(f"file:{out}", f="ipod", **_aac(layout, encoding), **_tags(language, comment))
    ffmpeg.execute(node)


def _tags(language: str, comment: str) -> dict[str, object]:
    return {
        **({"metadata": f"comment={comment}"} if comment else {}),
        "metadata:s:a:0": f"language={iso639_2t(language)}",
        "movflags": "+faststart",
        "movie_timescale": RATE_HZ,
        "map_metadata": -1,
    }


def write_pcm_part(blocks: Iterable[Sound], out: Path) -> None:
    """Write blocks of any channels as 24-bit little-endian samples without a header."""
    with out.open("wb") as file:
        for block in blocks:
            scaled = np.clip(np.rint(block * np.float32(1 << 23)), -(1 << 23), (1 << 23) - 1).astype("<i4")
            file.write(scaled.view(np.uint8).reshape(-1, 4)[:, :WAV_BYTES].tobytes())


def join_wav(parts: Sequence[Path], channels: int, length_samples: int, out: Path) -> None:
    """Join 24-bit parts into a WAV of one or two channels; RF64 where it is larger than RIFF can say (EBU 3306)."""
    frame_bytes = channels * WAV_BYTES
    data_bytes = length_samples * frame_bytes
    padding = data_bytes % 2
    rates = (RATE_HZ, RATE_HZ * frame_bytes, frame_bytes, WAV_BYTES * 8)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, *rates)
    large = data_bytes > _RIFF_MOST_BYTES
    if large:
        riff_bytes = 4 + 36 + len(form) + 8 + data_bytes + padding
        sizes = struct.pack("<4sIQQQI", b"ds64", 28, riff_bytes, data_bytes, length_samples, 0)
        head = struct.pack("<4sI4s", b"RF64", 0xFFFFFFFF, b"WAVE") + sizes + form
        head += struct.pack("<4sI", b"data", 0xFFFFFFFF)
    else:
        head = struct.pack("<4sI4s", b"RIFF", 4 + len(form) + 8 + data_bytes + padding, b"WAVE") + form
        head += struct.pack("<4sI", b"data", data_bytes)
    concatenate(parts, out, head, bytes(padding))


def concatenate(parts: Sequence[Path], out: Path, head: bytes = b"", tail: bytes = b"") -> None:
    with out.open("wb") as file:
        file.write(head)
        for part in parts:
            with part.open("rb") as piece:
                shutil.copyfileobj(piece, file, _COPY_BYTES)
        file.write(tail)
