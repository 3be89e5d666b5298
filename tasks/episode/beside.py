"""Rules about files that a feed names and that lie beside it: what the feed says of them is true."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from PIL import Image

from tasks.episode.cover import LEAST_PIXELS, MOST_PIXELS
from tasks.episode.rules import Check, Feed, Found, enclosures
from tasks.episode.trees import children


def _beside(feed: Feed, address: str) -> Path | None:
    """The file that an address of this feed's own folder names, where it is there."""
    own = next((e.get("href", "") for e in children(feed.channel, "atom:link") if e.get("rel") == "self"), "")
    folder = own.rpartition("/")[0] + "/"
    rest = unquote(urlsplit(address).path)
    start = unquote(urlsplit(folder).path)
    if not own or urlsplit(own).netloc != urlsplit(address).netloc or not rest.startswith(start):
        return None
    path = (feed.path.parent / rest[len(start) :]).resolve()
    return path if path.is_relative_to(feed.path.parent.resolve()) and path.is_file() else None


def _real_length(feed: Feed) -> Iterator[Found]:
    for enclosure in enclosures(feed):
        path, length = _beside(feed, enclosure.get("url", "")), enclosure.get("length", "")
        if path is not None and length.isdecimal() and int(length) != path.stat().st_size:
            yield enclosure, f"The enclosure's length is {length}, but {path.name} has {path.stat().st_size} bytes."


def _real_art(feed: Feed) -> Iterator[Found]:
    for parent in feed.both:
        for image in children(parent, "itunes:image"):
            path = _beside(feed, image.get("href", ""))
            if path is not None and (wrong := _wrong_with(path)):
                yield image, f"The art {path.name} {wrong}."


def _wrong_with(path: Path) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("JPEG", "PNG")) as picture:
                (width, height), mode = picture.size, picture.mode
    except (OSError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return "is no JPEG or PNG"
    if width != height or not LEAST_PIXELS <= width <= MOST_PIXELS:
        return f"is {width} × {height}, not a square of {LEAST_PIXELS} to {MOST_PIXELS} pixels"
    return "" if mode == "RGB" else f"is {mode}, not RGB"


ERRORS: dict[str, Check] = {"FILE-01": _real_length, "FILE-02": _real_art}
