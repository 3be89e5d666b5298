"""Show notes: Markdown for people, plain text for the description, HTML for the feed. Times link into the sound."""

from __future__ import annotations

import html
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources

from speechmill.languages import base
from speechmill.lines import RATE_HZ
from tasks.disclosing import phrase
from tasks.episode.chapters import description_lines
from tasks.episode.content import Episode, Mention, clock

MOST_DESCRIPTION_BYTES = 4_000  # Apple, PSP-1
LEAST_HEAD_BYTES = 600  # of which the episode's own words may have so many, however many chapters there are
_MARKS = re.compile(r"([\\`*_\[\]<>#|])")
_WEB = re.compile(r"https?://", re.IGNORECASE)


def to_markdown(episode: Episode, sound: str = "") -> str:
    """``shownotes.md``: description, chapters, links with the time that they are spoken of, sources.

    ``sound`` is the address of the MP3; times then link into it (``#t=83``, W3C Media Fragments).
    """
    words = _words(base(episode.language))
    parts = [f"# {_plain(episode.title)}"]
    if episode.description:
        parts.append(_plain(episode.description))
    if disclosed(episode):
        parts.append(f"*{_plain(disclosed(episode))}*")
    if episode.spans:
        rows = [f"- {_when(s.start_samples, sound)} {_link(s.title, s.url)}" for s in episode.spans]
        parts.append(f"## {words['chapters']}\n\n" + "\n".join(rows))
    if found := links(episode):
        rows = [f"- {_when(start, sound)} {_link(link.title, link.url)}" for start, link in found]
        parts.append(f"## {words['links']}\n\n" + "\n".join(rows))
    if episode.sources:
        rows = [f"- {_link(link.title, link.url)}" for link in episode.sources]
        parts.append(f"## {words['sources']}\n\n" + "\n".join(rows))
    if _WEB.match(episode.link):
        parts.append(f"{words['original']}: <{episode.link}>")
    return "\n\n".join(parts) + "\n"


def to_text(episode: Episode) -> str:
    """The description as apps show it: text, the disclosure, a line for each chapter; at most 4,000 bytes, of
    which the disclosure is never what is cut."""
    tail = "\n\n".join(part for part in (disclosed(episode), "\n".join(description_lines(episode.spans))) if part)
    tail = _fitted(tail, MOST_DESCRIPTION_BYTES - LEAST_HEAD_BYTES)
    head = _fitted(episode.description.strip() or episode.title, MOST_DESCRIPTION_BYTES - len(tail.encode()) - 2)
    return f"{head}\n\n{tail}" if tail else head


def to_html(episode: Episode) -> str:
    """The same for ``content:encoded``: paragraphs and lists only."""
    paragraphs = [f"<p>{_escaped(part)}</p>" for part in episode.description.split("\n\n") if part.strip()]
    if disclosed(episode):
        paragraphs.append(f"<p><em>{_escaped(disclosed(episode))}</em></p>")
    if episode.spans:
        paragraphs.append(_html_list([(s.start_samples, s.title, s.url) for s in episode.spans]))
    words = _words(base(episode.language))
    if found := links(episode):
        rows = [(start, link.title, link.url) for start, link in found]
        paragraphs.append(f"<p>{words['links']}</p>" + _html_list(rows))
    if episode.sources:
        items = "".join(f"<li>{_anchor(link.title, link.url)}</li>" for link in episode.sources)
        paragraphs.append(f"<p>{words['sources']}</p><ul>{items}</ul>")
    return "\n".join(paragraphs)


def disclosed(episode: Episode) -> str:
    """The sentence that says that the voices are made; empty where the episode does not."""
    return (episode.disclosure or phrase(episode.language) or phrase("en")) if episode.ai_content else ""


def links(episode: Episode) -> list[tuple[int, Mention]]:
    """What the lines lead to, each address once, where it is first spoken of."""
    found: dict[str, tuple[int, Mention]] = {}
    for line in sorted(episode.lines, key=lambda line: line.start_samples):
        for link in line.links:
            found.setdefault(link.url, (line.start_samples, link))
    return list(found.values())


def _html_list(rows: Sequence[tuple[int, str, str]]) -> str:
    items = [f"<li>{clock(start)} {_anchor(title, url)}</li>" for start, title, url in rows]
    return "<ul>" + "".join(items) + "</ul>"


def _anchor(title: str, url: str) -> str:
    return f'<a href="{html.escape(url)}">{_escaped(title)}</a>' if _WEB.match(url) else _escaped(title)


@cache
def _words(language: str) -> Mapping[str, str]:
    known = tomllib.loads(resources.files("tasks.episode").joinpath("shownotes.toml").read_text("utf-8"))
    found: Mapping[str, str] = known.get(language, known["en"])
    return found


def _fitted(text: str, most_bytes: int) -> str:
    if len(text.encode()) <= most_bytes:
        return text
    cut = text.encode()[: most_bytes - len("…".encode())].decode(errors="ignore")
    end = max(cut.rfind("\n"), cut.rfind(". ") + 1, cut.rfind(" "))
    return cut[: end if end > 0 else None].rstrip() + "…"


def _when(samples: int, sound: str) -> str:
    shown = clock(samples)
    return f"[{shown}]({sound}#t={samples // RATE_HZ})" if sound else shown


def _link(title: str, url: str) -> str:
    """Only addresses of the web become links: a document's own ``javascript:`` stays text."""
    plain = _plain(" ".join(title.split()))
    return f"[{plain}](<{url}>)" if _WEB.match(url) and not re.search(r"[<>\s]", url) else plain


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _MARKS.sub(r"\\\1", text)


def _escaped(text: str) -> str:
    return html.escape(" ".join(text.split()), quote=False)
