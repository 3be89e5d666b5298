"""What a film or recording is: its picture, its audio tracks, how long it is, and whether it can be dubbed at all.

Times are those of the programme. Its zero is the first moment of the picture; where there is none, or where sound
begins clearly before the picture, it is the first moment of all. Its length is the picture's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechmill.errors import LimitExceeded, ToolFailed, TruncatedMedia, UnreadableMedia
from speechmill.lines import samples
from speechmill.programs import Limits
from speechmill.recipes import Digest, digest_of_file
from speechmill.settings import Settings
from tasks.media import ffmpeg, tracks
from tasks.media.sniffing import COPY_AGAIN, TOLERATED_S, Sniffed, name, sniff, truncated
from tasks.media.tracks import AudioTrack

LEAD_S = 0.1
"""Sound that begins this much before the picture is codec priming or rounding of the container; more is meant."""
OUTLAST_S = 2.0
"""A picture that ends this much before the sound is a still or a damaged one: the programme lasts like the sound."""
GUESSED_SCORE = 25
"""ffmpeg's own mark for “perhaps” (AVPROBE_SCORE_RETRY): random bytes reach 1, real media at least 26."""
TAIL_S = 10.0  # where the end of a picture is looked for
OPENING = Limits(wall_s=60, cpu_s=60, memory_bytes=ffmpeg.MEMORY_BYTES)
READING = Limits(wall_s=600, memory_bytes=ffmpeg.MEMORY_BYTES)

# Matroska's length is none either where it begins late: some writers count from the beginning, others from zero.
ESTIMATED = frozenset({"mp3", "aac", "ac3", "eac3", "dts", "amr", "mpegts", "mpeg", "flv", "asf", "avi", "dv"})
"""Containers whose length ffprobe works out from the bit rate, or copies from a header that writers get wrong."""
CLAIMING = frozenset({"mov", "wav", "w64", "flac", "aiff", "caf", "wv", "ape", "au"})
"""Containers that write down the length of every track exactly."""
TECHNICAL = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "rotate"})
ENCRYPTED = frozenset({"encv", "enca", "drms", "drmi"})


@dataclass(frozen=True, slots=True)
class Picture:
    """The moving picture. Cover art is none."""

    index: int  # of its stream in the file
    codec: str
    tag: str  # the codec's four letters in the source
    width: int
    height: int
    rotation: int  # degrees a player turns it by
    fps: float  # frames a second, on average
    start_s: float
    end_s: float

    @property
    def frame_s(self) -> float:
        return 1 / self.fps


@dataclass(frozen=True, slots=True)
class Chapter:
    start_s: float
    end_s: float
    title: str


@dataclass(frozen=True, slots=True)
class Glance:
    """What a source has."""

    audio: tuple[tracks.Stream, ...]  # audio streams, as ffprobe describes them
    has_picture: bool


@dataclass(frozen=True, slots=True)
class Media:
    """A source that can be dubbed."""

    path: Path
    sha256: Digest
    size_bytes: int
    modified_ns: int
    container: str
    duration_s: float  # of the programme
    lead_s: float  # how much of the file lies before the programme's zero, by ffmpeg's count
    picture: Picture | None
    audio: tuple[AudioTrack, ...]
    chapters: tuple[Chapter, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def length_samples(self) -> int:
        """Of the programme, at 48 kHz: the length of everything that is made for it."""
        return samples(self.duration_s)

    def raise_if_changed(self) -> None:
        """Raise ``UnreadableMedia`` where the file is no longer the one that was probed."""
        found = self.path.stat()
        if (found.st_size, found.st_mtime_ns) != (self.size_bytes, self.modified_ns):
            raise UnreadableMedia(f"{name(self.path)} changed while it was read", hint="wait until it is written whole")

    def __hash__(self) -> int:
        return hash(self.sha256)


def glance(path: Path, settings: Settings) -> Glance:
    """What can be told of ``path`` by its first bytes and its container's header; raises as ``probe`` does."""
    found = _open(path, sniff(path, most_bytes=settings.max_source_bytes))
    _refuse_undubbable(path, found["streams"])
    return Glance(tuple(_of_kind(found, "audio")), _moving(found) is not None)


def probe(path: Path, settings: Settings, audio_track: int | None = 0) -> Media:
    """What ``path`` is; refuses what cannot be dubbed before anything is decoded. With ``None`` for the audio track it
    need not have sound, but a picture.

    Raises ``UnreadableMedia``, ``TruncatedMedia`` or ``LimitExceeded``, each naming the file and the mend.
    """
    sniffed = sniff(path, most_bytes=settings.max_source_bytes)
    found = _open(path, sniffed)
    container = str(found["format"]["format_name"]).split(",")[0]
    _refuse_undubbable(path, found["streams"])
    audio, picture = _of_kind(found, "audio"), _moving(found)
    if audio_track is not None:
        tracks.refuse_unusable(path, audio, audio_track, settings)
    track = picture if audio_track is None else audio[audio_track]
    if track is None:
        raise UnreadableMedia(f"{name(path)} has neither picture nor sound", hint=COPY_AGAIN)

    first_s = _number(found["format"].get("start_time"))
    claimed_s = _number(found["format"].get("duration"))
    _refuse_long(path, claimed_s, settings)
    origin_s = first_s
    if picture is not None and 0 <= _start(picture, first_s) - first_s < LEAD_S:
        origin_s = _start(picture, first_s)
    if sniffed.is_cut:
        there_s = readable_s(path, int(track["index"]), settings)
        if there_s < claimed_s - TOLERATED_S:
            raise truncated(path, claimed_s=claimed_s, decoded_s=there_s)

    end_s = first_s + claimed_s
    if container in ESTIMATED or claimed_s == 0 or (container == "matroska" and first_s > LEAD_S):
        end_s = first_s + readable_s(path, int(track["index"]), settings)
        _refuse_mp3_cut(path, container, claimed_s, end_s)
    picture_facts = None
    if picture is not None:
        picture_end_s = _picture_end_s(path, picture, near_s=end_s)
        picture_claims_s = (_track_end_s(picture) if container in CLAIMING else None) or picture_end_s
        if picture_end_s < picture_claims_s - TOLERATED_S:
            raise truncated(path, claimed_s=picture_claims_s, decoded_s=picture_end_s)
        picture_facts = _picture(picture, _start(picture, first_s) - origin_s, picture_end_s - origin_s)
        track_end_s = _track_end_s(track) or end_s
        end_s = picture_end_s if track_end_s - picture_end_s < OUTLAST_S else track_end_s
    _refuse_long(path, end_s - origin_s, settings)
    if end_s <= origin_s:
        raise UnreadableMedia(f"nothing can be read from {name(path)}", hint=COPY_AGAIN)
    return Media(
        path=path,
        sha256=digest_of_file(path),
        size_bytes=sniffed.size_bytes,
        modified_ns=sniffed.modified_ns,
        container=container,
        duration_s=round(end_s - origin_s, 6),
        lead_s=round(origin_s - first_s, 6),
        picture=picture_facts,
        audio=tuple(
            tracks.track_of(
                i,
                stream,
                round(_start(stream, first_s) - origin_s, 6),
                _claimed_end_s(stream, origin_s) if container in CLAIMING else None,
            )
            for i, stream in enumerate(audio)
        ),
        chapters=tuple(
            Chapter(
                float(c["start_time"]) - origin_s, float(c["end_time"]) - origin_s, c.get("tags", {}).get("title", "")
            )
            for c in found["chapters"]
        ),
        metadata={key: value for key, value in found["format"].get("tags", {}).items() if key.lower() not in TECHNICAL},
    )


def readable_s(path: Path, stream: int, settings: Settings) -> float:
    """Where a stream ends, by ffmpeg's count, measured by reading every packet (not decoding): seconds an hour."""
    most_s = settings.max_duration_s + 1
    node = ffmpeg.source(path).output("pipe:1", map=f"0:{stream}", c="copy", f="null", t=most_s)
    limits = Limits(settings.tool_timeout_s, memory_bytes=ffmpeg.MEMORY_BYTES)
    ran = ffmpeg.execute(node.global_args("-progress", "pipe:1"), limits=limits, check=False)
    times = [line.split("=")[1] for line in ran.stdout.decode().splitlines() if line.startswith("out_time_us=")]
    return max((int(time) / 1e6 for time in times if time.lstrip("-").isdigit()), default=0.0)


def _open(path: Path, sniffed: Sniffed) -> dict[str, Any]:
    cannot = UnreadableMedia(
        f"{name(path)} is not a film or recording that can be read",
        hint="check that it plays, or convert it with ffmpeg first",
    )
    try:
        found = ffmpeg.probe(path, limits=OPENING)
    except (UnreadableMedia, ToolFailed) as error:
        if sniffed.is_cut:
            raise TruncatedMedia(
                f"{name(path)} claims {sniffed.claimed_bytes} bytes but has only {sniffed.size_bytes}",
                hint=COPY_AGAIN,
                claimed_bytes=sniffed.claimed_bytes,
                there_bytes=sniffed.size_bytes,
            ) from None
        cannot.evidence.update(error.evidence)
        raise cannot from None
    if int(found["format"].get("probe_score", 0)) <= GUESSED_SCORE:
        raise cannot
    return found


def _refuse_undubbable(path: Path, streams: list[dict[str, Any]]) -> None:
    if any(stream.get("codec_tag_string") in ENCRYPTED for stream in streams):
        raise UnreadableMedia(f"{name(path)} is encrypted", hint="name a copy without copy protection")
    for stream in streams:
        if int(stream.get("width") or 0) * int(stream.get("height") or 0) > ffmpeg.MOST_PIXELS:
            raise LimitExceeded(
                f"{name(path)} claims a picture of {stream['width']}×{stream['height']}", hint="scale it down first"
            )


def _refuse_long(path: Path, duration_s: float, settings: Settings) -> None:
    if duration_s > settings.max_duration_s:
        raise LimitExceeded(
            f"{name(path)} lasts {duration_s:.0f} s, longer than the {settings.max_duration_s:.0f} s allowed",
            hint="cut it, or raise SPEECHMILL_MAX_DURATION_S",
        )


def _refuse_mp3_cut(path: Path, container: str, claimed_s: float, end_s: float) -> None:
    """An MP3 says how long it is only in a Xing, Info or VBRI frame; without one the claim is ffprobe's guess."""
    if container != "mp3" or end_s > claimed_s - TOLERATED_S:
        return
    with path.open("rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3":
            size = 0
            for byte in head[6:10]:
                size = size << 7 | byte & 0x7F
            file.seek(10 + size)
        first_frames = file.read(4096)
    if any(mark in first_frames for mark in (b"Xing", b"Info", b"VBRI")):
        raise truncated(path, claimed_s=claimed_s, decoded_s=end_s)


def _picture(stream: dict[str, Any], start_s: float, end_s: float) -> Picture:
    turned = next((s["rotation"] for s in stream.get("side_data_list", ()) if "rotation" in s), None)
    rotation = int(turned) if turned is not None else int(stream.get("tags", {}).get("rotate", 0))
    return Picture(
        index=int(stream["index"]),
        codec=stream.get("codec_name", "unknown"),
        tag=stream.get("codec_tag_string", ""),
        width=int(stream.get("width", 0)),
        height=int(stream.get("height", 0)),
        rotation=rotation % 360,
        fps=_rate(stream.get("avg_frame_rate")) or _rate(stream.get("r_frame_rate")) or 25.0,
        start_s=round(start_s, 6),
        end_s=round(end_s, 6),
    )


def _picture_end_s(path: Path, stream: dict[str, Any], *, near_s: float) -> float:
    """Where the last frame ends, from the last packets of the file; from all of them where seeking finds none."""
    for first_s in (max(0.0, near_s - TAIL_S), None):
        interval = () if first_s is None else ("-read_intervals", f"{first_s:.3f}%")
        entries = ("-select_streams", str(stream["index"]), "-show_entries", "packet=pts_time,dts_time,duration_time")
        packets = ffmpeg.probe(path, *entries, *interval, limits=READING).get("packets", [])
        frame_s = 1 / (_rate(stream.get("avg_frame_rate")) or 25.0)
        ends = [
            float(p.get("pts_time", p.get("dts_time"))) + _number(p.get("duration_time"), frame_s)
            for p in packets
            if "pts_time" in p or "dts_time" in p
        ]
        if ends:
            return max(ends)
    raise UnreadableMedia(f"the picture of {name(path)} cannot be read", hint=COPY_AGAIN)


def _start(stream: dict[str, Any], otherwise_s: float) -> float:
    return _number(stream.get("start_time"), otherwise_s)


def _of_kind(found: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [stream for stream in found["streams"] if stream["codec_type"] == kind]


def _moving(found: dict[str, Any]) -> dict[str, Any] | None:
    """The stream of the picture; cover art is none."""
    pictures = [stream for stream in _of_kind(found, "video") if not stream["disposition"]["attached_pic"]]
    return pictures[0] if pictures else None


def _claimed_end_s(stream: dict[str, Any], origin_s: float) -> float | None:
    end_s = _track_end_s(stream)
    return None if end_s is None else round(end_s - origin_s, 6)


def _track_end_s(stream: dict[str, Any]) -> float | None:
    return _number(stream.get("start_time")) + float(stream["duration"]) if "duration" in stream else None


def _number(text: object, otherwise: float = 0.0) -> float:
    return otherwise if text in (None, "N/A") else float(str(text))


def _rate(text: str | None) -> float:
    """Frames a second from ffprobe's fraction; 0 where it has none."""
    above, _, below = (text or "0/0").partition("/")
    return float(above) / float(below) if float(below or 1) else 0.0
