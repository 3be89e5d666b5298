"""The music of an episode: taken in from a user's files or made on the spot, and laid around and under the speech."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from speechmill.episodes import SIMPLE
from speechmill.errors import UnreadableMedia
from speechmill.lines import RATE_HZ, samples_of_ms
from speechmill.recipes import Digest, Recipe
from speechmill.timeline import Timeline
from tasks.media import ffmpeg
from tasks.media.extraction import header
from tasks.media.probing import probe
from tasks.sound import composing, layouts
from tasks.sound.composing import Kind
from tasks.sound.loudness import SILENCE_LUFS, Sound
from tasks.sound.music import Piece
from tasks.sound.sources import measure_source
from tasks.workplace import Workplace

VERSION = "1"
MUSIC_LUFS = -25.0  # where nobody speaks: a little under the level of every speaker
MOST_S: dict[Kind, int] = {"intro": 30, "bed": 180, "outro": 30}  # of a file; a bed is repeated
LEAST_SAMPLES = samples_of_ms(1000)
SEAM_SAMPLES = samples_of_ms(1000)  # over which the end of a bed goes into its beginning
UNDER_SAMPLES = samples_of_ms(2000)  # an intro and an outro go on under speech for as long, at most a third of them
RISE_SAMPLES = samples_of_ms(500)
BED_FADE_SAMPLES = samples_of_ms(3000)
BED_AFTER_SAMPLES = samples_of_ms(2500)  # a bed ends this much after the last word


@dataclass(frozen=True, slots=True)
class Track:
    """A piece of music as it was taken in: 48 kHz float WAV, stereo."""

    sound: Digest
    length_samples: int
    gain_db: float  # that brings it to ``MUSIC_LUFS``


Tracks = Mapping[Kind, Track]


def take_in(place: Workplace, chosen: Mapping[Kind, str]) -> dict[Kind, Track]:
    """The tracks that are wanted, by what they are for: files, or ``simple``. Raises ``UnreadableMedia``."""
    if not chosen:
        return {}
    with place.stages("music"):
        return {kind: _track(place, kind, source) for kind, source in chosen.items()}


def _track(place: Workplace, kind: Kind, source: str) -> Track:
    if source == SIMPLE:
        recipe = Recipe("compose", composing.VERSION, kind=kind)
        sound = place.here.get_or_make(recipe, lambda out: composing.write(kind, out), ".wav")
    else:
        media = probe(Path(source), place.settings)
        recipe = Recipe("music", VERSION, inputs=[media.sha256], kind=kind)
        stream = media.audio[0].index
        sound = place.here.get_or_make(recipe, lambda out: _decode(media.path, stream, kind, out), ".wav")
    length = soundfile.info(place.here.path(sound.sha256)).frames
    lufs = measure_source(sound.sha256, place.here, place.settings.threads).integrated_lufs
    if length < LEAST_SAMPLES or lufs <= SILENCE_LUFS:
        what = "is silent" if length >= LEAST_SAMPLES else f"has only {length / RATE_HZ:.1f} s"
        raise UnreadableMedia(f"the {kind} {Path(source).name} {what}", hint="give other music, or “simple”")
    return Track(sound.sha256, length, round(MUSIC_LUFS - lufs, 2))


def _decode(path: Path, stream: int, kind: Kind, out: Path) -> None:
    raw = out.with_name(f"{out.name}.f32")
    node = ffmpeg.source(path)[str(stream)].output(
        f"file:{raw}", f="f32le", acodec="pcm_f32le", ac=2, ar=RATE_HZ, t=MOST_S[kind]
    )
    try:
        ffmpeg.execute(node)
        music = np.fromfile(raw, "<f4").reshape(-1, 2)
    finally:
        raw.unlink(missing_ok=True)
    if kind == "bed":
        music = _circular(music)
    out.write_bytes(header(layouts.STEREO, len(music)) + music.tobytes())


def _circular(music: Sound) -> Sound:
    """The music without a seam where it begins again: its end goes into its beginning, at equal power."""
    seam = min(SEAM_SAMPLES, len(music) // 4)
    if not seam:
        return music
    turn = (np.pi / 2 * (np.arange(seam, dtype=np.float32) + 0.5) / seam)[:, None]
    begins = music[:seam] * np.sin(turn) + music[-seam:] * np.cos(turn)
    joined: Sound = np.concatenate([begins, music[seam:-seam]]).astype("<f4")
    return joined


def lead_samples(tracks: Tracks) -> int | None:
    """When the first word comes: while the intro still sounds. None without an intro."""
    intro = tracks.get("intro")
    return None if intro is None else intro.length_samples - _under(intro)


def _under(track: Track) -> int:
    return min(UNDER_SAMPLES, track.length_samples // 3)


def arrange(timeline: Timeline, tracks: Tracks) -> tuple[Timeline, tuple[Piece, ...]]:
    """The music around the speech, and the timeline, longer where music is heard after the last word."""
    first = min((clip.start_samples for clip in timeline.clips), default=0)
    last = max((clip.end_samples for clip in timeline.clips), default=timeline.length_samples)
    pieces = []
    if intro := tracks.get("intro"):
        pieces.append(_piece(intro, 0, intro.length_samples, 0, _under(intro)))
    if outro := tracks.get("outro"):
        pieces.append(_piece(outro, last - min(_under(outro), last), outro.length_samples, RISE_SAMPLES, _under(outro)))
    if bed := tracks.get("bed"):
        start = first if intro else 0
        end = last + (0 if outro else BED_AFTER_SAMPLES)
        fade = min(BED_FADE_SAMPLES, (end - start) // 2)
        pieces.append(_piece(bed, start, end - start, fade, fade))
    length = max([timeline.length_samples, *(piece.end_samples for piece in pieces)])
    return Timeline(length, timeline.clips), tuple(pieces)


def _piece(track: Track, start: int, length: int, fade_in: int, fade_out: int) -> Piece:
    return Piece(track.sound, track.length_samples, start, length, track.gain_db, fade_in, fade_out)
