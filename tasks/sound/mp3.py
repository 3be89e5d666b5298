"""MP3 in parts that join frame by frame.

Frames borrow bits from those before them (the bit reservoir); without that, and at a constant rate, every frame stands
alone and has the same number of bytes. What the encoder still remembers is forgotten within a second and a half, so a
part that is encoded with 3 s of the sound before it has, bit for bit, the frames of one long encode. The joined file
begins with a frame that says how many frames follow, and how much of the run-up and of the last frame is not heard:
what a player plays is the master to the sample.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speechmill.errors import ToolFailed
from speechmill.lines import RATE_HZ
from speechmill.recipes import Json
from tasks.media import ffmpeg
from tasks.sound.encoding import Frames, concatenate, encode_sound
from tasks.sound.layouts import Layout
from tasks.sound.loudness import Sound

FRAME_SAMPLES = 1152
PREROLL_FRAMES = 128
"""3.1 s. Measured on speech, speech that fades, music and noise: after 64 frames 1 join of 36 still had other bits,
after 128 none had."""
POSTROLL_FRAMES = 4  # the encoder looks ahead two
ENCODER_DELAY_SAMPLES = 576  # LAME's; a decoder adds 529 of its own, and knows of them
HEADER_BYTES = 4
INFO_AT = {1: 21, 2: 36}  # after the header and a side information of 17 bytes for mono, 32 for stereo
INFO_FLAGS = 0b1111  # frames, bytes, contents and quality are given
CONTENTS = 100
TAG_BYTES = 36  # of LAME's part, with its check sum


@dataclass(frozen=True, slots=True)
class Mp3:
    """MP3 at 48 kHz and a constant rate, mono or stereo.

    Constant: every player seeks to the right place by arithmetic alone, and hosts that put advertisements in can cut
    at any frame. 48 kHz: nothing is resampled between the master and the listener (Apple and Spotify take 44.1 or 48).
    Rates: Apple's audio requirements ask for 96 to 128 kbit/s for mono and 128 to 256 for stereo; ours leave room for
    music under speech.
    """

    layout: Layout
    mono_kbps: int = 96
    stereo_kbps: int = 160
    name: str = field(default="mp3", init=False)

    @property
    def kbps(self) -> int:
        return self.mono_kbps if self.layout.channels == 1 else self.stereo_kbps

    @property
    def frame_bytes(self) -> int:
        return self.kbps * 1000 // 8 * FRAME_SAMPLES // RATE_HZ

    @property
    def in_parts(self) -> bool:
        return self.layout.channels <= 2

    @property
    def settings(self) -> dict[str, Json]:
        return {"kbps": self.kbps}

    def frames(self, start_samples: int, end_samples: int, length_samples: int) -> Frames:
        """Those that begin in the part ``start:end``; the last part has all that are left."""
        first = -(-start_samples // FRAME_SAMPLES)
        end = -(-end_samples // FRAME_SAMPLES)
        hear_from = max(0, first - PREROLL_FRAMES)
        last = end_samples >= length_samples
        return Frames(
            first - hear_from,
            None if last else end - first,
            hear_from * FRAME_SAMPLES,
            length_samples if last else min(length_samples, (end + POSTROLL_FRAMES) * FRAME_SAMPLES),
        )

    def write_part(self, blocks: Iterable[Sound], frames: Frames, out: Path) -> None:
        """Encode the sound ``hear_from:hear_to`` and keep the frames that the part owns."""
        whole = out.with_name(out.name + ".whole")
        # A part of a few samples may have no frame of its own and still owns what the encoder lets go of at the end.
        encode_sound(
            blocks, self.layout, frames, whole, "mp3",
            {"c:a": "libmp3lame", "b:a": f"{self.kbps}k", "reservoir": 0, "write_xing": 0, "id3v2_version": 0},
        )  # fmt: skip
        data, size = whole.read_bytes(), self.frame_bytes
        whole.unlink()
        count = len(data) // size
        last = count if frames.count is None else frames.skipped + frames.count
        if len(data) % size or count < last or any(data[at] != 0xFF for at in range(0, len(data), size)):
            raise ToolFailed("the MP3 encoder wrote something that is not a frame", hint="see `speechmill doctor`")
        out.write_bytes(data[frames.skipped * size : last * size])

    def join(self, parts: Sequence[Path], length_samples: int, out: Path) -> None:
        """The whole file, without any tag."""
        count = sum(part.stat().st_size for part in parts) // self.frame_bytes
        with parts[0].open("rb") as file:
            header = file.read(HEADER_BYTES)
        concatenate(parts, out, self._info(header, count, length_samples))

    def encode_whole(self, master: Path, out: Path) -> None:
        """Encode a lossless master in one piece, where ``in_parts`` says no: in stereo."""
        options = {"c:a": "libmp3lame", "b:a": f"{self.kbps}k", "ac": 2, "ar": RATE_HZ, "id3v2_version": 0}
        ffmpeg.execute(
            ffmpeg.source(master)["a:0"].output(
                f"file:{out}", f="mp3", write_id3v1=0, map_metadata=-1, reservoir=0, **options
            )
        )

    def _info(self, header: bytes, count: int, length_samples: int) -> bytes:
        """The frame before the first one, that sounds like nothing (the “Xing” or “Info” frame, with LAME's part)."""
        size, at = self.frame_bytes, INFO_AT[self.layout.channels]
        padding = count * FRAME_SAMPLES - ENCODER_DELAY_SAMPLES - length_samples
        whole_bytes = (count + 1) * size
        contents = bytes(256 * (1 + math.floor(count * n / CONTENTS)) // (count + 1) for n in range(CONTENTS))
        frame = header.ljust(at, b"\0") + b"Info" + struct.pack(">III", INFO_FLAGS, count, whole_bytes)
        frame += contents + bytes(4)
        delays = ENCODER_DELAY_SAMPLES << 12 | padding
        lame = b"LAME3.100" + bytes(12) + delays.to_bytes(3, "big") + bytes(4) + struct.pack(">I", whole_bytes)
        frame += lame + bytes(2)  # the check sum of the sound: not told
        assert len(frame) == at + 16 + CONTENTS + 4 + TAG_BYTES - 2
        return (frame + _crc16(frame).to_bytes(2, "big")).ljust(size, b"\0")


def _crc16(data: bytes) -> int:
    """CRC-16/ARC, least significant bit first."""
    rest = 0
    for byte in data:
        rest ^= byte
        for _ in range(8):
            rest = rest >> 1 ^ (0xA001 if rest & 1 else 0)
    return rest
