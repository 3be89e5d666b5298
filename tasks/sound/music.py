"""Music on the timeline: an intro, an outro, a bed that is repeated for as long as it is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from speechmill.recipes import Digest, Json
from tasks.sound.loudness import Sound, amplitude


@dataclass(frozen=True, slots=True)
class Piece:
    """A sound (48 kHz WAV in the layout of the mix) that begins at a sample, is repeated until its end, and fades."""

    sound: Digest
    sound_samples: int  # after which it begins again
    start_samples: int
    length_samples: int
    gain_db: float = 0.0
    fade_in_samples: int = 0
    fade_out_samples: int = 0

    @property
    def end_samples(self) -> int:
        return self.start_samples + self.length_samples

    def touches(self, start: int, end: int) -> bool:
        return self.start_samples < end and self.end_samples > start

    def described(self, start: int, end: int) -> list[Json]:
        """All that decides how ``start:end`` sounds, relative to ``start``: an end that is far away does not."""
        at = max(self.start_samples, start)
        return [
            self.sound,
            self.sound_samples,
            (at - self.start_samples) % self.sound_samples,
            max(self.start_samples, start - self.fade_in_samples) - start,
            min(self.end_samples, end + self.fade_out_samples) - start,
            round(self.gain_db, 4),
            self.fade_in_samples,
            self.fade_out_samples,
        ]

    def add_to(self, out: Sound, start: int, path: Path) -> None:
        """Add what is heard of it to ``out``, shape (samples, channels), which begins at ``start``."""
        low, high = max(self.start_samples, start), min(self.end_samples, start + len(out))
        if low >= high:
            return
        gain = self._gain(low, high)
        with soundfile.SoundFile(path) as file:
            at = low
            while at < high:
                phase = (at - self.start_samples) % self.sound_samples
                count = min(high - at, self.sound_samples - phase)
                file.seek(phase)
                read = file.read(count, dtype="float32", always_2d=True)
                out[at - start : at - start + len(read)] += read * gain[at - low : at - low + len(read), None]
                at += count

    def _gain(self, low: int, high: int) -> Sound:
        """Raised cosines at both ends, around the gain."""
        at = np.arange(low - self.start_samples, high - self.start_samples) + 0.5
        begun = np.clip(at / max(1, self.fade_in_samples), 0, 1)
        left = np.clip((self.length_samples - at) / max(1, self.fade_out_samples), 0, 1)
        shape = (0.5 - 0.5 * np.cos(np.pi * begun)) * (0.5 - 0.5 * np.cos(np.pi * left))
        gain: Sound = (shape * amplitude(self.gain_db)).astype(np.float32)
        return gain
