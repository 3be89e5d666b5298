"""The files of an episode that are heard: MP3 with its ID3 tag, M4A and M4B by option.

The MP3 is encoded without a tag (``tasks.sound.mp3``); the tag is then put in front of it, so a new title costs a copy.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from speechmill.episodes import PodcastRequest
from speechmill.languages import iso639_2t
from speechmill.lines import RATE_HZ
from speechmill.profiles import profile
from tasks.episode import chapters, id3
from tasks.episode.content import Episode
from tasks.media import ffmpeg
from tasks.sound import flac
from tasks.sound.encoding import Aac, Coder
from tasks.sound.mixing import Mix
from tasks.sound.mp3 import Mp3

PODCAST, AUDIOBOOK = "Podcast", "Audiobook"  # genres
_COPY_BYTES = 1 << 22


def coders_of(request: PodcastRequest, mix: Mix, language: str) -> list[Coder]:
    """The lossy forms of an episode; the first is what its feed gives."""
    coders: list[Coder] = [Mp3(mix.layout)]
    if request.mp4:
        coders.append(Aac(mix.layout, profile(request.profile).encoding, language))
    return coders


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


def write_flac(master: Path, episode: Episode, out: Path) -> None:
    """The master with its tags."""
    tags = _mp4_tags(episode)
    names = {"album_artist": "albumartist", "track": "tracknumber", "comment": "description"}
    flac.write_tagged(master, {names.get(name, name): text for name, text in tags.items()}, out)


def write_m4a(sound: Path, episode: Episode, out: Path, *, cover: Path | None = None, kbps: int = 96) -> None:
    """An M4A, or an audiobook where ``out`` ends in ``.m4b``, with chapters, tags and cover.

    AAC is copied as it is; anything else is encoded at ``kbps`` for mono, twice as much for stereo.
    """
    stream = next(s for s in ffmpeg.probe(sound)["streams"] if s["codec_type"] == "audio")
    meta = out.with_name(out.name + ".ffmeta")
    genre = AUDIOBOOK if out.suffix == ".m4b" else PODCAST
    meta.write_text(chapters.ffmetadata(episode.spans, _mp4_tags(episode, genre)), "utf-8")
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


def _mp4_tags(episode: Episode, genre: str = PODCAST) -> dict[str, str]:
    return {
        "title": episode.title,
        "artist": episode.author or episode.show,
        "album": episode.show,
        "album_artist": episode.author,
        "track": "" if episode.number is None else str(episode.number),
        "date": episode.date,
        "genre": genre,
        "comment": "\n\n".join(part for part in (episode.description, episode.disclosure) if part),
        "copyright": episode.copyright,
    }
