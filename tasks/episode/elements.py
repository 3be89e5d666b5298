"""A show and an episode as elements of RSS 2.0, with iTunes, Podcasting 2.0 and Podlove tags."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime

from lxml import etree

from tasks.episode.channel import Channel, Item
from tasks.episode.content import Span
from tasks.episode.trees import NAMESPACES

MOST_TEXT = 255  # characters of a title or name, PSP-1
GENERATOR = "Speechmill"


def describe(top: etree._Element, channel: Channel, now: datetime) -> None:
    """Write a show into the channel of a feed."""
    add(top, "title", _short(channel.title))
    add(top, "link", channel.link or channel.base_url)
    add(top, "description", channel.description)
    add(top, "language", channel.language.lower())
    add(top, "generator", GENERATOR)
    add(top, "lastBuildDate", format_datetime(now))
    if channel.copyright:
        add(top, "copyright", channel.copyright)
    add(top, "itunes:author", _short(channel.author or channel.title))
    if channel.email:
        owner = add(top, "itunes:owner")
        add(owner, "itunes:name", _short(channel.author or channel.title))
        add(owner, "itunes:email", channel.email)
    add(top, "itunes:type", "serial" if channel.serial else "episodic")
    add(top, "itunes:explicit", _truth(channel.explicit))
    add(top, "itunes:image", href=channel.image_url)
    for category in channel.categories:
        above, _, below = (part.strip() for part in category.partition(">"))
        outer = add(top, "itunes:category", text=above)
        if below:
            add(outer, "itunes:category", text=below)
    add(top, "podcast:guid", channel.guid)
    locked = add(top, "podcast:locked", "yes" if channel.locked else "no")
    if channel.email:
        locked.set("owner", channel.email)
    add(top, "podcast:medium", channel.medium)
    if channel.ai_content:
        add(top, "podcast:txt", "true", purpose="ai-content")


def item_element(item: Item) -> etree._Element:
    """One episode."""
    top = etree.Element("item", nsmap=NAMESPACES)
    add(top, "title", _short(item.title))
    add(top, "itunes:title", _short(item.title))
    if item.link:
        add(top, "link", item.link)
    add(top, "guid", item.guid, isPermaLink="false")
    add(top, "pubDate", format_datetime(item.published))
    add(top, "description", item.description)
    if item.html:
        add(top, "content:encoded").text = etree.CDATA(_clean(item.html).replace("]]>", "]]&gt;"))
    sound = item.enclosure
    add(top, "enclosure", url=sound.url, length=str(sound.bytes), type=sound.type)
    add(top, "itunes:duration", str(round(item.duration_s)))
    add(top, "itunes:explicit", _truth(item.explicit))
    add(top, "itunes:episodeType", item.kind)
    for prefix, value in (("episode", item.number), ("season", item.season)):
        if value is not None:
            add(top, f"itunes:{prefix}", str(value))
            add(top, f"podcast:{prefix}", str(value))
    if item.image_url:
        add(top, "itunes:image", href=item.image_url)
    for made in item.transcripts:
        element = add(top, "podcast:transcript", url=made.url, type=made.type, language=made.language)
        if made.type in ("text/vtt", "application/x-subrip"):
            element.set("rel", "captions")
    if item.chapters_url and item.spans:
        add(top, "podcast:chapters", url=item.chapters_url, type="application/json+chapters")
        _simple_chapters(top, item.spans)
    for person in item.people:
        add(top, "podcast:person", person.name[:128], role=person.role)
    for other in item.alternates:
        element = add(
            top, "podcast:alternateEnclosure", type=other.type, length=str(other.bytes), title=other.title[:32]
        )
        add(element, "podcast:source", uri=other.url)
    if item.ai_content:
        add(top, "podcast:txt", "true", purpose="ai-content")
    return top


def _simple_chapters(top: etree._Element, spans: Sequence[Span]) -> None:
    """Podlove's: times as hours, minutes, seconds and milliseconds."""
    outer = add(top, "psc:chapters", version="1.2")
    for span in spans:
        ms = span.start_ms
        start = f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"
        add(outer, "psc:chapter", start=start, title=span.title, href=span.url)


def add(parent: etree._Element, what: str, text_: str | None = None, /, **attributes: str) -> etree._Element:
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
