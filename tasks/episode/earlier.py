"""What a feed has already: its episodes, whoever wrote them, and what else somebody has put into it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from lxml import etree

from tasks.episode import trees
from tasks.episode.channel import FEED
from tasks.episode.trees import UnreadableFeed

OLDEST = datetime.min.replace(tzinfo=UTC)
OWN = frozenset(
    (
        "title",
        "link",
        "description",
        "language",
        "generator",
        "lastBuildDate",
        "copyright",
        "itunes:author",
        "itunes:owner",
        "itunes:type",
        "itunes:explicit",
        "itunes:image",
        "itunes:category",
        "podcast:guid",
        "podcast:locked",
        "podcast:medium",
        "item",
    )
)
"""What of a channel is written from the show each time; everything else in it is somebody's, and stays."""
PAGING = frozenset({"self", "first", "last", "next", "previous"})


@dataclass(frozen=True, slots=True)
class Before:
    """What a feed holds already."""

    items: Sequence[etree._Element] = ()  # of all pages, in their order, each guid once
    extras: Sequence[etree._Element] = ()  # of the channel: what is not written from the show
    title: str = ""
    guid: str = ""  # podcast:guid
    url: str = ""  # of the feed itself, as it says


def read_feed(folder: Path, feed_name: str = FEED) -> Before:
    """A feed with all its pages; nothing where there is none. Raises ``UnreadableFeed``."""
    first = folder / feed_name
    if not first.exists():
        return Before()
    items: dict[str, etree._Element] = {}
    tops = []
    for path in [first, *further_pages(folder, feed_name, 2)]:
        channel = trees.child(trees.read_tree(path).getroot(), "channel")
        if channel is None:
            raise UnreadableFeed(f"{path.name} is no RSS feed", hint="name another folder, or take the file away")
        tops.append(channel)
        for element in trees.children(channel, "item"):
            items.setdefault(trees.text(element, "guid") or f"#{len(items)}", element)
    own = next((link for link in trees.children(tops[0], "atom:link") if link.get("rel") == "self"), None)
    return Before(
        list(items.values()),
        [element for element in tops[0] if _is_extra(element)],
        trees.text(tops[0], "title"),
        trees.text(tops[0], "podcast:guid"),
        "" if own is None else own.get("href", ""),
    )


def _is_extra(element: etree._Element) -> bool:
    name = trees.name(element)
    if name == "atom:link":
        return element.get("rel") not in PAGING
    if name == "podcast:txt":
        return bool(element.get("purpose") != "ai-content")
    return name != "" and name not in OWN


def read_items(folder: Path, feed_name: str = FEED) -> list[etree._Element]:
    """The items of a feed on all its pages, in their order, each guid once; none where there is no feed."""
    return list(read_feed(folder, feed_name).items)


def numbers(folder: Path, feed_name: str = FEED) -> dict[str, int]:
    """Episode numbers that a feed has given, by guid."""
    found = ((trees.text(i, "guid"), trees.text(i, "itunes:episode")) for i in read_items(folder, feed_name))
    return {guid: int(number) for guid, number in found if number.isdecimal()}


def published(folder: Path, guid: str, feed_name: str = FEED) -> datetime | None:
    """When an episode of a feed was published first; None where the feed does not have it."""
    dates = (date_of(item) for item in read_items(folder, feed_name) if trees.text(item, "guid") == guid)
    return next((date for date in dates if date != OLDEST), None)


def date_of(element: etree._Element) -> datetime:
    """When an item was published; the beginning of time where it does not say."""
    try:
        date = parsedate_to_datetime(trees.text(element, "pubDate"))
    except ValueError:
        return OLDEST
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def address_of_sound(item: etree._Element) -> str:
    """Where an item says its sound is; empty where it has none."""
    enclosure = trees.child(item, "enclosure")
    return "" if enclosure is None else enclosure.get("url", "")


def page_name(feed_name: str, number: int) -> str:
    """``feed.xml``, ``feed-2.xml`` …"""
    path = Path(feed_name)
    return feed_name if number == 1 else f"{path.stem}-{number}{path.suffix}"


def further_pages(folder: Path, feed_name: str, number: int) -> Iterator[Path]:
    """The pages of a feed that are there, from the one of this number on."""
    while (path := folder / page_name(feed_name, number)).exists():
        yield path
        number += 1
