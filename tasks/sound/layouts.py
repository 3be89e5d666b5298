"""Channel layouts: which loudspeaker each channel of a WAV file is for, and what follows from that.

A layout is what ffmpeg calls it, the positions in WAV order, how much each channel counts for loudness, and where
dialogue goes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import cos, pi, sin, sqrt
from pathlib import Path

from speechmill.errors import UnreadableMedia

BITS = ("FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR")
"""Positions by bit of a WAV channel mask (Microsoft, WAVEFORMATEXTENSIBLE), which is also their order in the file."""

NAMES: dict[tuple[str, ...], str] = {
    ("FC",): "mono",
    ("FL", "FR"): "stereo",
    ("FL", "FR", "LFE"): "2.1",
    ("FL", "FR", "FC"): "3.0",
    ("FL", "FR", "FC", "LFE"): "3.1",
    ("FL", "FR", "BL", "BR"): "quad",
    ("FL", "FR", "FC", "BC"): "4.0",
    ("FL", "FR", "FC", "BL", "BR"): "5.0",
    ("FL", "FR", "FC", "SL", "SR"): "5.0(side)",
    ("FL", "FR", "FC", "LFE", "BL", "BR"): "5.1",
    ("FL", "FR", "FC", "LFE", "SL", "SR"): "5.1(side)",
    ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"): "6.1",
    ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"): "7.1",
}

BY_COUNT = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""What a file that does not say is taken for: the order that WAV writers use for that many channels."""
MOST_CHANNELS = max(BY_COUNT)  # of more nobody knows where they are heard

AAC_AS = {
    "mono": "mono",
    "stereo": "stereo",
    "3.0": "3.0",
    "4.0": "4.0",
    "5.0": "5.0",
    "5.0(side)": "5.0",
    "5.1": "5.1",
    "5.1(side)": "5.1",
    "7.1": "7.1",
}
"""Layouts with a channel configuration of AAC's own (ISO/IEC 14496-3, table 1.19), and the name it is encoded under:
AAC has one 5.1, whose surround channels ffmpeg calls back channels."""
CARRIED_BY = {"2.1": "5.1", "3.1": "5.1", "quad": "5.0", "6.1": "7.1"}
"""The other layouts, and those that carry them: AAC describes such sound in a way that players do not agree on, and of
which ffmpeg's meter does not know which loudspeaker is which."""

SURROUND_WEIGHT = 1.41  # ITU-R BS.1770-4, table 3: +1.5 dB for loudspeakers beside the listener
_SURROUND = frozenset({"SL", "SR"})
_SURROUND_IF_ALONE = frozenset({"BL", "BR", "BC"})  # 5.1 calls its side loudspeakers back: there they stand at ±110°


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the channels of a programme are heard."""

    positions: tuple[str, ...]

    @property
    def channels(self) -> int:
        return len(self.positions)

    @property
    def name(self) -> str:
        """ffmpeg's name, or its list of positions where the layout has none."""
        return NAMES.get(self.positions, "+".join(self.positions))

    @property
    def weights(self) -> tuple[float, ...]:
        """How much the energy of each channel counts for loudness (ITU-R BS.1770-4): nothing for the LFE."""
        sides = any(p in _SURROUND for p in self.positions)
        return tuple(
            0.0 if p == "LFE" else SURROUND_WEIGHT if p in _SURROUND or (p in _SURROUND_IF_ALONE and not sides) else 1.0
            for p in self.positions
        )

    def seat(self, pan: float) -> tuple[float, ...]:
        """Gain of a mono voice into each channel, from −1 (left) to 1 (right): constant power, so that a voice is as
        loud in every seat. Only stereo has seats."""
        if not pan or self.positions != ("FL", "FR"):
            return self.dialogue
        angle = (pan + 1) * pi / 4
        return cos(angle), sin(angle)

    @property
    def dialogue(self) -> tuple[float, ...]:
        """Gain of mono dialogue into each channel.

        The centre where there is one; else the phantom centre at −3 dB in left and right: equal power, so the same
        dialogue has the same loudness in every layout. Where there is neither, the first channel.
        """
        if "FC" in self.positions:
            return tuple(1.0 if p == "FC" else 0.0 for p in self.positions)
        if "FL" in self.positions and "FR" in self.positions:
            return tuple(sqrt(0.5) if p in ("FL", "FR") else 0.0 for p in self.positions)
        return tuple(1.0 if i == 0 else 0.0 for i in range(self.channels))

    @property
    def spoken_in(self) -> tuple[int, ...]:
        """Numbers of the channels that dialogue is heard in."""
        return tuple(channel for channel, gain in enumerate(self.dialogue) if gain)


MONO = Layout(("FC",))
STEREO = Layout(("FL", "FR"))


def of_name(name: str) -> Layout:
    """The layout that ffmpeg calls ``name``; raises ``KeyError`` for one that is not known here."""
    return Layout({known: positions for positions, known in NAMES.items()}[name])


def carried(layout: Layout) -> Layout:
    """What sound of a layout is brought into to be dubbed: the same, or the next that AAC has a number for."""
    return of_name(CARRIED_BY[layout.name]) if layout.name in CARRIED_BY else layout


def of_count(channels: int) -> Layout:
    """What so many channels are taken for, where nothing says it."""
    if channels in BY_COUNT:
        return of_name(BY_COUNT[channels])
    return Layout(tuple(f"C{i}" for i in range(channels)))


def of_wav(path: Path) -> Layout:
    """The layout a WAV or RF64 file declares; by its number of channels where it declares none.

    Raises ``UnreadableMedia`` for a file that is neither.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
            raise UnreadableMedia(f"{path.name} is not a WAV file", hint="extract the sound again")
        while len(chunk := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", chunk)
            if name == b"fmt ":
                body = file.read(size)
                channels = struct.unpack_from("<H", body, 2)[0]
                mask = struct.unpack_from("<I", body, 20)[0] if size >= 40 else 0
                positions = tuple(p for bit, p in enumerate(BITS) if mask >> bit & 1)
                # A lone front-left channel is how some writers say mono.
                return Layout(positions) if len(positions) == channels > 1 else of_count(channels)
            file.seek(size + size % 2, 1)
    raise UnreadableMedia(f"{path.name} has no format chunk", hint="extract the sound again")
