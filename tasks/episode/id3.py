"""The ID3v2.3 tag of an episode: frames, cover and chapters (CHAP, CTOC of the ID3v2 Chapter Frame Addendum 1.0).

Our own writer, because ffmpeg (5.1.9, measured) writes right CHAP and CTOC frames, but no link in a chapter, the
description as TXXX where players show COMM, and has to copy the whole stream for a new title; and because the one
library that writes all of it, mutagen, is under the GPL. Version 2.3, which everything reads; text is UTF-16 where
Latin-1 does not hold it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tasks.episode.content import Span

HEADER_BYTES = 10
NOT_GIVEN = 0xFFFFFFFF  # a byte offset of CHAP that is not used
TOP_LEVEL, ORDERED = 0b10, 0b01
MOST_ENTRIES = 255  # their number is one byte
MOST_TAG_BYTES = (1 << 28) - 1
FRONT_COVER = 3


@dataclass(frozen=True, slots=True)
class Tags:
    """What the tag says; empty strings are left out."""

    title: str
    language: str = "und"  # ISO 639-2, three letters
    artist: str = ""
    album: str = ""
    album_artist: str = ""
    track: str = ""
    disc: str = ""
    date: str = ""  # YYYY-MM-DD
    genre: str = "Podcast"
    comment: str = ""
    copyright: str = ""
    encoder: str = "Speechmill"
    link: str = ""
    publisher: str = ""
    lyrics: str = ""  # what is said
    length_ms: int | None = None
    ai_content: bool = False  # as TXXX “ai-content”
    guid: str = ""  # as TXXX “podcast:guid”


def tag(tags: Tags, spans: Sequence[Span] = (), cover: bytes = b"") -> bytes:
    """The whole tag, ready to stand before the first frame of the sound. ``cover`` is a JPEG."""
    frames = [*_texts(tags)]
    if tags.comment:
        frames.append(_frame(b"COMM", _with_language(tags.language, tags.comment)))
    if tags.lyrics:
        frames.append(_frame(b"USLT", _with_language(tags.language, tags.lyrics)))
    if tags.link:
        frames.append(_frame(b"WOAF", _address(tags.link)))
    frames += _contents(spans)
    if cover:
        frames.append(_frame(b"APIC", b"\0image/jpeg\0" + bytes([FRONT_COVER]) + b"\0" + cover))
    body = b"".join(frames)
    if len(body) > MOST_TAG_BYTES:
        raise ValueError(f"an ID3 tag holds {MOST_TAG_BYTES} bytes, not {len(body)}")
    return b"ID3" + bytes([3, 0, 0]) + _synchsafe(len(body)) + body


def tag_bytes(path: Path) -> int:
    """How many bytes the ID3v2 tag at the beginning of a file takes; 0 where there is none."""
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    if len(head) < HEADER_BYTES or head[:3] != b"ID3":
        return 0
    size = 0
    for byte in head[6:]:
        size = size << 7 | byte & 0x7F
    return HEADER_BYTES + size + (HEADER_BYTES if head[5] & 0x10 else 0)


def _texts(tags: Tags) -> list[bytes]:
    year, _, rest = tags.date.partition("-")
    month, _, day = rest.partition("-")
    texts = {
        b"TIT2": tags.title, b"TPE1": tags.artist, b"TALB": tags.album, b"TPE2": tags.album_artist,
        b"TRCK": tags.track, b"TPOS": tags.disc, b"TYER": year, b"TDAT": day + month, b"TCON": tags.genre,
        b"TCOP": tags.copyright, b"TLAN": tags.language, b"TENC": tags.encoder, b"TPUB": tags.publisher,
        b"TLEN": "" if tags.length_ms is None else str(tags.length_ms),
    }  # fmt: skip
    frames = [_frame(name, _text(value)) for name, value in texts.items() if value]
    own = {"ai-content": "true" if tags.ai_content else "", "podcast:guid": tags.guid}
    return frames + [_frame(b"TXXX", _described(name, value)) for name, value in own.items() if value]


def _contents(spans: Sequence[Span]) -> list[bytes]:
    """One ordered, top-level CTOC, then a CHAP for each chapter; of more chapters than a CTOC counts, CTOCs of CTOCs
    are made, and only the first is the top."""
    if not spans:
        return []
    names = [b"ch%d" % n for n in range(len(spans))]
    chapters = [_frame(b"CHAP", _chapter(name, span)) for name, span in zip(names, spans, strict=True)]
    below: list[bytes] = []
    level = 0
    while len(names) > MOST_ENTRIES:
        groups = [names[at : at + MOST_ENTRIES] for at in range(0, len(names), MOST_ENTRIES)]
        names = [b"toc%d.%d" % (level, n) for n in range(len(groups))]
        below += [_frame(b"CTOC", _table(name, g, ORDERED)) for name, g in zip(names, groups, strict=True)]
        level += 1
    return [_frame(b"CTOC", _table(b"toc", names, TOP_LEVEL | ORDERED)), *below, *chapters]


def _table(name: bytes, entries: Sequence[bytes], flags: int) -> bytes:
    return name + b"\0" + bytes([flags, len(entries)]) + b"".join(entry + b"\0" for entry in entries)


def _chapter(name: bytes, span: Span) -> bytes:
    inner = _frame(b"TIT2", _text(span.title))
    if span.url:
        inner += _frame(b"WXXX", b"\0chapter url\0" + _address(span.url))
    return name + b"\0" + struct.pack(">IIII", span.start_ms, span.end_ms, NOT_GIVEN, NOT_GIVEN) + inner


def _frame(name: bytes, body: bytes) -> bytes:
    return name + struct.pack(">IH", len(body), 0) + body


def _text(value: str) -> bytes:
    return bytes([_encoding(value)]) + _encoded(value, _encoding(value))


def _with_language(language: str, value: str) -> bytes:
    """COMM and USLT: encoding, language, no short description, the text."""
    encoding = _encoding(value)
    ending = b"\xff\xfe\0\0" if encoding else b"\0"
    return bytes([encoding]) + language.encode("ascii")[:3].ljust(3, b"x") + ending + _encoded(value, encoding)


def _described(name: str, value: str) -> bytes:
    encoding = _encoding(name + value)
    return bytes([encoding]) + _encoded(name, encoding) + bytes(1 + encoding) + _encoded(value, encoding)


def _address(url: str) -> bytes:
    """Addresses are Latin-1 in ID3; ours are ASCII, with what is not percent-encoded."""
    return quote(url, safe="%/:?#[]@!$&'()*+,;=~").encode("ascii")


def _encoding(value: str) -> int:
    """0: Latin-1, 1: UTF-16 with a byte order mark."""
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return 1
    return 0


def _encoded(value: str, encoding: int) -> bytes:
    clean = value.replace("\0", " ")
    return b"\xff\xfe" + clean.encode("utf-16-le", "replace") if encoding else clean.encode("latin-1")


def _synchsafe(size: int) -> bytes:
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
