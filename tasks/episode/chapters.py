"""Chapters in the forms that apps read: JSON, lines of a description, ffmpeg's metadata. (ID3 is in ``id3``.)"""

from __future__ import annotations

import json
from collections.abc import Sequence

from speechmill.lines import RATE_HZ
from tasks.episode.content import Span, clock

MOST_TITLE = 39  # Spotify reads chapters of a description whose titles have fewer than 40 characters
LEAST_LINES = 3  # with fewer, apps do not take the lines for chapters
ESCAPED = str.maketrans({c: f"\\{c}" for c in "=;#\\\n"})  # ffmpeg-formats, Metadata


def to_json(spans: Sequence[Span], title: str = "") -> str:
    """``chapters.json`` of the Podcasting 2.0 namespace, version 1.2.0; times in seconds to the millisecond."""
    chapters = [
        {
            "startTime": s.start_ms / 1000,
            "title": s.title,
            "endTime": s.end_ms / 1000,
            **({"url": s.url} if s.url else {}),
        }
        for s in spans
    ]
    whole = {"version": "1.2.0", **({"title": title} if title else {}), "chapters": chapters}
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def description_lines(spans: Sequence[Span]) -> tuple[str, ...]:
    """``00:00 Title``, a line each; empty where there are too few for apps to take them for chapters."""
    if len(spans) < LEAST_LINES:
        return ()
    return tuple(f"{clock(s.start_samples)} {shortened(s.title, MOST_TITLE)}" for s in spans)


def shortened(title: str, most: int) -> str:
    """One line of at most ``most`` characters, cut at a word where one ends in its second half."""
    line = " ".join(title.split())
    if len(line) <= most:
        return line
    cut = line[: most - 1]
    space = cut.rfind(" ")
    return cut[: space if space > most // 2 else None].rstrip(" ,;:–-") + "…"


def ffmetadata(spans: Sequence[Span], tags: dict[str, str]) -> str:
    """Tags and chapters as ffmpeg reads them, in whole samples; empty tags are left out."""
    lines = [";FFMETADATA1", *(f"{key}={value.translate(ESCAPED)}" for key, value in tags.items() if value)]
    for s in spans:
        lines += ["[CHAPTER]", f"TIMEBASE=1/{RATE_HZ}", f"START={s.start_samples}", f"END={s.end_samples}"]
        lines.append(f"title={s.title.translate(ESCAPED)}")
    return "\n".join(lines) + "\n"
