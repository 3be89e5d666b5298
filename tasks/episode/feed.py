"""The feed: RSS 2.0 with iTunes, Podcasting 2.0 and Podlove tags, a few episodes a page, changed in one step.

A feed keeps what it has: items of earlier episodes stay as they are, byte for byte in meaning, whoever wrote them, and
so does what somebody has put into the channel that we know nothing of.
Pages are linked by RFC 5005 (``first``, ``next``, ``previous``, ``last``), newest first. They are written from the
last to the first, each in one step, so a reader at any moment finds every episode, at worst one of them twice.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

from lxml import etree

from speechmill.errors import from_os_error
from tasks.episode import trees
from tasks.episode.content import Span
from tasks.episode.trees import NAMESPACES, UnreadableFeed

FEED = "feed.xml"
PAGE_ITEMS = 100  # about 600 KB with show notes and chapters; podcast apps fetch the first page every hour
PODCAST_GUIDS = uuid.UUID("ead4c236-bf58-58c6-a2c6-a6b28d128cb6")  # podcast-namespace, tag guid
MOST_TEXT = 255  # characters of a title or name, PSP-1
GENERATOR = "Speechmill"
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
class Person:
    """Who takes part: ``podcast:person``."""

    name: str
    role: str = "host"


@dataclass(frozen=True, slots=True)
class Linked:
    """A file beside the sound."""

    url: str
    type: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class Enclosure:
    """The sound: ``bytes`` is the size of the very file."""

    url: str
    bytes: int
    type: str = "audio/mpeg"
    title: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One episode in a feed."""

    guid: str  # never changes
    title: str
    published: datetime  # with a time zone
    description: str
    enclosure: Enclosure
    duration_s: float
    html: str = ""
    link: str = ""
    number: int | None = None
    season: int | None = None
    kind: str = "full"  # full, trailer, bonus
    explicit: bool = False
    image_url: str = ""
    chapters_url: str = ""
    spans: tuple[Span, ...] = ()
    transcripts: tuple[Linked, ...] = ()
    alternates: tuple[Enclosure, ...] = ()
    people: tuple[Person, ...] = ()
    ai_content: bool = True


@dataclass(frozen=True, slots=True)
class Channel:
    """A show in a feed."""

    title: str
    description: str
    language: str
    base_url: str  # ends in “/”: where the feed and its files are served from
    image_url: str
    link: str = ""
    author: str = ""
    email: str = ""
    categories: tuple[str, ...] = ("Education",)  # Apple's; “Science > Physics” with the subcategory
    explicit: bool = False
    serial: bool = False  # told in order, from the first one on
    copyright: str = ""
    medium: str = "podcast"
    locked: bool = True
    ai_content: bool = True
    feed_name: str = FEED
    kept_guid: str = ""  # of a show whose feed has moved: it stays what it was

    @property
    def url(self) -> str:
        return address(self.base_url, self.feed_name)

    @property
    def guid(self) -> str:
        return self.kept_guid or podcast_guid(self.url)


def address(base_url: str, name: str) -> str:
    """Where a file of the show is served."""
    return urljoin(base_url if base_url.endswith("/") else base_url + "/", quote(name))


def podcast_guid(feed_url: str) -> str:
    """UUIDv5 of the address without scheme and trailing slashes, as the podcast namespace defines it."""
    bare = feed_url.split("://", 1)[-1].rstrip("/")
    return str(uuid.uuid5(PODCAST_GUIDS, bare))


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
            for stale in _further(folder, channel.feed_name, len(pages) + 1):
                stale.unlink()
    except OSError as error:
        raise from_os_error(error) from error
    return folder / channel.feed_name


@dataclass(frozen=True, slots=True)
class Before:
    """What a feed holds already."""

    items: Sequence[etree._Element] = ()  # of all pages, in their order, each guid once
    extras: Sequence[etree._Element] = ()  # of the channel: what is not written from the show
    guid: str = ""  # podcast:guid
    url: str = ""  # of the feed itself, as it says


def read_feed(folder: Path, feed_name: str = FEED) -> Before:
    """A feed with all its pages; nothing where there is none. Raises ``UnreadableFeed``."""
    first = folder / feed_name
    if not first.exists():
        return Before()
    items: dict[str, etree._Element] = {}
    tops = []
    for path in [first, *_further(folder, feed_name, 2)]:
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


def _as_before(channel: Channel, before: Before) -> Channel:
    """The channel with the guid that its feed has: it never changes, wherever the feed moves to. One that was made for
    this machine only is no show's."""
    if channel.kept_guid or not before.guid or urlsplit(before.url).hostname in (None, "localhost"):
        return channel
    return replace(channel, kept_guid=before.guid)


def read_items(folder: Path, feed_name: str = FEED) -> list[etree._Element]:
    """The items of a feed on all its pages, in their order, each guid once; none where there is no feed."""
    return list(read_feed(folder, feed_name).items)


def numbers(folder: Path, feed_name: str = FEED) -> dict[str, int]:
    """Episode numbers that a feed has given, by guid."""
    found = ((trees.text(i, "guid"), trees.text(i, "itunes:episode")) for i in read_items(folder, feed_name))
    return {guid: int(number) for guid, number in found if number.isdecimal()}


def published(folder: Path, guid: str, feed_name: str = FEED) -> datetime | None:
    """When an episode of a feed was published first; None where the feed does not have it."""
    dates = (_published(item) for item in read_items(folder, feed_name) if trees.text(item, "guid") == guid)
    return next((date for date in dates if date != OLDEST), None)


def with_item(items: Sequence[etree._Element], item: Item) -> list[etree._Element]:
    """Items with this one among them, newest first; the earlier form of the same episode goes."""
    others = [element for element in items if trees.text(element, "guid") != item.guid]
    return sorted([_item(item), *others], key=_published, reverse=True)


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


def page_name(feed_name: str, number: int) -> str:
    """``feed.xml``, ``feed-2.xml`` …"""
    path = Path(feed_name)
    return feed_name if number == 1 else f"{path.stem}-{number}{path.suffix}"


def _further(folder: Path, feed_name: str, number: int) -> Iterator[Path]:
    while (path := folder / page_name(feed_name, number)).exists():
        yield path
        number += 1


def _published(element: etree._Element) -> datetime:
    try:
        date = parsedate_to_datetime(trees.text(element, "pubDate"))
    except ValueError:
        return OLDEST
    return date if date.tzinfo else date.replace(tzinfo=UTC)


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
            _add(top, "atom:link", rel=rel, href=href, type="application/rss+xml")
    _describe(top, channel, now)
    for element in (*(deepcopy(extra) for extra in extras), *items):
        element.tail = None
        top.append(element)
    etree.indent(rss, " ")
    # The prefixes of this feed, also in items that another one came with.
    etree.cleanup_namespaces(rss, top_nsmap=NAMESPACES, keep_ns_prefixes=list(NAMESPACES))
    return bytes(etree.tostring(rss, xml_declaration=True, encoding="UTF-8")) + b"\n"


def _describe(top: etree._Element, channel: Channel, now: datetime) -> None:
    _add(top, "title", _short(channel.title))
    _add(top, "link", channel.link or channel.base_url)
    _add(top, "description", channel.description)
    _add(top, "language", channel.language.lower())
    _add(top, "generator", GENERATOR)
    _add(top, "lastBuildDate", format_datetime(now))
    if channel.copyright:
        _add(top, "copyright", channel.copyright)
    _add(top, "itunes:author", _short(channel.author or channel.title))
    if channel.email:
        owner = _add(top, "itunes:owner")
        _add(owner, "itunes:name", _short(channel.author or channel.title))
        _add(owner, "itunes:email", channel.email)
    _add(top, "itunes:type", "serial" if channel.serial else "episodic")
    _add(top, "itunes:explicit", _truth(channel.explicit))
    _add(top, "itunes:image", href=channel.image_url)
    for category in channel.categories:
        above, _, below = (part.strip() for part in category.partition(">"))
        outer = _add(top, "itunes:category", text=above)
        if below:
            _add(outer, "itunes:category", text=below)
    _add(top, "podcast:guid", channel.guid)
    locked = _add(top, "podcast:locked", "yes" if channel.locked else "no")
    if channel.email:
        locked.set("owner", channel.email)
    _add(top, "podcast:medium", channel.medium)
    if channel.ai_content:
        _add(top, "podcast:txt", "true", purpose="ai-content")


def _item(item: Item) -> etree._Element:
    top = etree.Element("item", nsmap=NAMESPACES)
    _add(top, "title", _short(item.title))
    _add(top, "itunes:title", _short(item.title))
    if item.link:
        _add(top, "link", item.link)
    _add(top, "guid", item.guid, isPermaLink="false")
    _add(top, "pubDate", format_datetime(item.published))
    _add(top, "description", item.description)
    if item.html:
        _add(top, "content:encoded").text = etree.CDATA(_clean(item.html).replace("]]>", "]]&gt;"))
    sound = item.enclosure
    _add(top, "enclosure", url=sound.url, length=str(sound.bytes), type=sound.type)
    _add(top, "itunes:duration", str(round(item.duration_s)))
    _add(top, "itunes:explicit", _truth(item.explicit))
    _add(top, "itunes:episodeType", item.kind)
    for prefix, value in (("episode", item.number), ("season", item.season)):
        if value is not None:
            _add(top, f"itunes:{prefix}", str(value))
            _add(top, f"podcast:{prefix}", str(value))
    if item.image_url:
        _add(top, "itunes:image", href=item.image_url)
    for made in item.transcripts:
        element = _add(top, "podcast:transcript", url=made.url, type=made.type, language=made.language)
        if made.type in ("text/vtt", "application/x-subrip"):
            element.set("rel", "captions")
    if item.chapters_url and item.spans:
        _add(top, "podcast:chapters", url=item.chapters_url, type="application/json+chapters")
        _simple_chapters(top, item.spans)
    for person in item.people:
        _add(top, "podcast:person", person.name[:128], role=person.role)
    for other in item.alternates:
        element = _add(
            top, "podcast:alternateEnclosure", type=other.type, length=str(other.bytes), title=other.title[:32]
        )
        _add(element, "podcast:source", uri=other.url)
    if item.ai_content:
        _add(top, "podcast:txt", "true", purpose="ai-content")
    return top


def _simple_chapters(top: etree._Element, spans: Sequence[Span]) -> None:
    """Podlove's: times as hours, minutes, seconds and milliseconds."""
    outer = _add(top, "psc:chapters", version="1.2")
    for span in spans:
        ms = span.start_ms
        start = f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"
        _add(outer, "psc:chapter", start=start, title=span.title, href=span.url)


def _add(parent: etree._Element, what: str, text_: str | None = None, /, **attributes: str) -> etree._Element:
    """A child; empty attributes are left out."""
    prefix, _, local = what.rpartition(":")
    element = etree.SubElement(parent, f"{{{NAMESPACES[prefix]}}}{local}" if prefix else local)
    if text_ is not None:
        element.text = _clean(text_.strip())
    for key, value in attributes.items():
        if value:
            element.set(key, _clean(value))
    return element


def _clean(text: str) -> str:
    """Without what XML 1.0 has no place for."""
    return "".join(
        c for c in text if c in "\t\n\r" or (c >= "\x20" and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff")
    )


def _short(text: str) -> str:
    return " ".join(text.split())[:MOST_TEXT].rstrip()


def _truth(value: bool) -> str:
    return "true" if value else "false"


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
