"""The mix: dialogue over the original or over a bed, any stretch of it, in blocks.

A ``Mix`` is a pure plan. A ``Renderer`` turns any range of it into sound: what it returns for a sample depends on the
plan alone, never on where a block begins, so parts that are rendered apart are bit for bit those of the whole.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile

from speechmill.lines import samples_of_ms
from speechmill.recipes import Digest, Json
from speechmill.timeline import Clip, Timeline
from storage.artifacts import ArtifactStore
from tasks.sound.layouts import Layout
from tasks.sound.loudness import Sound, amplitude
from tasks.sound.music import Piece
from tasks.sound.stretching import stretched

VERSION = "1"  # of everything that decides what a sample of the mix is

DUCK_DB = -18.0
"""How far the original is turned down under speech: the depth PersoDub uses where a voice cannot be taken out. Speech
that much softer than the dub is masked by it, and the room it was spoken in is still there between the words."""
AWAY_DB = -120.0  # where the original is heard in place of a bed
RAMP_SAMPLES = samples_of_ms(70)  # raised cosine of 60 to 80 ms: shorter is heard as a switch, longer as a swell
BRIDGE_SAMPLES = samples_of_ms(500)  # a shorter pause stays ducked: a bed that comes up for half a second pumps
FADE_SAMPLES = samples_of_ms(4)  # of the silence around a take, so that a noise floor does not begin with a click
FADED_DB = -15.0  # where one who is talked over ends: still there, no longer in the way
MUSIC_DUCK_DB = -16.0  # music that is as loud as speech in the clear is then about 18 LU below it
MUSIC_RAMP_SAMPLES = samples_of_ms(400)  # a hand on a fader
MUSIC_BRIDGE_SAMPLES = samples_of_ms(2500)  # longer than any pause of a conversation
CACHED_SAMPLES = 12_000_000  # clips kept ready, about 48 MB


class Background(StrEnum):
    """What is done with the sound under the dialogue."""

    DUCK = "duck"  # the original, turned down where anybody speaks
    DROP = "drop"  # nothing
    BED = "bed"  # music and effects, untouched


Span = tuple[int, int]


@dataclass(frozen=True)
class Mix:
    """What is heard when. ``sound`` is 48 kHz WAV in ``layout``, padded or cut to the length of the timeline."""

    timeline: Timeline
    layout: Layout
    background: Background
    sound: Digest | None = None
    speech: tuple[Span, ...] = ()  # where the original speaks
    music: tuple[Piece, ...] = ()  # ducked under speech
    left: tuple[Span, ...] = ()  # where the original is heard as it is
    original: Digest | None = None  # in the same layout, where ``sound`` is not the original

    @property
    def length_samples(self) -> int:
        return self.timeline.length_samples

    @cached_property
    def ducked(self) -> tuple[Span, ...]:
        """Where the background is turned down: wherever the original or the dub speaks, short pauses included."""
        if self.background is not Background.DUCK:
            return ()
        said = spoken(self.timeline)
        heard = without([(start - RAMP_SAMPLES, end + RAMP_SAMPLES) for start, end in self.left], said)
        return without(merged([*self.speech, *said], BRIDGE_SAMPLES), heard)

    @cached_property
    def bare(self) -> tuple[Span, ...]:
        """Where the original is heard in place of a bed: what is left of it, but under a line that runs into that."""
        return without(self.left, spoken(self.timeline))

    @cached_property
    def under(self) -> tuple[Span, ...]:
        """Where music is turned down: between lines it stays down, between sections it may rise."""
        return merged(spoken(self.timeline), MUSIC_BRIDGE_SAMPLES)

    def clips(self, start: int, end: int) -> Sequence[Clip]:
        """Clips of which anything, fades included, sounds in ``start:end``."""
        low = bisect_left(self._starts, start - FADE_SAMPLES - self._longest)
        high = bisect_right(self._starts, end + FADE_SAMPLES)
        return [
            c
            for c in self.timeline.clips[low:high]
            if c.start_samples - FADE_SAMPLES < end and c.end_samples + FADE_SAMPLES > start
        ]

    def described(self, start: int, end: int) -> dict[str, Json]:
        """All that decides how ``start:end`` sounds, relative to ``start``: parameters for a recipe."""
        clips: list[Json] = [
            [
                c.take,
                c.start_samples - start,
                c.length_samples,
                c.from_samples,
                c.to_samples,
                round(c.gain_db, 4),
                *([c.fade_samples] if c.fade_samples or c.pan else []),
                *([round(c.pan, 4)] if c.pan else []),
            ]
            for c in self.clips(start, end)
        ]
        ducked = _near(self.ducked, start, end, RAMP_SAMPLES)
        left = self._left_near(start, end)
        under = self.sound is not None and self.background is not Background.DROP
        return {
            "layout": self.layout.name,
            "clips": clips,
            "ducked": ducked,
            "from": start if under or left else None,  # of the sounds that go on beneath it
            "length": end - start,
            **self._music_described(start, end),
            **({"left": left} if left else {}),
        }

    def _left_near(self, start: int, end: int) -> list[Json]:
        """Where the original is heard in place of the background; of what is ducked ``ducked`` says it."""
        return _near(self.bare, start, end, RAMP_SAMPLES) if self.original is not None else []

    def _music_described(self, start: int, end: int) -> dict[str, Json]:
        pieces: list[Json] = [*(piece.described(start, end) for piece in self.music if piece.touches(start, end))]
        return {"music": pieces, "under": _near(self.under, start, end, MUSIC_RAMP_SAMPLES)} if pieces else {}

    @property
    def inputs(self) -> list[Digest]:
        sound = [self.sound] if self.sound is not None and self.background is not Background.DROP else []
        original = [self.original] if self.original is not None and self.bare else []
        return [*sound, *original, *dict.fromkeys(piece.sound for piece in self.music)]

    @cached_property
    def _starts(self) -> list[int]:
        return [c.start_samples for c in self.timeline.clips]

    @cached_property
    def _longest(self) -> int:
        return max((c.length_samples for c in self.timeline.clips), default=0)


def spoken(timeline: Timeline) -> tuple[Span, ...]:
    """Where the dub speaks: disjoint, by time."""
    return merged([(c.start_samples, c.end_samples) for c in timeline.clips], 0)


def merged(spans: Iterable[Span], bridge_samples: int) -> tuple[Span, ...]:
    """Spans by time, those joined that overlap or are closer than ``bridge_samples``."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start - joined[-1][1] <= bridge_samples:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        elif end > start:
            joined.append((start, end))
    return tuple(joined)


def without(spans: Sequence[Span], holes: Sequence[Span]) -> tuple[Span, ...]:
    """What is left of disjoint spans by time where the holes are not."""
    left = list(spans)
    for first, last in holes:
        parts = [part for start, end in left for part in ((start, min(end, first)), (max(start, last), end))]
        left = [(start, end) for start, end in parts if start < end]
    return tuple(left)


def _between(spans: Sequence[Span], start: int, end: int) -> Sequence[Span]:
    """Those of disjoint, sorted spans that touch ``start:end``."""
    low = bisect_right(spans, start, key=lambda span: span[1])
    high = bisect_left(spans, end, key=lambda span: span[0])
    return spans[low:high]


def _near(spans: Sequence[Span], start: int, end: int, ramp: int) -> list[Json]:
    """Spans that a ramp may reach from, relative to ``start`` and no longer than is heard in ``start:end``."""
    return [
        [max(s, start - ramp) - start, min(e, end + ramp) - start] for s, e in _between(spans, start - ramp, end + ramp)
    ]


def duck_gain(
    ducked: Sequence[Span], start: int, end: int, depth_db: float = DUCK_DB, ramp: int = RAMP_SAMPLES
) -> Sound | None:
    """Gain of the background in ``start:end``, shape (samples,); ``None`` where it is 1 throughout."""
    spans = _between(ducked, start - ramp, end + ramp)
    if not spans:
        return None
    low = np.float32(amplitude(depth_db))
    fall = low + (1 - low) * (0.5 + 0.5 * np.cos(np.pi * (np.arange(ramp) + 0.5) / ramp))
    gain = np.ones(end - start, np.float32)
    for first, last in spans:
        for begin, values in ((first - ramp, fall), (last, fall[::-1])):
            a, b = max(begin, start), min(begin + ramp, end)
            if a < b:
                gain[a - start : b - start] = values[a - begin : b - begin]
        gain[max(0, first - start) : max(0, last - start)] = low
    return gain


class Renderer:
    """Turns ranges of a mix into sound. Several threads may use one."""

    def __init__(self, mix: Mix, store: ArtifactStore) -> None:
        self.mix = mix
        self._store = store
        under = mix.sound if mix.background is not Background.DROP else None
        self._sound: Path | None = store.path(under) if under else None
        self._original: Path | None = store.path(mix.original) if mix.original and mix.bare else None
        self._music = {piece.sound: store.path(piece.sound) for piece in mix.music}
        self._ready: OrderedDict[Clip, tuple[int, Sound]] = OrderedDict()
        self._ready_samples = 0
        self._guard = threading.Lock()

    def mixed(self, start: int, end: int) -> Sound:
        """The raw mix of ``start:end`` before any programme gain, shape (samples, channels)."""
        out = self._background(start, end)
        self._play(out, start, end)
        self._speak(out, start, end)
        return out

    def dialogue(self, start: int, end: int) -> Sound:
        """What speech adds to ``start:end`` of the mix, in the channels that it is heard in; shape (samples, those)."""
        out = np.zeros((end - start, self.mix.layout.channels), np.float32)
        self._speak(out, start, end)
        return np.ascontiguousarray(out[:, self.mix.layout.spoken_in])

    def _speak(self, out: Sound, start: int, end: int) -> None:
        """Add the speech of ``start:end``."""
        clips = self.mix.clips(start, end)
        for pan in sorted({clip.pan for clip in clips}):
            speech = self._said([clip for clip in clips if clip.pan == pan], start, end)
            for channel, gain in enumerate(self.mix.layout.seat(pan)):
                if gain:
                    out[:, channel] += speech if gain == 1.0 else speech * np.float32(gain)

    def _said(self, clips: Sequence[Clip], start: int, end: int) -> Sound:
        out = np.zeros(end - start, np.float32)
        for clip in clips:
            at, sound = self._clip(clip)
            a, b = max(at, start), min(at + len(sound), end)
            if a < b:
                out[a - start : b - start] += sound[a - at : b - at]
        return out

    def _background(self, start: int, end: int) -> Sound:
        out = self._read(self._sound, start, end)
        gain = duck_gain(self.mix.ducked, start, end)
        if gain is not None:
            out *= gain[:, None]
        away = None if self._original is None else duck_gain(self.mix.bare, start, end, AWAY_DB)
        if away is not None:
            out *= away[:, None]
            out += self._read(self._original, start, end) * (1 - away[:, None])
        return out

    def _read(self, sound: Path | None, start: int, end: int) -> Sound:
        """``start:end`` of a sound in the mix's layout; silence where it is not."""
        out = np.zeros((end - start, self.mix.layout.channels), np.float32)
        if sound is None:
            return out
        with soundfile.SoundFile(sound) as file:
            low, high = max(0, start), min(end, file.frames)
            if low < high:
                file.seek(low)
                file.read(high - low, dtype="float32", always_2d=True, out=out[low - start : high - start])
        return out

    def _play(self, out: Sound, start: int, end: int) -> None:
        """Add the music of ``start:end``."""
        playing = [piece for piece in self.mix.music if piece.touches(start, end)]
        if not playing:
            return
        music = np.zeros_like(out)
        for piece in playing:
            piece.add_to(music, start, self._music[piece.sound])
        gain = duck_gain(self.mix.under, start, end, MUSIC_DUCK_DB, MUSIC_RAMP_SAMPLES)
        out += music if gain is None else music * gain[:, None]

    def _clip(self, clip: Clip) -> tuple[int, Sound]:
        """Where the sound of a clip begins, fades included, and the sound. Stretching takes 3 ms a second: the same
        clip is asked for by several blocks, and by the master, the stem and the encoder."""
        with self._guard:
            if clip in self._ready:
                self._ready.move_to_end(clip)
                return self._ready[clip]
        ready = heard(clip, self._store.path(clip.take))
        with self._guard:
            if clip not in self._ready:
                self._ready[clip] = ready
                self._ready_samples += len(ready[1])
            while self._ready_samples > CACHED_SAMPLES and len(self._ready) > 1:
                _, (_, oldest) = self._ready.popitem(last=False)
                self._ready_samples -= len(oldest)
        return ready


def heard(clip: Clip, take: Path) -> tuple[int, Sound]:
    """The sound of one clip and the sample where it begins.

    Every sample of the take from ``from_samples`` to ``to_samples`` is heard whole. The fades lie before and after
    it, in the silence that the take has there; where the take begins or ends with speech there is none.
    """
    first = max(0, clip.from_samples - FADE_SAMPLES)
    with soundfile.SoundFile(take) as file:
        file.seek(min(first, file.frames))
        sound: Sound = file.read(clip.to_samples + FADE_SAMPLES - first, dtype="float32")
    lead, body, tail = np.split(sound, [clip.from_samples - first, clip.to_samples - first])
    if not len(body):
        return clip.start_samples, body
    fade = (0.5 - 0.5 * np.cos(np.pi * (np.arange(FADE_SAMPLES) + 0.5) / FADE_SAMPLES)).astype(np.float32)
    whole = np.concatenate(
        [
            lead * fade[FADE_SAMPLES - len(lead) :],
            stretched(body, clip.length_samples),
            tail * fade[::-1][: len(tail)],
        ]
    )
    if clip.gain_db:
        whole *= np.float32(amplitude(clip.gain_db))
    if clip.fade_samples:
        whole[len(lead) + clip.length_samples :] *= np.float32(amplitude(FADED_DB))
        faded = whole[len(lead) : len(lead) + clip.length_samples][-clip.fade_samples :]
        faded *= 10 ** (np.linspace(0, FADED_DB, len(faded), dtype=np.float32) / 20)
    return clip.start_samples - len(lead), whole
