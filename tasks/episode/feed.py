"""The feed: RSS 2.0 with iTunes, Podcasting 2.0 and Podlove tags, a few episodes a page, changed in one step.

A feed keeps what it has: items of earlier episodes stay as they are, byte for byte in meaning, whoever wrote them, and
so does what somebody has put into the channel that we know nothing of.
Pages are linked by RFC 5005 (``first``, ``next``, ``previous``, ``last``), newest first. They are written from the
last to the first, each in one step, so a reader at any moment finds every episode, at worst one of them twice.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from lxml import etree

from speechmill.errors import from_os_error
from tasks.episode import trees
from tasks.episode.channel import Channel, Item, address
from tasks.episode.earlier import Before, address_of_sound, date_of, further_pages, page_name, read_feed
from tasks.episode.elements import add, describe, item_element
from tasks.episode.trees import NAMESPACES

PAGE_ITEMS = 100  # about 600 KB with show notes and chapters; podcast apps fetch the first page every hour


def update_feed(
    folder: Path,
    channel: Channel,
    item: Item,
    *,
    now: datetime,
    earlier: Path | None = None,
    page_items: int = PAGE_ITEMS,
) -> Path:
    """Put an episode into the feed in a folder, or change it there; every other episode stays.

    ``earlier`` is the folder where the feed is read, if another than where it is written (a delivery that is staged).

    Raises ``UnreadableFeed`` for a feed that is there and cannot be read (it is left as it is), ``DiskFull``.
    """
    try:
        with alone(folder):
            before = read_feed(earlier or folder, channel.feed_name)
            pages = paged(
                _as_before(channel, before),
                with_item(before.items, item),
                before.extras,
                now=now,
                page_items=page_items,
            )
            for number in range(len(pages), 0, -1):
                _replace(folder / page_name(channel.feed_name, number), pages[number - 1])
            for stale in further_pages(folder, channel.feed_name, len(pages) + 1):
                stale.unlink()
    except OSError as error:
        raise from_os_error(error) from error
    return folder / channel.feed_name


def _as_before(channel: Channel, before: Before) -> Channel:
    """The channel with the guid that its feed has: it never changes, wherever the feed moves to. One that was made for
    this machine only is no show's."""
    if channel.kept_guid or not before.guid or urlsplit(before.url).hostname in (None, "localhost"):
        return channel
    return replace(channel, kept_guid=before.guid)


def with_item(items: Sequence[etree._Element], item: Item) -> list[etree._Element]:
    """Items with this one among them, newest first. The earlier form of the same episode goes, and so does an episode
    whose sound this one's has taken the place of."""
    others = [
        element
        for element in items
        if trees.text(element, "guid") != item.guid and address_of_sound(element) != item.enclosure.url
    ]
    return sorted([item_element(item), *others], key=date_of, reverse=True)


def paged(
    channel: Channel,
    items: Sequence[etree._Element],
    extras: Sequence[etree._Element] = (),
    *,
    now: datetime,
    page_items: int = PAGE_ITEMS,
) -> list[bytes]:
    """The files of a feed, the newest page first; ``extras`` go into the channel of each."""
    count = max(1, -(-len(items) // page_items))
    return [
        _page(channel, items[n * page_items : (n + 1) * page_items], extras, n + 1, count, now) for n in range(count)
    ]


def _page(
    channel: Channel,
    items: Sequence[etree._Element],
    extras: Sequence[etree._Element],
    number: int,
    count: int,
    now: datetime,
) -> bytes:
    rss = etree.Element("rss", version="2.0", nsmap=NAMESPACES)
    top = etree.SubElement(rss, "channel")
    links = {"self": number, "first": 1, "last": count, "next": number + 1, "previous": number - 1}
    for rel, to in links.items():
        if rel == "self" or (count > 1 and 1 <= to <= count):
            href = address(channel.base_url, page_name(channel.feed_name, to))
            add(top, "atom:link", rel=rel, href=href, type="application/rss+xml")
    describe(top, channel, now)
    for element in (*(deepcopy(extra) for extra in extras), *items):
        element.tail = None
        top.append(element)
    etree.indent(rss, " ")
    # The prefixes of this feed, also in items that another one came with.
    etree.cleanup_namespaces(rss, top_nsmap=NAMESPACES, keep_ns_prefixes=list(NAMESPACES))
    return bytes(etree.tostring(rss, xml_declaration=True, encoding="UTF-8")) + b"\n"


def _replace(path: Path, data: bytes) -> None:
    """Whole or not at all, also after a power cut."""
    new = path.with_name(f".{path.name}.new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One writer of a folder's feed at a time; another waits. The folder itself is locked: nothing is left in it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
