"""The packets of a picture: a list of them by hash and time, which proves that a delivery shows the same frames.

The list is ffmpeg's ``framehash``: one line a packet, with its time stamps, size and a 128-bit murmur3, at the speed
the file can be read. A stream that carries its parameter sets inside (MPEG-TS) is cut differently in MP4, so both sides
are first brought to one form without them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speechmill.programs import Limits
from speechmill.recipes import Recipe
from tasks.media import ffmpeg
from tasks.media.probing import Media, Picture

VERSION = "2"
ANNEX_B_CONTAINERS = frozenset({"mpegts", "mpeg", "avi"})
UNTIMED = frozenset({"avi", "mpeg", "mpegts"})
"""Containers that may say of a frame when it is decoded and not when it is shown: ffmpeg has to work that out."""
NAKED = {
    # Parameter sets and access unit delimiters out (ITU-T H.264 table 7-1, H.265 table 7-1).
    "h264": "h264_mp4toannexb,filter_units=remove_types=7|8|9",
    "hevc": "hevc_mp4toannexb,filter_units=remove_types=32|33|34|35",
}
"""Bitstream filters after which a packet is only its slices and messages, whatever container it came from."""
LIMITS = Limits(wall_s=3600, memory_bytes=ffmpeg.MEMORY_BYTES)


@dataclass(frozen=True, eq=False, slots=True)
class Packets:
    """What a picture is made of."""

    digest: str  # of all sizes and hashes, in decoding order
    starts_s: NDArray[np.float64]  # when each packet is shown, counted from the first to be shown, ascending
    frame_s: float  # of the last one

    @property
    def count(self) -> int:
        return len(self.starts_s)

    @property
    def duration_s(self) -> float:
        return float(self.starts_s[-1]) + self.frame_s if self.count else 0.0


def recipe(media: Media) -> Recipe:
    """The recipe of the source's list."""
    return Recipe("list-packets", VERSION, inputs=[media.sha256])


def naked(media: Media) -> bool:
    """Whether packets of this source are compared without their parameter sets."""
    return media.container in ANNEX_B_CONTAINERS and media.picture is not None and media.picture.codec in NAKED


def source(media: Media, **options: object) -> ffmpeg.Node:
    """The film as an input whose frames all have a time."""
    timing = {"fflags": "+genpts"} if media.container in UNTIMED else {}
    return ffmpeg.source(media.path, **timing, **options)


def listing(source: ffmpeg.Node, stream: str, codec: str, out: Path, *, naked: bool) -> ffmpeg.Node:
    """The output that lists a stream's packets into ``out``."""
    filters = {"bsf:v": NAKED[codec]} if naked else {}
    return source[stream].output(f"file:{out.absolute()}", c="copy", f="framehash", hash="murmur3", **filters)


def list_packets(source: ffmpeg.Node, stream: str, codec: str, out: Path, *, naked: bool) -> None:
    """List the packets of one stream (``0`` or ``v:0``), reading the file once without decoding anything."""
    ffmpeg.execute(listing(source, stream, codec, out, naked=naked), limits=LIMITS)


def read(path: Path) -> Packets:
    """A list that was made by ``listing``."""
    digest, shown, durations, tick_s = hashlib.sha256(), [], [], 1.0
    with path.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith("#tb "):
                above, below = line.split(":")[1].split("/")
                tick_s = int(above) / int(below)
            elif not line.startswith("#"):
                _, _, pts, duration, size, murmur = (part.strip() for part in line.split(",")[:6])
                digest.update(f"{size},{murmur}\n".encode())
                shown.append(int(pts))
                durations.append(int(duration))
    if not shown:
        return Packets(digest.hexdigest(), np.zeros(0), 0.0)
    times = np.asarray(shown, dtype=np.int64)
    last = int(np.argmax(times))
    return Packets(digest.hexdigest(), (np.sort(times) - times.min()) * tick_s, durations[last] * tick_s)


def same_frames(picture: Picture, source: Packets, delivery: Packets) -> bool:
    """Whether two lists have the same packets, shown at the same times to within half a frame."""
    if source.digest != delivery.digest or source.count != delivery.count:
        return False
    return bool(np.all(np.abs(source.starts_s - delivery.starts_s) <= picture.frame_s / 2))
