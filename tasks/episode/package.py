"""Everything an episode leaves beside its sound, written into one folder from one value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from tasks.episode import chapters, cover, feed, shownotes, sound, transcript
from tasks.episode.channel import FEED, Channel, Enclosure, Item, Linked, Person, address
from tasks.episode.content import Episode
from tasks.episode.lint import Finding, lint_feed
from tasks.episode.shows import Entry, Show

MP3, M4A, M4B, COVER = "episode.mp3", "episode.m4a", "episode.m4b", "cover.jpg"
VTT, SRT, TRANSCRIPT = "transcript.vtt", "transcript.srt", "transcript.json"
CHAPTERS, NOTES, SHOW_ART = "chapters.json", "shownotes.md", "show-art.jpg"
TRANSCRIPT_TYPES = {VTT: "text/vtt", SRT: "application/x-subrip", TRANSCRIPT: "application/json"}


@dataclass(frozen=True, slots=True)
class Package:
    """What was written."""

    files: tuple[str, ...]  # names in the folder
    channel: Channel  # of the show, …
    item: Item  # … and of the episode there: what its show's own feed is updated with
    findings: tuple[Finding, ...]  # of the feed
    notes: tuple[str, ...]  # what a person should know, as sentences


def show_of(episode: Episode) -> Show:
    """The show that an episode without one makes up alone."""
    title = episode.show or episode.title
    return Show(title=title, description=episode.description, language=episode.language, author=episode.author)


def write_package(
    folder: Path,
    episode: Episode,
    encoded: Path,
    show: Show,
    entry: Entry,
    *,
    now: datetime,
    earlier: Path | None = None,
    below: str = "",
    mp4: Path | None = None,
    mp4_name: str = M4A,
    people: tuple[Person, ...] = (),
) -> Package:
    """Write MP3, cover, chapters, transcript, show notes and feed into ``folder``.

    ``encoded`` is the MP3 without a tag (``tasks.sound.mp3``); ``mp4`` a lossless master or AAC, where an M4A or M4B
    is wanted as well. ``below`` is where this folder will be served under the show's address (``"ep7/"``): its own
    feed then holds this episode alone. ``earlier`` is the folder whose ``feed.xml`` is gone on from otherwise.
    """
    notes = _cover(folder / COVER, episode, show)
    sound.write_mp3(encoded, episode, folder / MP3, cover=folder / COVER, guid=entry.guid)
    if mp4 is not None:
        sound.write_m4a(mp4, episode, folder / mp4_name, cover=folder / COVER)
    at = {name: address(show.base_url, below + name) for name in (MP3, mp4_name, COVER, CHAPTERS, *TRANSCRIPT_TYPES)}
    transcript.write_vtt(episode, folder / VTT)
    transcript.write_srt(episode, folder / SRT)
    transcript.write_json(episode, folder / TRANSCRIPT)
    (folder / CHAPTERS).write_text(chapters.to_json(episode.spans, episode.title), "utf-8")
    (folder / NOTES).write_text(shownotes.to_markdown(episode, MP3), "utf-8")
    item = item_of(folder, episode, show, entry, at, people, mp4_name if mp4 else "")
    channel = show.channel(_show_art(folder, episode, show, at[COVER]))
    if below:
        written = feed.update_feed(folder, _alone(channel, below), item, now=now)
    else:
        written = feed.update_feed(folder, channel, item, now=now, earlier=earlier)
    files = (MP3, *((mp4_name,) if mp4 else ()), VTT, SRT, TRANSCRIPT, CHAPTERS, NOTES, COVER, written.name)
    if (folder / SHOW_ART).exists():
        files = (*files, SHOW_ART)
    return Package(files, channel, item, tuple(lint_feed(written)), notes)


def item_of(
    folder: Path,
    episode: Episode,
    show: Show,
    entry: Entry,
    at: dict[str, str],
    people: tuple[Person, ...] = (),
    mp4_name: str = "",
) -> Item:
    """The episode as the feed has it; ``at`` are the addresses of the files by name."""
    alternates: tuple[Enclosure, ...] = ()
    if mp4_name:
        alternates = (Enclosure(at[mp4_name], (folder / mp4_name).stat().st_size, "audio/mp4", "AAC"),)
    return Item(
        guid=entry.guid,
        title=episode.title,
        published=entry.published,
        description=shownotes.to_text(episode),
        html=shownotes.to_html(episode),
        enclosure=Enclosure(at[MP3], (folder / MP3).stat().st_size),
        duration_s=episode.duration_s,
        link=episode.link if episode.link.startswith(("http://", "https://")) else "",
        number=entry.number,
        season=entry.season,
        explicit=show.explicit,
        image_url=at[COVER],
        chapters_url=at[CHAPTERS],
        spans=episode.spans,
        transcripts=tuple(Linked(at[name], type_, episode.language) for name, type_ in TRANSCRIPT_TYPES.items()),
        alternates=alternates,
        people=people,
        ai_content=episode.ai_content,
    )


def _cover(out: Path, episode: Episode, show: Show) -> tuple[str, ...]:
    if show.art is not None:
        return cover.fit_cover(show.art, out)
    alone = not episode.show
    cover.draw_cover(
        episode.title,
        out,
        show="" if alone else episode.show,
        author=episode.author,
        number=None if alone else episode.number,
    )
    return ()


def _alone(channel: Channel, below: str) -> Channel:
    """The channel of a feed that lies in an episode's folder: that show, at that address."""
    base_url = address(channel.base_url, below)
    return replace(
        channel,
        base_url=base_url,
        link=channel.link or channel.base_url,
        image_url=address(base_url, SHOW_ART),
        feed_name=FEED,
        kept_guid=channel.guid,
    )


def _show_art(folder: Path, episode: Episode, show: Show, episode_art: str) -> str:
    """The address of the show's art: its own, made fit, or one that is drawn; the same for every episode. An episode
    that is no show's has its cover for both."""
    if not episode.show:
        return episode_art
    if show.art is not None:
        cover.fit_cover(show.art, folder / SHOW_ART)
    else:
        cover.draw_cover(show.title, folder / SHOW_ART, author=show.author)
    return address(show.base_url, SHOW_ART)
