"""When takes sound. Times are whole samples at 48 kHz; nothing here touches a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from speechmill.recipes import Digest


@dataclass(frozen=True, slots=True)
class Clip:
    """One take on the timeline."""

    line_id: str
    take: Digest  # the audio, 48 kHz mono
    start_samples: int  # where its first heard sample sounds
    length_samples: int  # how long it sounds, after stretching
    from_samples: int  # the part of the take that is heard: silence around it is left out
    to_samples: int
    stretch: float = 1.0  # speech is this many times faster than it was spoken
    gain_db: float = 0.0
    fade_samples: int = 0  # at its end it grows soft over this much: somebody talks over it
    pan: float = 0.0  # −1 is left, 0 the middle, 1 right

    @property
    def end_samples(self) -> int:
        return self.start_samples + self.length_samples


@dataclass(frozen=True, slots=True)
class Timeline:
    """Clips by start, over a programme of a given length."""

    length_samples: int
    clips: tuple[Clip, ...] = ()

    def between(self, start_samples: int, end_samples: int) -> tuple[Clip, ...]:
        """Clips that sound anywhere in ``start_samples:end_samples``."""
        return tuple(c for c in self.clips if c.start_samples < end_samples and c.end_samples > start_samples)

    @classmethod
    def of(cls, length_samples: int, clips: list[Clip]) -> Self:
        return cls(length_samples, tuple(sorted(clips, key=lambda c: (c.start_samples, c.line_id))))
