"""Reading XML that somebody else wrote: no entity is expanded, nothing is fetched, and it is not read without end."""

from __future__ import annotations

from pathlib import Path

from lxml import etree

from speechmill.errors import BadInput

MOST_BYTES = 64 << 20  # 20,000 episodes with long show notes

ITUNES = "http://www.itunes.com/dtds/podcast-1.0.dtd"
PODCAST = "https://podcastindex.org/namespace/1.0"
ATOM = "http://www.w3.org/2005/Atom"
CONTENT = "http://purl.org/rss/1.0/modules/content/"
PSC = "http://podlove.org/simple-chapters"
NAMESPACES = {"itunes": ITUNES, "podcast": PODCAST, "atom": ATOM, "content": CONTENT, "psc": PSC}
ALIASES = {
    "https://github.com/podcastindex-org/podcast-namespace/blob/main/docs/1.0.md": "podcast",  # its first name
    **{uri.lower(): prefix for prefix, uri in NAMESPACES.items()},
}
"""Prefixes by namespace in small letters: feeds spell iTunes' in several ways, and apps take them all."""


class UnreadableFeed(BadInput):
    """A feed that is no XML, or XML that is not to be trusted."""

    code = "unreadable-feed"


def read_tree(path: Path) -> etree._ElementTree:
    """Parse a file. Raises ``UnreadableFeed``; ``evidence`` has the line, where there is one."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UnreadableFeed(f"{path} cannot be read: {error.strerror}", hint="check the path") from None
    if size > MOST_BYTES:
        raise UnreadableFeed(
            f"{path.name} has {size >> 20} MB", hint="a feed has a few; check that it is the right file"
        )
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        tree = etree.parse(str(path), parser)
    except (etree.XMLSyntaxError, OSError) as error:
        line = getattr(error, "lineno", None)
        message = " ".join(str(error).split())
        raise UnreadableFeed(f"{path.name} is no well-formed XML: {message}", hint="correct it", line=line) from None
    if tree.docinfo.doctype:
        # A document type can define entities that grow without end or name files; no podcast feed needs one.
        raise UnreadableFeed(f"{path.name} has a document type (DOCTYPE)", hint="take it out", line=1)
    return tree


def name(element: etree._Element) -> str:
    """``prefix:name`` with the prefixes that everybody uses, whatever the file calls them; "" for a comment."""
    if not isinstance(element.tag, str):
        return ""
    tag: str = element.tag
    namespace, _, local = tag.rpartition("}")
    prefix = ALIASES.get(namespace[1:].lower())
    return f"{prefix}:{local}" if prefix else tag


def child(parent: etree._Element, wanted: str) -> etree._Element | None:
    """The first child of that name (``title``, ``itunes:image``)."""
    return next((c for c in parent if name(c) == wanted), None)


def children(parent: etree._Element, wanted: str) -> list[etree._Element]:
    return [c for c in parent if name(c) == wanted]


def text(parent: etree._Element, wanted: str) -> str:
    """The text of a child, without space around it; "" where there is none."""
    found = child(parent, wanted)
    return "" if found is None else "".join(found.itertext()).strip()
