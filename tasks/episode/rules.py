"""The rules of a feed, by id. A rule yields what it found: an element, and a sentence about it.

``PSP``: Podcast Standards Project, PSP-1. ``APL``: Apple Podcasts. ``P20``: the Podcasting 2.0 namespace. ``PSC``:
Podlove Simple Chapters. ``URL``: addresses. (Rules about files are in ``beside``.)
"""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import langcodes
from lxml import etree

from tasks.episode.categories import is_known
from tasks.episode.trees import child, children, name, text

Element: TypeAlias = etree._Element
Found: TypeAlias = tuple[Element, str]

MOST_DESCRIPTION_BYTES = 4_000
MOST_VALUE = 255  # characters
MOST_PERSON = 128
DURATION = re.compile(r"\d+(\.\d+)?|(\d+:)?\d{1,2}:\d{2}(\.\d+)?")
PSC_TIME = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d{1,2})(?:\.(\d{1,3}))?")
TRANSCRIPTS = frozenset(
    {"text/vtt", "application/x-subrip", "application/srt", "application/json", "text/html", "text/plain"}
)
LOCAL = re.compile(
    r"localhost|127\.|10\.|192\.168\.|\[?::1|.*\.(?:invalid|local|test|example)$|example\.(?:com|org|net)$"
)


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed that could be parsed."""

    path: Path
    channel: Element
    items: tuple[Element, ...]

    @property
    def both(self) -> tuple[Element, ...]:
        return (self.channel, *self.items)


# -- rules that are made from a word


def _channel_has(wanted: str, attribute: str = "") -> Callable[[Feed], Iterator[Found]]:
    def check(feed: Feed) -> Iterator[Found]:
        yield from _lacking(feed.channel, "The channel", wanted, attribute)

    return check


def _items_have(wanted: str, attribute: str = "") -> Callable[[Feed], Iterator[Found]]:
    def check(feed: Feed) -> Iterator[Found]:
        for item in feed.items:
            yield from _lacking(item, "The episode", wanted, attribute)

    return check


def _lacking(parent: Element, which: str, wanted: str, attribute: str) -> Iterator[Found]:
    found = child(parent, wanted)
    if found is None:
        yield parent, f"{which} has no <{wanted}>."
    elif not (found.get(attribute, "") if attribute else "".join(found.itertext())).strip():
        yield found, f"<{wanted}> {f'has no {attribute}' if attribute else 'is empty'}."


def _everywhere(wanted: str, holds: Callable[[Element], bool], message: str) -> Callable[[Feed], Iterator[Found]]:
    """A rule about every element of a name, in the channel and in the items."""

    def check(feed: Feed) -> Iterator[Found]:
        for parent in feed.both:
            yield from ((e, message) for e in children(parent, wanted) if not holds(e))

    return check


# -- the channel


def _self_link(feed: Feed) -> Iterator[Found]:
    if not any(link.get("rel") == "self" and link.get("href") for link in children(feed.channel, "atom:link")):
        yield feed.channel, 'The channel has no <atom:link rel="self"> with the feed\'s own address.'


def _language(feed: Feed) -> Iterator[Found]:
    found = child(feed.channel, "language")
    if (
        found is not None
        and text(feed.channel, "language")
        and not langcodes.tag_is_valid(text(feed.channel, "language"))
    ):
        yield found, f"“{text(feed.channel, 'language')}” is not a language tag such as en or pt-BR."


def _long_description(feed: Feed) -> Iterator[Found]:
    for parent in feed.both:
        found, size = child(parent, "description"), len(text(parent, "description").encode())
        if found is not None and size > MOST_DESCRIPTION_BYTES:
            yield found, f"The description has {size} bytes; apps show {MOST_DESCRIPTION_BYTES}."


def _categories(feed: Feed) -> Iterator[Found]:
    for outer in children(feed.channel, "itunes:category"):
        above = outer.get("text", "")
        for category in [f"{above} > {c.get('text', '')}" for c in children(outer, "itunes:category")] or [above]:
            if not is_known(category):
                yield outer, f"“{category}” is none of Apple's categories."


def _podcast_guid(element: Element) -> bool:
    try:
        uuid.UUID("".join(element.itertext()).strip())
    except ValueError:
        return False
    return True


def _no_items(feed: Feed) -> Iterator[Found]:
    if not feed.items:
        yield feed.channel, "The feed has no episode."


# -- the items


def _enclosure_address(feed: Feed) -> Iterator[Found]:
    for enclosure in enclosures(feed):
        address = urlsplit(enclosure.get("url", ""))
        if address.scheme not in ("http", "https") or not address.netloc:
            yield enclosure, "The enclosure's url is not a whole http or https address."


def _enclosure_length(feed: Feed) -> Iterator[Found]:
    for enclosure in enclosures(feed):
        length = enclosure.get("length", "").strip()
        if not length.isdecimal() or int(length) == 0:
            yield enclosure, "The enclosure's length is not the number of its bytes."


def _enclosure_type(feed: Feed) -> Iterator[Found]:
    for enclosure in enclosures(feed):
        if not enclosure.get("type", "").startswith(("audio/", "video/")):
            yield enclosure, "The enclosure's type is no type of audio or video, such as audio/mpeg."


def enclosures(feed: Feed) -> Iterator[Element]:
    for item in feed.items:
        yield from children(item, "enclosure")


def _one_enclosure(feed: Feed) -> Iterator[Found]:
    for item in feed.items:
        if len(children(item, "enclosure")) > 1:
            yield item, "The episode has several enclosures; apps take any one of them."


def _guid_once(feed: Feed) -> Iterator[Found]:
    seen = Counter(text(item, "guid") for item in feed.items)
    for item in feed.items:
        guid = text(item, "guid")
        if guid and seen[guid] > 1:
            yield item, f"Several episodes have the guid {guid}: apps show one of them."


def _readable_date(element: Element) -> bool:
    try:
        parsedate_to_datetime("".join(element.itertext()).strip())
    except ValueError:
        return False
    return True


def _numbered(feed: Feed) -> Iterator[Found]:
    if text(feed.channel, "itunes:type") == "serial":
        for item in feed.items:
            if text(item, "itunes:episodeType") in ("", "full") and not text(item, "itunes:episode"):
                yield item, "An episode of a serial show has no <itunes:episode>."


def _number_once(feed: Feed) -> Iterator[Found]:
    def key(item: Element) -> tuple[str, str, str]:
        kind = text(item, "itunes:episodeType") or "full"
        return text(item, "itunes:season"), text(item, "itunes:episode"), kind

    seen = Counter(key(item) for item in feed.items)
    for item in feed.items:
        if key(item)[1] and seen[key(item)] > 1:
            yield item, f"Several episodes have the number {key(item)[1]}."


def _duration(element: Element) -> bool:
    return DURATION.fullmatch("".join(element.itertext()).strip()) is not None


def _whole_number(element: Element) -> bool:
    value = "".join(element.itertext()).strip()
    return value.isdecimal() and int(value) > 0


# -- values and addresses


def _values(feed: Feed) -> Iterator[Found]:
    for parent in feed.both:
        for element in parent:
            if name(element) in ("title", "itunes:title", "itunes:author", "guid", "link"):
                value = "".join(element.itertext())
                if len(value.strip()) > MOST_VALUE:
                    yield element, f"<{name(element)}> has {len(value.strip())} characters; PSP-1 allows {MOST_VALUE}."


def _edges(feed: Feed) -> Iterator[Found]:
    for parent in feed.both:
        for element in parent:
            value = element.text or ""
            if name(element) and len(element) == 0 and value.strip() and value != value.strip():
                yield element, f"<{name(element)}> has space around its value."


def _addresses(feed: Feed) -> Iterator[tuple[Element, str]]:
    for parent in feed.both:
        for element in parent:
            for attribute in ("url", "href"):
                if element.get(attribute):
                    yield element, element.get(attribute, "")


def _insecure(feed: Feed) -> Iterator[Found]:
    for element, address in _addresses(feed):
        parts = urlsplit(address)
        if parts.scheme == "http" and not LOCAL.match(parts.hostname or ""):
            yield element, f"{address} is not https."


def _local(feed: Feed) -> Iterator[Found]:
    if any(LOCAL.match(urlsplit(address).hostname or "") for _, address in _addresses(feed)):
        yield (
            feed.channel,
            "Addresses lead to this machine or an example: nobody else can listen. Set the show's base_url.",
        )


def _picture_ending(feed: Feed) -> Iterator[Found]:
    for parent in feed.both:
        for image in children(parent, "itunes:image"):
            if not urlsplit(image.get("href", "")).path.lower().endswith((".jpg", ".jpeg", ".png")):
                yield image, "The address of the art does not end in .jpg or .png."


# -- Podcasting 2.0 and Podlove


def _transcript(element: Element) -> bool:
    return bool(element.get("url")) and element.get("type") in TRANSCRIPTS


def _chapters(element: Element) -> bool:
    return bool(element.get("url")) and element.get("type") in ("application/json+chapters", "application/json")


def _person(element: Element) -> bool:
    return 0 < len("".join(element.itertext()).strip()) <= MOST_PERSON


def _alternate(element: Element) -> bool:
    return bool(element.get("type")) and any(source.get("uri") for source in children(element, "podcast:source"))


def _ai_content(element: Element) -> bool:
    return element.get("purpose") != "ai-content" or (element.text or "").strip() in ("true", "false")


def _simple_chapters(feed: Feed) -> Iterator[Found]:
    for item in feed.items:
        for outer in children(item, "psc:chapters"):
            last = -1.0
            for chapter in children(outer, "psc:chapter"):
                start = PSC_TIME.fullmatch(chapter.get("start", ""))
                if start is None or not chapter.get("title"):
                    yield chapter, "A chapter needs a start such as 00:01:30.000, and a title."
                    continue
                hours, minutes, secs, part = start.groups()
                at = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(secs) + float(f"0.{part or 0}")
                if at <= last:
                    yield chapter, "A chapter does not start after the one before it."
                last = at


def _value_of(*allowed: str) -> Callable[[Element], bool]:
    return lambda element: "".join(element.itertext()).strip().lower() in allowed


Check = Callable[[Feed], Iterable[Found]]

ERRORS: dict[str, Check] = {
    "PSP-01": _self_link,
    "PSP-02": _channel_has("title"),
    "PSP-03": _channel_has("description"),
    "PSP-04": _channel_has("link"),
    "PSP-05": _channel_has("language"),
    "PSP-06": _language,
    "PSP-07": _channel_has("itunes:category", "text"),
    "PSP-08": _channel_has("itunes:explicit"),
    "PSP-09": _channel_has("itunes:image", "href"),
    "PSP-10": _long_description,
    "PSP-11": _everywhere(
        "itunes:explicit", _value_of("true", "false", "yes", "no", "clean"), "<itunes:explicit> is true or false."
    ),
    "PSP-20": _items_have("title"),
    "PSP-21": _items_have("enclosure", "url"),
    "PSP-22": _enclosure_address,
    "PSP-23": _enclosure_length,
    "PSP-24": _enclosure_type,
    "PSP-25": _items_have("guid"),
    "PSP-26": _guid_once,
    "PSP-27": _everywhere("pubDate", _readable_date, "<pubDate> is no date of RFC 2822."),
    "PSP-28": _numbered,
    "PSP-29": _values,
    "APL-01": _categories,
    "APL-02": _everywhere(
        "itunes:episodeType", _value_of("full", "trailer", "bonus"), "<itunes:episodeType> is full, trailer or bonus."
    ),
    "APL-03": _everywhere("itunes:episode", _whole_number, "<itunes:episode> is a whole number from 1."),
    "APL-04": _everywhere("itunes:season", _whole_number, "<itunes:season> is a whole number from 1."),
    "APL-05": _everywhere("itunes:duration", _duration, "<itunes:duration> is seconds or HH:MM:SS."),
    "APL-06": _everywhere("itunes:type", _value_of("episodic", "serial"), "<itunes:type> is episodic or serial."),
    "P20-01": _everywhere("podcast:transcript", _transcript, "A transcript needs a url, and a type that apps read."),
    "P20-02": _everywhere("podcast:chapters", _chapters, "Chapters need a url and the type application/json+chapters."),
    "P20-03": _everywhere("podcast:person", _person, "A person is a name of at most 128 characters."),
    "P20-04": _everywhere("podcast:alternateEnclosure", _alternate, "Another enclosure needs a type and a source."),
    "P20-05": _everywhere("podcast:txt", _ai_content, "The text for ai-content is true or false."),
    "PSC-01": _simple_chapters,
}  # fmt: skip

WARNINGS: dict[str, Check] = {
    "PSP-50": _channel_has("podcast:guid"),
    "PSP-51": _everywhere("podcast:guid", _podcast_guid, "<podcast:guid> is no UUID."),
    "PSP-52": _channel_has("podcast:locked"),
    "PSP-53": _channel_has("itunes:author"),
    "PSP-54": _no_items,
    "PSP-55": _items_have("pubDate"),
    "PSP-56": _items_have("description"),
    "PSP-57": _items_have("itunes:duration"),
    "PSP-58": _items_have("podcast:transcript", "url"),
    "PSP-59": _edges,
    "PSP-60": _one_enclosure,
    "APL-50": _number_once,
    "APL-51": _picture_ending,
    "URL-01": _insecure,
    "URL-02": _local,
}
