"""The boxes an MP4 file is made of: finding them, and writing the one that ffmpeg does not.

MP4 carries a language twice (ISO/IEC 14496-12): three letters of ISO 639-2/T in ``mdhd``, which ffmpeg writes, and the
whole BCP-47 tag in ``elng``, which it does not; without it ``pt-BR`` and ``zh-Hant`` are ``por`` and ``zho``. An
``elng`` is put in afterwards without moving a byte of anything else: the muxer is asked for a handler name that is
longer than meant by exactly the size of the box, and the box takes that room.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from speechmill.errors import NotPublishable

PADDING = " "
TRACK_ENABLED = 1  # a flag of ``tkhd``
FLAGS_LOW_BYTE = 3


@dataclass(frozen=True, slots=True)
class Box:
    """Where one box is in its file; ``content`` is the first byte after its header."""

    kind: bytes
    start: int
    content: int
    end: int  # as its header claims; the file may be shorter


def walk(file: BinaryIO, start: int, end: int) -> Iterator[Box]:
    """The boxes one after the other between two places of a file; ends at the first that is none."""
    while start + 8 <= end:
        file.seek(start)
        head = file.read(16)
        if len(head) < 8:
            return
        size, kind = struct.unpack(">I4s", head[:8])
        content = start + 8
        if size == 1 and len(head) == 16:
            size, content = struct.unpack(">Q", head[8:])[0], start + 16
        elif size == 0:  # to the end of what holds it
            size = end - start
        if size < content - start:
            return
        yield Box(kind, start, content, start + size)
        start += size


def find(file: BinaryIO, inside: Box, *path: bytes) -> Box | None:
    """The first box of each kind within the one before."""
    for kind in path:
        inside_now = next((box for box in walk(file, inside.content, inside.end) if box.kind == kind), None)
        if inside_now is None:
            return None
        inside = inside_now
    return inside


def elng(tag: str) -> bytes:
    """An extended language box."""
    text = tag.encode("ascii") + b"\0"
    return struct.pack(">I4sI", 12 + len(text), b"elng", 0) + text


def padded(handler_name: str, tag: str) -> str:
    """The handler name to give the muxer, so that ``write_languages`` finds room for ``tag``."""
    return handler_name + PADDING * len(elng(tag))


def write_languages(path: Path, tags: Sequence[str | None]) -> None:
    """Give the tracks of an MP4 file their BCP-47 tags, in order; ``None`` leaves a track as it is.

    Raises ``NotPublishable`` where the file is not as ``padded`` asked for.
    """
    with path.open("r+b") as file:
        medias = [media for track in _tracks(file) if (media := find(file, track, b"mdia"))]
        if len(medias) < len(tags):
            raise NotPublishable(f"{path.name} has {len(medias)} tracks, not {len(tags)}", hint="run again")
        for media, tag in zip(medias, tags, strict=False):
            if tag is not None:
                _make_room(file, media, elng(tag), path)


def read_languages(path: Path) -> list[str | None]:
    """The BCP-47 tag of each track of an MP4 file; ``None`` where a track has none."""
    with path.open("rb") as file:
        found: list[str | None] = []
        for track in _tracks(file):
            box = find(file, track, b"mdia", b"elng")
            if box is None:
                found.append(None)
                continue
            file.seek(box.content + 4)
            found.append(file.read(box.end - box.content - 4).rstrip(b"\0").decode("ascii", "replace"))
        return found


def switch_off(path: Path, tracks: Sequence[int]) -> None:
    """Have tracks shown only when somebody chooses them. ffmpeg switches on the first of every kind, so without this
    the subtitles of a dub would be shown to those who listen to it."""
    with path.open("r+b") as file:
        found = _tracks(file)
        for number in tracks:
            header = find(file, found[number], b"tkhd")
            if header is None:
                raise NotPublishable(f"{path.name} has a track without a header", hint="run again")
            file.seek(header.content + FLAGS_LOW_BYTE)
            flags = file.read(1)[0]
            file.seek(header.content + FLAGS_LOW_BYTE)
            file.write(bytes([flags & ~TRACK_ENABLED]))


def _tracks(file: BinaryIO) -> list[Box]:
    movie = find(file, Box(b"", 0, 0, file.seek(0, 2)), b"moov")
    return [] if movie is None else [box for box in walk(file, movie.content, movie.end) if box.kind == b"trak"]


def _make_room(file: BinaryIO, media: Box, box: bytes, path: Path) -> None:
    """Shorten the handler's name by the box and put the box before it; both keep to the room the handler had."""
    handler = find(file, media, b"hdlr")
    if handler is None:
        raise NotPublishable(f"{path.name} has a track without a handler", hint="run again")
    file.seek(handler.start)
    old = file.read(handler.end - handler.start)
    room = (PADDING * len(box)).encode() + b"\0"
    if not old.endswith(room):
        raise NotPublishable(f"{path.name} has no room for the language of a track", hint="run again")
    kept = old[8 : -len(room)] + b"\0"
    file.seek(handler.start)
    file.write(box + struct.pack(">I4s", 8 + len(kept), b"hdlr") + kept)
