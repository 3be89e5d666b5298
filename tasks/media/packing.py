"""The dubbed film: the source's picture, the dubs, the original sound and the subtitles in one MP4 file.

What goes in and how is a plan, a value; packing runs it. The picture is copied packet by packet. Only a codec that MP4
has no place for is encoded anew, and the delivery says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from speechmill import languages
from speechmill.errors import DiskFull, ToolFailed
from speechmill.programs import Limits
from tasks.disclosing import OF_A_DUB
from tasks.media import boxes, ffmpeg, pictures
from tasks.media.probing import Media, Picture
from tasks.media.tracks import AudioTrack

PICTURES_IN_MP4 = frozenset({
    "h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "png", "jpeg2000", "vc1",
})  # fmt: skip
SOUNDS_IN_MP4 = frozenset({"aac", "alac", "ac3", "eac3", "mp3", "dts", "flac", "opus"})
"""Codecs with a registered place in MP4 (mp4ra.org) that ffmpeg's muxer writes. MPEG-1 layer II is none: MP4 has one
mark for all layers, which players take for MP3."""

CRF = 18  # of libx264: hardly told from the source by eye
KBPS_PER_CHANNEL = 96
MOST_KBPS = 512
LIMITS = Limits(memory_bytes=8 << 30)


@dataclass(frozen=True, slots=True)
class Dub:
    """One dubbed track, encoded."""

    language: str
    audio: Path  # .m4a


@dataclass(frozen=True, slots=True)
class Subtitle:
    """One set of subtitles."""

    language: str
    file: Path  # .srt, UTF-8


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream of the packed film, as the checks expect it."""

    kind: str  # ffprobe's word: video, audio, subtitle
    codec: str
    language: str | None = None  # BCP-47; None where nothing is claimed
    title: str = ""
    default: bool = False
    dub: bool = False
    was: str = ""  # the source's codec, where that could not be copied


@dataclass(frozen=True, slots=True)
class Plan:
    """How a film is packed."""

    node: ffmpeg.Node
    streams: tuple[Stream, ...]


@dataclass(frozen=True, slots=True)
class Packed:
    """A film that was packed and not yet checked."""

    path: Path
    streams: tuple[Stream, ...]

    @property
    def picture_copied(self) -> bool:
        return not self.streams[0].was


def pack(
    media: Media, track: int | None, language: str, dubs: Sequence[Dub], subtitles: Sequence[Subtitle], out: Path
) -> Packed:
    """Pack the film into ``out``. ``track`` is the original's (``None``: it has no sound), ``language`` what is spoken
    in it.

    A picture that MP4 should hold but the muxer refuses (packets without times, in old AVI files) is encoded anew.
    Raises ``ValueError`` for a source without a picture, ``ToolFailed`` and ``DiskFull`` as ``ffmpeg.execute`` does.
    """
    if media.picture is None:
        raise ValueError("a source without a picture gives no film")
    copied = media.picture.codec in PICTURES_IN_MP4
    original = None if track is None else media.audio[track]
    made = plan(media, media.picture, original, language, dubs, subtitles, out, copy_picture=copied)
    try:
        ffmpeg.execute(made.node, limits=LIMITS)
    except DiskFull:
        raise
    except ToolFailed:
        if not copied:
            raise
        made = plan(media, media.picture, original, language, dubs, subtitles, out, copy_picture=False)
        ffmpeg.execute(made.node, limits=LIMITS)
    boxes.write_languages(out, [stream.language for stream in made.streams])
    boxes.switch_off(out, [i for i, stream in enumerate(made.streams) if stream.kind == "subtitle"])
    return Packed(out, made.streams)


def plan(
    media: Media,
    picture: Picture,
    original: AudioTrack | None,
    language: str,
    dubs: Sequence[Dub],
    subtitles: Sequence[Subtitle],
    out: Path,
    *,
    copy_picture: bool,
) -> Plan:
    """Streams in the order players offer them: the picture, the dubs (the first is what is heard), the original, the
    subtitles. Chapters and metadata are the source's. The programme's zero is the file's."""
    source = pictures.source(media, itsoffset=f"{-media.lead_s:.6f}")
    copy_sound = original is None or original.codec in SOUNDS_IN_MP4
    kept = [sub for sub in subtitles if sub.file.stat().st_size > 0]

    shown = Stream("video", picture.codec, default=True)
    streams = [shown if copy_picture else replace(shown, codec="h264", was=picture.codec)]
    streams += [
        Stream("audio", "aac", dub.language, title(dub.language, "dub"), default=i == 0, dub=True)
        for i, dub in enumerate(dubs)
    ]
    if original is not None:
        heard = Stream("audio", original.codec, language, title(language, "original"))
        streams.append(heard if copy_sound else replace(heard, codec="aac", was=original.codec))
    streams += [Stream("subtitle", "mov_text", sub.language, title(sub.language)) for sub in kept]

    inputs = [source[str(picture.index)]]
    inputs += [ffmpeg.source(dub.audio)["a:0"] for dub in dubs]
    if original is not None:
        inputs.append(source[str(original.index)])
    inputs += [ffmpeg.source(sub.file, f="srt")["s:0"] for sub in kept]

    options: dict[str, object] = {
        "c": "copy",
        "c:s": "mov_text",
        "map_metadata": 0,
        "metadata": f"comment={commented(media)}",
        "map_chapters": 0,
        "movflags": "+faststart",
        "strict": "experimental",  # what ffmpeg 5.1 still calls FLAC and Opus in MP4
        "f": "mp4",
        **(_copied_picture(media, picture) if copy_picture else ENCODED_PICTURE),
    }
    if original is not None and not copy_sound:
        last = len(dubs)
        kbps = min(MOST_KBPS, KBPS_PER_CHANNEL * original.channels)
        options |= {f"c:a:{last}": "aac", f"b:a:{last}": f"{kbps}k"}
    options |= _labels(streams)
    return Plan(ffmpeg.joined(inputs, out, **options), tuple(streams))


def commented(media: Media) -> str:
    """What a player shows as the film's comment: its own, and that the dub's voices are made."""
    return "\n".join(filter(None, (media.metadata.get("comment", ""), OF_A_DUB)))


def title(language: str, role: str = "") -> str:
    """What a player's menu shows: the language's own name, with a capital as in a list, and what the track is."""
    own = languages.own_name(language)
    return (own[:1].upper() + own[1:]) + (f" ({role})" if role else "")


ENCODED_PICTURE: dict[str, object] = {
    "c:v": "libx264",
    "crf": CRF,
    "preset": "veryfast",
    "pix_fmt": "yuv420p",  # what every player shows
    "filter:v": "pad=ceil(iw/2)*2:ceil(ih/2)*2",  # which wants even sides
    "fps_mode": "passthrough",  # every frame at its own time, also where they are not even
}


def _copied_picture(media: Media, picture: Picture) -> dict[str, object]:
    # Apple's players take HEVC only as hvc1; a source that is MOV or MP4 already says what it is.
    return {"tag:v": "hvc1"} if picture.codec == "hevc" and media.container != "mov" else {}


def _labels(streams: Sequence[Stream]) -> dict[str, object]:
    """Languages, titles and dispositions, by kind and number within the kind."""
    options: dict[str, object] = {}
    numbers = {"video": 0, "audio": 0, "subtitle": 0}
    for stream in streams:
        place = f"{stream.kind[0]}:{numbers[stream.kind]}"
        numbers[stream.kind] += 1
        if stream.language is None:
            continue
        tags = {
            "language": languages.iso639_2t(stream.language),
            "title": stream.title,
            "handler_name": boxes.padded(stream.title, stream.language),
        }
        options[f"metadata:s:{place}"] = ffmpeg.several([f"{key}={value}" for key, value in tags.items()])
        roles = ("default" if stream.default else "", "dub" if stream.dub else "")
        # MP4 has no mark for an original (DASH roles know “dub” only); its title says it.
        fallback = "original" if stream.kind == "audio" else "0"
        options[f"disposition:{place}"] = "+".join(role for role in roles if role) or fallback
    return options
