"""What a file is by its own first bytes, and whether it is all there, before any program opens it.

A name says nothing: a playlist called ``talk.mp4`` makes a media library open other files and addresses, so it is
recognised here and never opened. Containers that write down how long they are (MP4, Matroska, WAV, MP3) are measured
against what is there, which no decoder tells: ffprobe calls a cut WAV whole and short.
"""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from speechmill.errors import BadInput, LimitExceeded, TruncatedMedia, UnreadableMedia
from tasks.media import boxes

HEAD_BYTES = 4096

PICTURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"8BPS", "Photoshop"),
)
PICTURE_BRANDS = frozenset({b"heic", b"heix", b"heim", b"mif1", b"msf1", b"avif", b"avis"})
LISTS: tuple[tuple[str, str], ...] = (
    ("#extm3u", "an HLS playlist"),
    ("#ext-x-", "an HLS playlist"),
    ("ffconcat", "a concat list"),
    ("<mpd", "a DASH manifest"),
    ("<smoothstreamingmedia", "a streaming manifest"),
    ("<smil", "a playlist"),
    ("<asx", "a playlist"),
    ("<playlist", "a playlist"),
    ("[playlist]", "a playlist"),
    ("[reference]", "a playlist"),
)
"""What lists of other files have in their first kilobytes, in lower case."""
OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x7fELF", "a program"),
    (b"MThd", "a MIDI score"),
)

UNTOLD = 0xFFFFFFFF  # a size that a writer which could not go back left open
STREAMED_MATROSKA = (1 << 56) - 1
COPY_AGAIN = "copy it again, or cut it with ffmpeg to what is there"
TOLERATED_S = 0.5  # media that end this much before they say are whole: containers round, encoders drop a last frame


@dataclass(frozen=True, slots=True)
class Sniffed:
    """A file that may be opened: what it has, and what its container says it has."""

    size_bytes: int
    modified_ns: int
    claimed_bytes: int

    @property
    def is_cut(self) -> bool:
        return self.claimed_bytes > self.size_bytes


def sniff(path: Path, *, most_bytes: int) -> Sniffed:
    """Refuse what is no medium, and what is cut so that nothing can open it.

    Raises ``UnreadableMedia``, ``TruncatedMedia`` or ``LimitExceeded``, each naming the file and the mend.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            # Opening a pipe or a device would wait for ever.
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "not a plain file"
            raise UnreadableMedia(f"{name(path)} is {what}", hint="name one film or recording")
        if status.st_size == 0:
            raise UnreadableMedia(f"{name(path)} is empty", hint="copy it again from where it came")
        if status.st_size > most_bytes:
            raise LimitExceeded(
                f"{name(path)} has {status.st_size} bytes, more than the {most_bytes} allowed",
                hint="cut it, or raise SPEECHMILL_MAX_SOURCE_BYTES",
            )
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            refuse_by_head(path, head)
            claimed_bytes = claim(path, file, head, status.st_size)
    except BadInput:
        raise
    except FileNotFoundError:
        where = _printable(str(path.absolute()))
        raise UnreadableMedia(f"there is no file {where}", hint="check the name and the folder") from None
    except PermissionError:
        raise UnreadableMedia(f"{name(path)} may not be read", hint="allow reading it (chmod +r)") from None
    except (OSError, ValueError) as error:  # a name that is too long, or has a zero byte in it
        raise UnreadableMedia(f"{name(path)} cannot be opened ({error})", hint="check the file and its name") from None
    return Sniffed(status.st_size, status.st_mtime_ns, claimed_bytes)


def name(path: Path) -> str:
    """The file's name for a message of one line: what cannot be printed is escaped."""
    return _printable(path.name or str(path))


def _printable(text: str) -> str:
    shown = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


def refuse_by_head(path: Path, head: bytes) -> None:
    """Raise ``UnreadableMedia`` for pictures, lists of other files, documents and text."""
    for magic, kind in PICTURES:
        if head.startswith(magic):
            raise _picture(path, kind)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        raise _picture(path, "WebP")
    if head[4:8] == b"ftyp" and head[8:12] in PICTURE_BRANDS:
        raise _picture(path, "HEIF")
    for magic, kind in OTHERS:
        if head.startswith(magic):
            raise UnreadableMedia(f"{name(path)} is {kind}, not media", hint="name a film or recording")
    text = as_text(head)
    if text is None:
        return
    lowered = text.lower()
    for word, kind in LISTS:
        if word in lowered:
            raise UnreadableMedia(
                f"{name(path)} is {kind}, not media; it was not opened",
                hint="download or join what it lists into one file, and name that",
            )
    if "<!doctype html" in lowered or "<html" in lowered:
        raise UnreadableMedia(f"{name(path)} is a web page, not media", hint="the download failed: get the film itself")
    raise UnreadableMedia(f"{name(path)} is a text, not media", hint="name a film or recording")


def as_text(head: bytes) -> str | None:
    """The beginning of a file as text; ``None`` where it is none."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head[: len(head) // 2 * 2].decode("utf-16", "replace")
        return None if "�" in text[:-1] else text
    if any(byte < 9 or 13 < byte < 27 for byte in head):  # control characters that no text has
        return None
    try:
        return head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # A letter cut in two at the end of what was read is no objection.
        return head[: error.start].decode("utf-8-sig") if error.start > len(head) - 4 and error.start > 0 else None


def claim(path: Path, file: BinaryIO, head: bytes, size: int) -> int:
    """How many bytes a container says it has; ``size`` where it does not say.

    Raises ``TruncatedMedia`` where the lack is plain without opening it.
    """
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
        return _mp4(path, file, size)
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return _wav(path, file, size)
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _matroska(file, size)
    return size


def _mp4(path: Path, file: BinaryIO, size: int) -> int:
    found = list(boxes.walk(file, 0, size))
    if b"moov" not in {box.kind for box in found}:
        raise TruncatedMedia(
            f"{name(path)} has no index: its recording or copying was interrupted",
            hint="copy it again, or repair it with the recorder's own tool",
        )
    return max(box.end for box in found)


def _wav(path: Path, file: BinaryIO, size: int) -> int:
    place, bytes_per_s, long_size = 12, 0, 0
    while place + 8 <= size:
        file.seek(place)
        kind, length = struct.unpack("<4sI", file.read(8))
        body = file.read(16)
        if kind == b"fmt " and len(body) == 16:
            bytes_per_s = struct.unpack_from("<I", body, 8)[0]
        elif kind == b"ds64" and len(body) == 16:
            long_size = struct.unpack_from("<Q", body, 8)[0]
        elif kind == b"data":
            length = long_size if length == UNTOLD and long_size else length
            there = size - place - 8
            if length in (0, UNTOLD) or length <= there:
                return size
            if bytes_per_s and length - there > TOLERATED_S * bytes_per_s:
                raise truncated(path, claimed_s=length / bytes_per_s, decoded_s=there / bytes_per_s)
            return place + 8 + int(length)
        place += 8 + length + length % 2
    return size


def _matroska(file: BinaryIO, size: int) -> int:
    """The EBML head, then the segment, whose size (RFC 8794, section 6) is open in a live recording."""
    head_size, length = _ebml_size(file, 4)
    place = 4 + length + head_size
    if place + 4 > size:
        return size  # the head is damaged, or all that there is
    file.seek(place)
    if file.read(4) != b"\x18\x53\x80\x67":
        return size
    segment, length = _ebml_size(file, place + 4)
    return size if segment == STREAMED_MATROSKA or not length else max(size, place + 4 + length + segment)


def _ebml_size(file: BinaryIO, place: int) -> tuple[int, int]:
    """A variable-length size and how many bytes it takes; every width's “unknown” comes back as one."""
    file.seek(place)
    raw = file.read(8)
    if not raw or raw[0] == 0:
        return STREAMED_MATROSKA, 0
    width = 9 - raw[0].bit_length()
    value = int.from_bytes(raw[:width], "big") & ((1 << 7 * width) - 1)
    return (STREAMED_MATROSKA if value == (1 << 7 * width) - 1 else value), width


def _picture(path: Path, kind: str) -> UnreadableMedia:
    return UnreadableMedia(f"{name(path)} is a {kind} picture, not a film", hint="name a film or recording")


def truncated(path: Path, *, claimed_s: float, decoded_s: float) -> TruncatedMedia:
    """The error for media that ends before it says it does."""
    return TruncatedMedia(
        f"{name(path)} claims {claimed_s:.1f} s but only {decoded_s:.1f} s can be read",
        hint=COPY_AGAIN,
        claimed_s=round(claimed_s, 3),
        decoded_s=round(decoded_s, 3),
    )
