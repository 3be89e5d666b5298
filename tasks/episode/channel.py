"""A show and its episodes as a feed has them, whatever the feed is written in."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urljoin

from tasks.episode.content import Span

FEED = "feed.xml"
PODCAST_GUIDS = uuid.UUID("ead4c236-bf58-58c6-a2c6-a6b28d128cb6")  # podcast-namespace, tag guid


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
