"""The audio tracks of a source, and which of them is dubbed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechmill import languages
from speechmill.errors import LimitExceeded, UnreadableMedia, UnsupportedLanguage
from speechmill.lines import RATE_HZ
from speechmill.settings import Settings
from tasks.media.sniffing import name
from tasks.sound.layouts import MOST_CHANNELS

Stream = Mapping[str, Any]  # as ffprobe describes it


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """One of the source's audio tracks."""

    number: int  # among audio tracks, from 0; what ``--audio-track`` means
    index: int  # of its stream in the file
    codec: str
    channels: int
    layout: str  # ffmpeg's name; empty where the source does not say
    rate_hz: int
    bits: int  # of a sample; 0 where the codec has none
    language: str | None  # canonical BCP-47
    title: str
    start_s: float  # of the programme; negative where its first part is before the picture
    claimed_end_s: float | None  # where the container says it ends; None where it does not say


@dataclass(frozen=True, slots=True)
class Chosen:
    """The track that is dubbed: its number among audio tracks (None: there is no sound), and what a person should know
    of the choice."""

    number: int | None
    note: str = ""


def track_of(number: int, stream: Stream, start_s: float, end_s: float | None) -> AudioTrack:
    """A track by its stream; times are those of the programme."""
    tags = stream.get("tags", {})
    return AudioTrack(
        number=number,
        index=int(stream["index"]),
        codec=stream.get("codec_name", "unknown"),
        channels=int(stream.get("channels", 0)),
        layout=stream.get("channel_layout", "").replace("unknown", ""),
        rate_hz=int(stream.get("sample_rate", RATE_HZ)),
        bits=int(stream.get("bits_per_raw_sample") or stream.get("bits_per_sample") or 0),
        language=language_of(stream),
        title=tags.get("title", tags.get("name", "")),
        start_s=start_s,
        claimed_end_s=end_s,
    )


def choose(
    path: Path, streams: Sequence[Stream], language: str, wanted: int | None, *, may_be_silent: bool = False
) -> Chosen:
    """The track to dub out of a source's audio streams: the one that is asked for, else the first, unless it is marked
    as another language than is spoken and a further one is marked as that.

    Raises ``UnreadableMedia`` for a track that there is not, for a source in another language by its own account, and,
    unless it ``may_be_silent``, for one without sound.
    """
    if not streams and wanted is None:
        if not may_be_silent:
            raise UnreadableMedia(
                f"{name(path)} has no audio track", hint="name a film with sound, or give what is said by --script FILE"
            )
        return Chosen(None)
    if wanted is not None:
        _refuse_number(path, streams, wanted)
        marked = language_of(streams[wanted])
        if marked is None or _same(marked, language):
            return Chosen(wanted)
        said = f"{languages.name(marked)}, and taken for {languages.name(language)}, since --audio-track asks for it"
        return Chosen(wanted, f"audio track {wanted} is marked as {said}")
    marks = [language_of(stream) for stream in streams]
    if marks[0] is None or _same(marks[0], language):
        return Chosen(0)
    fitting = next((i for i, marked in enumerate(marks) if marked is not None and _same(marked, language)), None)
    if fitting is not None:
        spoken = languages.name(language)
        return Chosen(fitting, f"audio track {fitting} is dubbed, the first that is marked as {spoken}")
    raise UnreadableMedia(
        f"{name(path)} is in {languages.name(marks[0])} by its own account, not in {languages.name(language)}",
        hint=f"say --from {marks[0]}, or insist on a track with --audio-track: {listed(streams)}",
    )


def refuse_unusable(path: Path, streams: Sequence[Stream], wanted: int, settings: Settings) -> None:
    """Raise ``UnreadableMedia`` or ``LimitExceeded`` for a track that is not there or cannot be decoded."""
    _refuse_number(path, streams, wanted)
    track = streams[wanted]
    if "codec_name" not in track or track["codec_name"] in ("unknown", "none") or not int(track.get("channels", 0)):
        raise UnreadableMedia(
            f"audio track {wanted} of {name(path)} is in a format that cannot be decoded",
            hint="convert it to AAC or WAV first",
        )
    if int(track["channels"]) > MOST_CHANNELS:
        raise UnreadableMedia(
            f"audio track {wanted} of {name(path)} has {track['channels']} channels, and nobody knows where more than "
            f"{MOST_CHANNELS} are heard",
            hint="choose another with --audio-track, or mix it to stereo or 5.1 first",
        )
    if int(track["channels"]) > settings.max_channels:
        raise LimitExceeded(
            f"audio track {wanted} of {name(path)} has {track['channels']} channels, "
            f"more than the {settings.max_channels} allowed",
            hint="choose another with --audio-track, or raise SPEECHMILL_MAX_CHANNELS",
        )


def _refuse_number(path: Path, streams: Sequence[Stream], wanted: int) -> None:
    if not streams:
        raise UnreadableMedia(f"{name(path)} has no audio track", hint="name a film or recording with sound")
    if not 0 <= wanted < len(streams):
        count = "1 audio track" if len(streams) == 1 else f"{len(streams)} audio tracks"
        raise UnreadableMedia(
            f"{name(path)} has {count}, none of them is number {wanted}",
            hint=f"choose with --audio-track: {listed(streams)}",
        )


def listed(streams: Sequence[Stream]) -> str:
    """``0: English aac stereo; 1: French ac3 5.1(side)``."""
    return "; ".join(f"{i}: {_in_words(stream)}" for i, stream in enumerate(streams))


def _in_words(stream: Stream) -> str:
    language = language_of(stream)
    layout = stream.get("channel_layout") or f"{stream.get('channels', 0)} channels"
    parts = (languages.name(language) if language else "", stream.get("codec_name", "unknown"), layout)
    return " ".join(part for part in parts if part)


def language_of(stream: Stream) -> str | None:
    """The language that a stream is marked as, if that is one."""
    try:
        marked = languages.canonical(stream.get("tags", {}).get("language", ""))
    except UnsupportedLanguage:
        return None
    return marked if languages.is_one(marked) else None


def _same(marked: str, language: str) -> bool:
    return languages.macro(marked) == languages.macro(language)
