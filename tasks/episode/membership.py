"""An episode in its show: where its folder is served, and its place in the show's own feed beside ``show.toml``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from speechmill.errors import BadInput, Conflict
from speechmill.roots import Roots
from storage.objects import copy_file
from tasks.episode import feed, trees
from tasks.episode.channel import address
from tasks.episode.earlier import Before, address_of_sound, read_feed, read_items
from tasks.episode.package import MP3, SHOW_ART, Package
from tasks.episode.shows import Entry, Memory, Show, episode_guid, read_show, remembered


def below(show_file: Path, out: Path) -> str:
    """Where an episode's folder is served under the show's address: where it lies in the show's folder, or, for one
    that lies elsewhere, under its own name, so that it can be copied there."""
    home, out = show_file.resolve().parent, out.resolve()
    return f"{out.relative_to(home).as_posix() if out.is_relative_to(home) else out.name}/"


def foresee(show_file: Path, job: str, out: Path, within: Roots | None = None) -> Show:
    """The show, once it is sure that the episode of this job can become one of its. Nothing is written.

    Raises ``BadInput`` for a show file, memory or feed that cannot be read, for a feed that is another show's, and for
    a folder that is not the episode's alone: files that another episode is heard from are not replaced.
    """
    show = read_show(show_file, within)
    memory = remembered(show_file)
    guids = {entry.guid for key, entry in memory.episodes.items() if key == job}
    guids.add(episode_guid(show, job))
    home = show_file.resolve().parent
    before = read_feed(home, show.feed)
    _refuse_anothers(show_file, show, memory, before)
    items = before.items
    if out.resolve() == home:
        raise BadInput(
            f"{out} is the folder of the show itself, and every episode needs one of its own",
            hint=f"name one with --out, such as {home / 'episode-1'}",
        )
    own = address(show.base_url, below(show_file, out) + MP3)
    for item in items:
        if address_of_sound(item) == own and trees.text(item, "guid") not in guids:
            raise BadInput(
                f"another episode of the show, “{trees.text(item, 'title')}”, is heard from {own}",
                hint="name another folder with --out",
            )
    return show


def _refuse_anothers(show_file: Path, show: Show, memory: Memory, before: Before) -> None:
    """Raise ``BadInput`` where the feed beside the show file is another show's: of another title, with no episode that
    this one remembers, and not named by its guid."""
    ours = {entry.guid for entry in memory.episodes.values()} & {trees.text(item, "guid") for item in before.items}
    named = before.title.casefold() == show.title.casefold() or (show.guid and str(show.guid) == before.guid)
    if before.title and not named and not ours:
        raise BadInput(
            f"{show.feed} beside {show_file.name} is the feed of another show, “{before.title}”",
            hint=f'write feed = "{show_file.stem}.xml" into {show_file.name}, or its guid where the show was renamed',
        )


@dataclass(frozen=True, slots=True)
class Made:
    """An episode that a show has already."""

    job: str  # that made it
    entry: Entry


def made_of(show_file: Path, source: str, within: Roots | None = None) -> tuple[Made, ...]:
    """The episodes of a show that were made of a source and are still in its feed, the latest last."""
    show = read_show(show_file, within)
    heard = {trees.text(item, "guid") for item in read_items(show_file.resolve().parent, show.feed)}
    entries = remembered(show_file).episodes.items()
    found = [Made(job, entry) for job, entry in entries if entry.source == source and entry.guid in heard]
    return tuple(sorted(found, key=lambda made: made.entry.number))


def refuse_again(show_file: Path, source: str, job: str, within: Roots | None = None) -> None:
    """Raise ``Conflict`` where another job has made an episode of the same source for the show."""
    made = made_of(show_file, source, within)
    if made and all(each.job != job for each in made):
        raise has_already(made[-1])


def has_already(made: Made) -> Conflict:
    return Conflict(
        f"the show has this as its episode {made.entry.number}, “{made.entry.title}”, made by job {made.job}",
        hint="edit and retake that one, or say --again for another",
    )


def gap(show_file: Path, out: Path) -> Path | None:
    """Where an episode's folder is to be copied so that its show's feed leads to it; ``None`` where it lies there."""
    home, out = show_file.resolve().parent, out.resolve()
    return None if out.is_relative_to(home) else home / out.name


def join(show_file: Path, packed: Package, folder: Path, *, now: datetime) -> Path:
    """Put a published episode into its show's feed, or change it there; the feed's file. ``folder`` is where the
    episode lies. What the feed names is there before it does: the show's art first."""
    home = show_file.resolve().parent
    art, shown = folder / SHOW_ART, home / SHOW_ART
    if not shown.exists() or shown.read_bytes() != art.read_bytes():
        new = shown.with_name(f".{SHOW_ART}.new")
        copy_file(art, new)
        new.replace(shown)
    return feed.update_feed(home, packed.channel, packed.item, now=now)
