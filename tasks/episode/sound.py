"""The files of an episode that are heard: MP3 with its ID3 tag, M4A and M4B by option.

The MP3 is encoded once, without a tag; the tag is then put in front of it, so a new title costs a copy. Sample 0 of
the master is heard at time 0: LAME's header in the first frame tells players how much of its run-up to leave out, and
how much at the end, so what is heard has exactly the master's samples.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from speechmill.languages import iso639_2t
from speechmill.lines import RATE_HZ
from speechmill.recipes import Artifact, Digest, Recipe
from storage.artifacts import ArtifactStore
from tasks.episode import chapters, id3
from tasks.episode.content import Episode
from tasks.media import ffmpeg

VERSION = "1"
_COPY_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class Mp3:
    """How an MP3 is encoded. Constant bit rate: every player then seeks to the right place by arithmetic alone, and
    hosts that put advertisements in can cut at any frame. 48 kHz, so that nothing is resampled between the master and
    the listener (Apple and Spotify take 44.1 or 48). Rates: Apple's audio requirements ask for 96 to 128 kbit/s for
    mono and 128 to 256 for stereo; ours leave room for music under speech."""

    mono_kbps: int = 96
    stereo_kbps: int = 160

    def kbps(self, channels: int) -> int:
        return self.mono_kbps if channels == 1 else self.stereo_kbps


MP3 = Mp3()


def encode_mp3(master: Path, out: Path, encoding: Mp3 = MP3) -> None:
    """Encode a lossless master, mono or stereo, without any tag. Raises ``ToolFailed``."""
    channels = int(ffmpeg.probe(master)["streams"][0]["channels"])
    node = ffmpeg.source(master)["a:0"].output(
        f"file:{out}",
        f="mp3",
        ar=RATE_HZ,
        ac=min(channels, 2),
        id3v2_version=0,
        write_id3v1=0,
        map_metadata=-1,
        **{"c:a": "libmp3lame", "b:a": f"{encoding.kbps(channels)}k"},
    )
    ffmpeg.execute(node)


def encoded_mp3(store: ArtifactStore, master: Digest, encoding: Mp3 = MP3) -> Artifact:
    """The MP3 of a master, without its tag; made, or found."""
    recipe = Recipe(
        "episode mp3", VERSION, inputs=[master], mono_kbps=encoding.mono_kbps, stereo_kbps=encoding.stereo_kbps
    )
    return store.get_or_make(recipe, lambda out: encode_mp3(store.path(master), out, encoding))


def write_mp3(encoded: Path, episode: Episode, out: Path, *, cover: Path | None = None, guid: str = "") -> None:
    """Put the tag (ID3v2.3: texts, cover, chapters) in front of an MP3 that has none. ``cover`` is a JPEG."""
    tag = id3.tag(tags_of(episode, guid), episode.spans, cover.read_bytes() if cover else b"")
    with out.open("wb") as file, encoded.open("rb") as sound:
        sound.seek(id3.tag_bytes(encoded))
        file.write(tag)
        shutil.copyfileobj(sound, file, _COPY_BYTES)


def tags_of(episode: Episode, guid: str = "") -> id3.Tags:
    """What the tag of an episode says."""
    return id3.Tags(
        title=episode.title,
        language=iso639_2t(episode.language),
        artist=episode.author or episode.show,
        album=episode.show,
        album_artist=episode.author,
        track="" if episode.number is None else str(episode.number),
        disc="" if episode.season is None else str(episode.season),
        date=episode.date,
        comment="\n\n".join(part for part in (episode.description, episode.disclosure) if part),
        copyright=episode.copyright,
        link=episode.link,
        publisher=episode.author,
        lyrics="\n".join(f"{line.speaker}: {line.text}" if line.speaker else line.text for line in episode.lines),
        length_ms=round(episode.duration_s * 1000),
        ai_content=episode.ai_content,
        guid=guid,
    )


def write_m4a(sound: Path, episode: Episode, out: Path, *, cover: Path | None = None, kbps: int = 96) -> None:
    """An M4A, or an audiobook where ``out`` ends in ``.m4b``, with chapters, tags and cover.

    AAC is copied as it is; anything else is encoded at ``kbps`` for mono, twice as much for stereo.
    """
    stream = next(s for s in ffmpeg.probe(sound)["streams"] if s["codec_type"] == "audio")
    meta = out.with_name(out.name + ".ffmeta")
    meta.write_text(chapters.ffmetadata(episode.spans, _mp4_tags(episode)), "utf-8")
    # "d?": of the metadata no stream is taken, but it has to be an input to be read at all.
    streams = [ffmpeg.source(sound)["a:0"], ffmpeg.source(meta, f="ffmetadata")["d?"]]
    options: dict[str, object] = {
        "f": "ipod",
        "movflags": "+faststart",
        "movie_timescale": RATE_HZ,
        "map_metadata": 1,
        "map_chapters": 1,
        "metadata:s:a:0": f"language={iso639_2t(episode.language)}",
    }
    if stream["codec_name"] == "aac":
        options["c:a"] = "copy"
    else:
        options |= {"c:a": "aac", "b:a": f"{kbps * stream['channels']}k", "ar": RATE_HZ}
    if cover:
        streams.append(ffmpeg.source(cover, f="jpeg_pipe")["v:0"])
        options |= {"c:v": "copy", "disposition:v:0": "attached_pic"}
    try:
        ffmpeg.execute(ffmpeg.joined(streams, out, **options))
    finally:
        meta.unlink()
    if out.suffix == ".m4b":
        _brand_as_audiobook(out)


def _brand_as_audiobook(path: Path) -> None:
    """Say “M4B ” where ffmpeg's muxer says “M4A ”: Apple Books goes by it."""
    with path.open("r+b") as file:
        head = file.read(12)
        if head[4:12] == b"ftypM4A ":
            file.seek(8)
            file.write(b"M4B ")


def _mp4_tags(episode: Episode) -> dict[str, str]:
    return {
        "title": episode.title,
        "artist": episode.author or episode.show,
        "album": episode.show,
        "album_artist": episode.author,
        "track": "" if episode.number is None else str(episode.number),
        "date": episode.date,
        "genre": "Podcast",
        "comment": "\n\n".join(part for part in (episode.description, episode.disclosure) if part),
        "copyright": episode.copyright,
    }
