"""What the report page hears and draws: small previews of whole programmes, and their waveforms.

Measured on one core of a 2-core machine, stereo 48 kHz float to mono, per hour of programme: MP3 24 kHz 32 kbit/s 9 s
and 14 MB; AAC 18 s; Opus 24 to 27 s. Of these MP3 also plays in every browser. The waveform takes about 1 s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

import numpy as np

from speechmill.recipes import Artifact, Digest, Recipe
from storage.artifacts import ArtifactStore
from tasks.media import ffmpeg

PREVIEW_RATE_HZ = 24_000
PREVIEW_KBPS = 32
EMBED_MOST_S = 3600.0
"""Sound that a page holds itself, all tracks together: 14 MB of MP3 are 19 MB of page. What is longer stays beside
the page: the dub is there anyway, so only the original's preview is made."""

MOST_PEAKS = 240_000  # of one waveform: a byte each; at 3 hours one for 45 ms, at a third of an hour and less …
PEAKS_PER_S = 100  # … this many in a second
BLOCK_SAMPLES = 1 << 16
DRAWN_OF = 4  # one sample of so many is looked at: enough to draw, and four times as fast
MP3_EFFORT = 9  # libmp3lame's fastest: nobody judges quality by a preview


@dataclass(frozen=True, slots=True)
class Sound:
    """A whole programme as it was made: samples of any file that libsndfile reads, in the store."""

    audio: Digest
    file_name: str = ""  # of the same sound beside the page, if a browser can play it


@dataclass(frozen=True, slots=True)
class Track:
    """One sound of the page: its waveform, and where it is heard."""

    peaks: bytes  # a byte for each 1/peaks_per_s: 255 · √(largest magnitude)
    peaks_per_s: float
    embedded: bytes = b""  # MP3
    url: str = ""  # of a file beside the page, where nothing is embedded


@dataclass(frozen=True, slots=True)
class PageSound:
    """What the page of one job hears; ``beside`` are files that must lie in the page's folder, by their names."""

    original: Track
    dubs: dict[str, Track]
    beside: dict[str, Digest] = field(default_factory=dict)


def embeds(duration_s: float, languages: int) -> bool:
    """Whether a page holds its sound itself: one programme, and its dubs in so many languages."""
    return duration_s * (1 + languages) <= EMBED_MOST_S


def page_sound(
    store: ArtifactStore, original: Sound, dubs: Mapping[str, Sound], duration_s: float, *, preview_name: str,
    threads: int = 2,
) -> PageSound:  # fmt: skip
    """Everything that a page hears, made side by side in ``threads`` threads, or found.

    ``preview_name`` is what the original's preview is called (``talk.en.preview.mp3``) where it lies beside the page.
    ``preview`` and ``waveform`` of the original may be called earlier, while the dub is made: they are then found.
    """
    inside = embeds(duration_s, len(dubs))
    with ThreadPoolExecutor(threads) as pool:
        want = {language: inside or not sound.file_name for language, sound in dubs.items()}
        first = pool.submit(preview, store, original.audio)
        previews = {language: pool.submit(preview, store, dubs[language].audio) for language in dubs if want[language]}
        waves = {language: pool.submit(waveform, store, sound.audio, duration_s) for language, sound in dubs.items()}
        wave = pool.submit(waveform, store, original.audio, duration_s)
        beside: dict[str, Digest] = {}

        def track(made: Artifact | None, name: str, peaks: Artifact) -> Track:
            drawn, per_s = store.path(peaks.sha256).read_bytes(), peaks_per_s(duration_s)
            if made is not None and inside:
                return Track(drawn, per_s, embedded=store.path(made.sha256).read_bytes())
            if made is not None:
                beside[name] = made.sha256
            return Track(drawn, per_s, url=name)

        heard = track(first.result(), preview_name, wave.result())
        tracks = {
            language: track(
                previews[language].result() if want[language] else None,
                sound.file_name if not want[language] else f"{language}.{preview_name}",
                waves[language].result(),
            )
            for language, sound in dubs.items()
        }
    return PageSound(heard, tracks, beside)


def episode_track(
    store: ArtifactStore, audio: Digest, duration_s: float, *, file_name: str = "episode.mp3", threads: int = 2
) -> Track:
    """What the page of an episode hears: a preview that it holds itself, or ``file_name`` beside it where the episode
    is too long for that. ``audio`` is the whole programme in any file that libsndfile reads."""
    inside = embeds(duration_s, 0)
    with ThreadPoolExecutor(threads) as pool:
        made = pool.submit(preview, store, audio) if inside else None
        wave = pool.submit(waveform, store, audio, duration_s)
        drawn = store.path(wave.result().sha256).read_bytes()
        heard = store.path(made.result().sha256).read_bytes() if made else b""
    return Track(drawn, peaks_per_s(duration_s), embedded=heard, url="" if inside else file_name)


def preview(store: ArtifactStore, audio: Digest) -> Artifact:
    """A small mono MP3 of a sound, of the same length."""
    recipe = Recipe("preview", "1", inputs=[audio], rate_hz=PREVIEW_RATE_HZ, kbps=PREVIEW_KBPS)
    return store.get_or_make(recipe, _encoding(store.path(audio)), suffix=".mp3")


def _encoding(audio: Path) -> Callable[[Path], None]:
    def encode(out: Path) -> None:
        options = {
            "ac": 1, "ar": PREVIEW_RATE_HZ, "c:a": "libmp3lame", "b:a": f"{PREVIEW_KBPS}k",
            "compression_level": MP3_EFFORT, "map_metadata": -1,
        }  # fmt: skip
        ffmpeg.execute(ffmpeg.source(audio).audio.output(f"file:{out}", **options))

    return encode


def waveform(store: ArtifactStore, audio: Digest, duration_s: float) -> Artifact:
    """The largest magnitude in every 1/``peaks_per_s``, over all channels, as bytes."""
    per_s = peaks_per_s(duration_s)
    recipe = Recipe("waveform", "1", inputs=[audio], per_s=per_s)

    def draw(out: Path) -> None:
        out.write_bytes(measure_peaks(store.path(audio), per_s))

    return store.get_or_make(recipe, draw)


def peaks_per_s(duration_s: float) -> float:
    return round(min(PEAKS_PER_S, MOST_PEAKS / max(duration_s, 1.0)), 3)


def measure_peaks(audio: Path, per_s: float) -> bytes:
    """The bytes of ``Track.peaks``, read in blocks."""
    import soundfile

    with soundfile.SoundFile(audio) as file:
        bucket = file.samplerate / per_s  # samples, not whole
        largest = np.zeros(max(1, ceil(file.frames / bucket)), np.float32)
        block = np.empty((BLOCK_SAMPLES, file.channels), np.float32)
        at = 0
        while len(read := file.read(BLOCK_SAMPLES, out=block)):
            loud = np.abs(read[::DRAWN_OF]).ravel()
            first, last = int(at / bucket), min(int((at + len(read) - 1) / bucket), len(largest) - 1)
            starts = np.maximum(np.ceil(np.arange(first, last + 1) * bucket) - at, 0) / DRAWN_OF
            here = np.maximum.reduceat(loud, np.minimum(starts.astype(np.int64) * file.channels, len(loud) - 1))
            np.maximum(largest[first : last + 1], here, out=largest[first : last + 1])
            at += len(read)
    levels: bytes = (np.sqrt(np.clip(largest, 0.0, 1.0)) * 255).astype(np.uint8).tobytes()
    return levels
