"""An episode in its show: where its folder is served, and its place in the show's own feed beside ``show.toml``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from speechmill.errors import BadInput
from speechmill.roots import Roots
from storage.objects import copy_file
from tasks.episode import feed, trees
from tasks.episode.channel import address
from tasks.episode.earlier import address_of_sound, read_items
from tasks.episode.package import MP3, SHOW_ART, Package
from tasks.episode.shows import Show, episode_guid, read_show, remembered


def below(show_file: Path, out: Path) -> str:
    """Where an episode's folder is served under the show's address: where it lies in the show's folder, or, for one
    that lies elsewhere, under its own name, so that it can be copied there."""
    home, out = show_file.resolve().parent, out.resolve()
    return f"{out.relative_to(home).as_posix() if out.is_relative_to(home) else out.name}/"


def foresee(show_file: Path, job: str, out: Path, within: Roots | None = None) -> Show:
    """The show, once it is sure that the episode of this job can become one of its. Nothing is written.

    Raises ``BadInput`` for a show file, memory or feed that cannot be read, and for a folder that is not the
    episode's alone: files that another episode is heard from are not replaced.
    """
    show = read_show(show_file, within)
    guids = {entry.guid for key, entry in remembered(show_file).episodes.items() if key == job}
    guids.add(episode_guid(show, job))
    home = show_file.resolve().parent
    items = read_items(home, show.feed)
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
