"""The sound of a source, decoded once: 48 kHz float WAV, timed to the programme, in the source's own layout or the next
that a dub can have.

One pass of ffmpeg reads the file. It writes the samples, first of the programme first and exactly as many as the
programme has, and lists the packets of the picture, so that the delivery can be compared with the source later.
"""

from __future__ import annotations

import os
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path

from speechmill.errors import UnreadableMedia, from_os_error
from speechmill.lines import RATE_HZ, samples, seconds
from speechmill.programs import Ran, raise_for
from speechmill.recipes import Digest, Recipe
from storage.artifacts import ArtifactStore
from tasks.media import ffmpeg, pictures
from tasks.media.probing import Media, Picture
from tasks.media.sniffing import COPY_AGAIN, TOLERATED_S, UNTOLD, name, truncated
from tasks.media.tracks import AudioTrack
from tasks.sound import layouts

VERSION = "1"
SAMPLE_BYTES = 4
DAMAGED_SHARE = 0.1  # of frames that cannot be decoded: more is not a scratch
TOO_DAMAGED = 69  # ffmpeg's exit status for it
HEADER = struct.Struct("<4sI4s 4sI28s 4sIHHIIHHHHI16s 4sII 4sI")
FLOAT_SUBFORMAT = b"\x03\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"  # KSDATAFORMAT_SUBTYPE_IEEE_FLOAT
SPARE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Sound:
    """The sound of a programme, as a 48 kHz float WAV in the store."""

    digest: Digest
    channels: int
    layout: str  # ffmpeg's name for it
    length_samples: int
    packets: Digest | None = None  # list of the picture's packets (``tasks.media.pictures``), where there is one


def extract(media: Media, track: int | None, store: ArtifactStore, layout: layouts.Layout | None = None) -> Sound:
    """Decode one audio track, or find it decoded; where it is heard by ``layout_of``, or in the channels of a wider
    ``layout``. A film without sound (``None``) is silent in stereo.

    Sample 0 is the programme's zero: a track that starts late has silence before it, one that starts early loses what
    lies before the picture. The length is ``media.length_samples`` in every case.

    Raises ``TruncatedMedia`` where less can be decoded than the container claims, ``UnreadableMedia`` where nothing can
    or much of it is damaged. What lies beyond the programme is never decoded, whatever the file would unpack to.
    """
    if track is None:
        return _silence(media, store)
    chosen = media.audio[track]
    placed = layout or layout_of(chosen)
    into = _brought_into(chosen, placed)
    recipe = Recipe(
        "extract",
        VERSION,
        inputs=[media.sha256],
        track=track,
        length=media.length_samples,
        lead=samples(media.lead_s),
        **({} if into is None else {"layout": into}),
    )
    with store.scratch() as folder:
        listed = folder / "packets"
        sound = store.get_or_make(recipe, lambda out: _decode(media, chosen, placed, out, listed), suffix=".wav")
        packets = None if media.picture is None else _packets(media, media.picture, listed, store)
    return Sound(sound.sha256, placed.channels, placed.name, media.length_samples, packets)


def _silence(media: Media, store: ArtifactStore) -> Sound:
    layout = layouts.STEREO

    def write(out: Path) -> None:
        with out.open("wb") as file:
            file.write(header(layout, media.length_samples))
            file.truncate(HEADER.size + media.length_samples * layout.channels * SAMPLE_BYTES)

    made = store.get_or_make(Recipe("silence", VERSION, length=media.length_samples), write, suffix=".wav")
    with store.scratch() as folder:
        packets = None if media.picture is None else _packets(media, media.picture, folder / "packets", store)
    return Sound(made.sha256, layout.channels, layout.name, media.length_samples, packets)


def layout_of(track: AudioTrack) -> layouts.Layout:
    """Where the track's channels are heard in a dub; by their number where the source does not say, or says what
    nobody here knows."""
    known = track.layout in layouts.NAMES.values()
    return layouts.carried(layouts.of_name(track.layout) if known else layouts.of_count(track.channels))


def _brought_into(track: AudioTrack, layout: layouts.Layout) -> str | None:
    """The layout that ffmpeg has to bring the track's channels into; ``None`` where they are taken as they come."""
    as_they_come = track.layout == layout.name if track.layout else track.channels == layout.channels
    return None if as_they_come else layout.name


def header(layout: layouts.Layout, length_samples: int) -> bytes:
    """The first bytes of a float WAV (RF64, EBU Tech 3306, where 32 bits do not hold its size)."""
    channels = layout.channels
    mask = sum(1 << layouts.BITS.index(position) for position in layout.positions if position in layouts.BITS)
    data_bytes = length_samples * channels * SAMPLE_BYTES
    riff_bytes = HEADER.size - 8 + data_bytes
    large = riff_bytes > UNTOLD - 1
    sizes = struct.pack("<QQQI", riff_bytes, data_bytes, length_samples, 0) if large else bytes(28)
    return HEADER.pack(
        *(b"RF64" if large else b"RIFF", UNTOLD if large else riff_bytes, b"WAVE"),
        *(b"ds64" if large else b"JUNK", 28, sizes),
        *(b"fmt ", 40, 0xFFFE, channels, RATE_HZ, RATE_HZ * channels * SAMPLE_BYTES, channels * SAMPLE_BYTES, 32),
        *(22, 32, mask, FLOAT_SUBFORMAT),
        *(b"fact", 4, UNTOLD if large else length_samples),
        *(b"data", UNTOLD if large else data_bytes),
    )


def _decode(media: Media, track: AudioTrack, layout: layouts.Layout, out: Path, packets: Path) -> None:
    sample_bytes = SAMPLE_BYTES * layout.channels
    whole_bytes = media.length_samples * sample_bytes
    # More than the programme is never asked for, so a file that grows beyond it is a decoder gone wrong.
    limits = ffmpeg.lasting(media.duration_s, file_bytes=2 * whole_bytes + SPARE_BYTES)
    try:
        with out.open("wb") as file:
            file.write(header(layout, media.length_samples))
            file.flush()
            with ffmpeg.running(_plan(media, track, layout, packets), stdout=file.fileno(), limits=limits) as process:
                ran = ffmpeg.finish(process, check=False)
            decoded_bytes = file.seek(0, os.SEEK_END) - HEADER.size
            _judge(media, track, decoded_bytes // sample_bytes, ran)
            media.raise_if_changed()
            file.truncate(HEADER.size + whole_bytes)  # silence where the sound ends before the programme
    except OSError as error:
        raise from_os_error(error) from error


def _plan(media: Media, track: AudioTrack, layout: layouts.Layout, packets: Path) -> ffmpeg.Node:
    source = pictures.source(media)
    # async=1 puts silence where time stamps leave a gap and trims overlaps, but never stretches. A first_pts implies
    # it; it is written so that nobody has to know.
    brought = {"ochl": into} if (into := _brought_into(track, layout)) else {}
    timed = source[str(track.index)].filter(
        "aresample", RATE_HZ, **{"async": 1, "first_pts": samples(media.lead_s), "osf": "flt", **brought}
    )
    decoded = timed.output("pipe:1", f="f32le", acodec="pcm_f32le", t=f"{seconds(media.length_samples):.6f}")
    outputs = [decoded]
    if media.picture is not None:
        picture = media.picture
        outputs.append(
            pictures.listing(source, str(picture.index), picture.codec, packets, naked=pictures.naked(media))
        )
    return ffmpeg.together(*outputs).global_args("-max_error_rate", str(DAMAGED_SHARE))


def _judge(media: Media, track: AudioTrack, decoded_samples: int, ran: Ran) -> None:
    """Raise for sound that is not what the container said."""
    if ran.returncode != 0 and (ran.returncode < 0 or "No space left" in ran.stderr):
        raise_for("ffmpeg", ran)
    decoded_s = seconds(decoded_samples)
    claimed_s = min(track.claimed_end_s or 0.0, media.duration_s)
    silence_s = max(0.0, track.start_s)  # put before the first sample that was decoded
    if decoded_s <= silence_s:
        raise UnreadableMedia(
            f"no sound can be decoded from audio track {track.number} of {name(media.path)}",
            hint=f"choose another with --audio-track, or {COPY_AGAIN}",
            stderr=ran.stderr,
        )
    if decoded_s < claimed_s - TOLERATED_S:
        raise truncated(media.path, claimed_s=claimed_s, decoded_s=decoded_s)
    if ran.returncode != 0:
        raise UnreadableMedia(
            f"{name(media.path)} is damaged: more than {DAMAGED_SHARE:.0%} of its sound cannot be decoded"
            if ran.returncode == TOO_DAMAGED
            else f"{name(media.path)} cannot be decoded",
            hint=COPY_AGAIN,
            stderr=ran.stderr,
        )


def _packets(media: Media, picture: Picture, listed: Path, store: ArtifactStore) -> Digest:
    """The list of the picture's packets: from the pass that decoded the sound, else by one of its own."""

    def make(out: Path) -> None:
        if listed.exists():
            shutil.move(listed, out)
        else:
            pictures.list_packets(
                pictures.source(media), str(picture.index), picture.codec, out, naked=pictures.naked(media)
            )

    return store.get_or_make(pictures.recipe(media), make).sha256
