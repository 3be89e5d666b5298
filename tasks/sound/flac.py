"""FLAC in parts: each part is encoded on its own, with the frame numbers that it has in the whole.

A frame of FLAC stands alone but for its number. So the frames of a part are renumbered as they leave the encoder, and
the whole programme is a header and the frames of its parts, one after the other: nothing is encoded twice, and
joining an hour is copying a file. (RFC 9639; the header's MD5 of the whole sound is left out, as the format allows.
Every frame has its own check sum.)
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from speechmill.errors import ToolFailed
from speechmill.lines import RATE_HZ
from tasks.sound.loudness import Sound

BITS = 24
FRAME_SAMPLES = 4096  # what libFLAC takes at 48 kHz; parts are whole multiples of it
_SYNC = b"\xff\xf8"  # a frame of a stream whose frames are all of one length
_CRC16_POLYNOMIAL = 0x8005
_COPY_BYTES = 1 << 22
_HEADER_BYTES = 4 + 4 + 34  # the mark, and the one block that ``join`` writes
VENDOR = b"Speechmill"


def integers(sound: Sound) -> NDArray[np.int32]:
    """Samples as 24-bit numbers in the upper bits of 32, rounded; what is beyond full scale is held there."""
    scaled = np.rint(sound * np.float32(1 << 23))
    numbers: NDArray[np.int32] = np.clip(scaled, -(1 << 23), (1 << 23) - 1).astype(np.int32) << 8
    return numbers


def write_part(blocks: Iterable[Sound], channels: int, first_sample: int, out: Path) -> None:
    """Encode blocks of shape (samples, channels) as the frames that begin at ``first_sample`` of the programme.

    Only the last part of a programme may be other than a multiple of ``FRAME_SAMPLES`` long.
    """
    with out.open("wb") as file:
        frames = _Frames(file.write, first_sample // FRAME_SAMPLES)
        with soundfile.SoundFile(frames, "w", RATE_HZ, channels, format="FLAC", subtype=f"PCM_{BITS}") as encoder:
            for block in blocks:
                encoder.write(integers(block))


def join(parts: Sequence[Path], channels: int, length_samples: int, out: Path) -> None:
    """Write the whole programme from its parts."""
    info = struct.pack(">HH", FRAME_SAMPLES, FRAME_SAMPLES) + bytes(6)  # frame sizes: not told
    info += (RATE_HZ << 44 | (channels - 1) << 41 | (BITS - 1) << 36 | length_samples).to_bytes(8, "big") + bytes(16)
    with out.open("wb") as file:
        file.write(b"fLaC" + b"\x80" + len(info).to_bytes(3, "big") + info)
        for part in parts:
            with part.open("rb") as frames:
                shutil.copyfileobj(frames, file, _COPY_BYTES)


def write_tagged(whole: Path, tags: Mapping[str, str], out: Path) -> None:
    """The same sound with tags (Vorbis comments, RFC 9639 section 8.6) behind its header; empty ones are left out."""
    comments = [f"{name.upper()}={text}".encode() for name, text in tags.items() if text]
    block = _length(VENDOR) + VENDOR + len(comments).to_bytes(4, "little")
    block += b"".join(_length(comment) + comment for comment in comments)
    with whole.open("rb") as file, out.open("wb") as tagged:
        head = file.read(_HEADER_BYTES)
        tagged.write(head[:4] + b"\x00" + head[5:] + b"\x84" + len(block).to_bytes(3, "big") + block)
        shutil.copyfileobj(file, tagged, _COPY_BYTES)


def _length(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little")


class _Frames:
    """The file that the encoder believes it writes. Each frame comes in one call; headers are dropped."""

    def __init__(self, keep: Callable[[bytes], int], first_number: int) -> None:
        self._keep = keep
        self._number = first_number
        self._position = 0
        self._end = 0

    def write(self, data: bytes) -> int:
        data = bytes(data)
        if data[:2] == _SYNC and self._position == self._end:
            self._keep(renumbered(data, self._number))
            self._number += 1
        elif self._position == self._end and self._end > RATE_HZ:
            raise ToolFailed("the FLAC encoder wrote something that is not a frame", hint="report this")
        self._position += len(data)
        self._end = max(self._end, self._position)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        return self._position

    def tell(self) -> int:
        return self._position


def renumbered(frame: bytes, number: int) -> bytes:
    """A frame with another frame number and the check sums that go with it."""
    first = frame[4]
    old_length = 1 if first < 0x80 else 8 - (first ^ 0xFF).bit_length()
    code, rate = frame[2] >> 4, frame[2] & 15
    extra = {6: 1, 7: 2}.get(code, 0) + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    old = frame[: 4 + old_length + extra + 1]
    new = frame[:4] + coded(number) + frame[4 + old_length : 4 + old_length + extra]
    new += bytes([_crc8(new)])
    body = frame[len(old) : -2]
    # Check sums are linear: what changes at the front of a message changes its sum by that, moved along the rest.
    change = _moved(_crc16(old) ^ _crc16(new), len(body))
    crc = int.from_bytes(frame[-2:], "big") ^ change
    return new + body + crc.to_bytes(2, "big")


def coded(number: int) -> bytes:
    """A frame number as FLAC writes it: like UTF-8, up to 31 bits."""
    if number < 0x80:
        return bytes([number])
    tail: list[int] = []
    lead_bits = 6
    while number >= 1 << lead_bits or not tail:
        tail.insert(0, 0x80 | number & 0x3F)
        number >>= 6
        lead_bits = 6 - len(tail)
    return bytes([0xFF & ~((1 << (7 - len(tail))) - 1) | number, *tail]) if len(tail) else bytes([number])


def _table(polynomial: int, bits: int) -> list[int]:
    table = []
    for value in range(256):
        rest = value << (bits - 8)
        for _ in range(8):
            rest = (rest << 1 ^ polynomial) if rest >> (bits - 1) else rest << 1
        table.append(rest & ((1 << bits) - 1))
    return table


_CRC8 = _table(0x107, 8)
_CRC16 = _table(0x10000 | _CRC16_POLYNOMIAL, 16)


def _crc8(data: bytes) -> int:
    rest = 0
    for byte in data:
        rest = _CRC8[rest ^ byte]
    return rest


def _crc16(data: bytes) -> int:
    rest = 0
    for byte in data:
        rest = (rest << 8 & 0xFFFF) ^ _CRC16[rest >> 8 ^ byte]
    return rest


def _times(a: int, b: int) -> int:
    """Product of two polynomials over GF(2), modulo that of the check sum."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a = (a << 1 ^ 0x10000 ^ _CRC16_POLYNOMIAL) if a & 0x8000 else a << 1
        b >>= 1
    return product


_POWERS = [1 << 8]
for _ in range(31):
    _POWERS.append(_times(_POWERS[-1], _POWERS[-1]))


def _moved(crc: int, count: int) -> int:
    """The check sum after so many zero bytes more."""
    for power in _POWERS:
        if not count:
            break
        if count & 1:
            crc = _times(crc, power)
        count >>= 1
    return crc
