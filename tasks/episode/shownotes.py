"""Show notes: Markdown for people, plain text for the description, HTML for the feed. Times link into the sound."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from speechmill.lines import RATE_HZ
from tasks.episode.chapters import description_lines
from tasks.episode.content import Episode, Said, clock

AI_SENTENCE = "The voices in this episode are made by a computer."
MOST_DESCRIPTION_BYTES = 4_000  # Apple, PSP-1
LEAST_HEAD_BYTES = 600  # of which the episode's own words may have so many, however many chapters there are
_MARKS = re.compile(r"([\\`*_\[\]<>#|])")
_WEB = re.compile(r"https?://", re.IGNORECASE)


def to_markdown(episode: Episode, sound: str = "") -> str:
    """``shownotes.md``: description, chapters, and what each stretch is drawn from, with its time.

    ``sound`` is the address of the MP3; times then link into it (``#t=83``, W3C Media Fragments).
    """
    parts = [f"# {_plain(episode.title)}"]
    if episode.description:
        parts.append(_plain(episode.description))
    if disclosed(episode):
        parts.append(f"*{_plain(disclosed(episode))}*")
    if episode.spans:
        rows = [f"- {_when(s.start_samples, sound)} {_link(s.title, s.url)}" for s in episode.spans]
        parts.append("## Chapters\n\n" + "\n".join(rows))
    drawn = sources(episode)
    if drawn:
        rows = [
            f"- {_when(s.start_samples, sound)} {_link(s.source_title or s.source_url, s.source_url)}" for s in drawn
        ]
        parts.append("## Sources\n\n" + "\n".join(rows))
    if _WEB.match(episode.link):
        parts.append(f"Read the original: <{episode.link}>")
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
    drawn = [(s.start_samples, s.source_title or s.source_url, s.source_url) for s in sources(episode)]
    if drawn:
        paragraphs.append("<p>Sources</p>" + _html_list(drawn))
    return "\n".join(paragraphs)


def disclosed(episode: Episode) -> str:
    """The sentence that says that the voices are made; empty where the episode does not."""
    return (episode.disclosure or AI_SENTENCE) if episode.ai_content else ""


def sources(episode: Episode) -> list[Said]:
    """The first line of every stretch that is drawn from one place of the source."""
    drawn: list[Said] = []
    for line in sorted(episode.lines, key=lambda line: line.start_samples):
        place = (line.source_title, line.source_url)
        if any(place) and (not drawn or place != (drawn[-1].source_title, drawn[-1].source_url)):
            drawn.append(line)
    return drawn


def _html_list(rows: Sequence[tuple[int, str, str]]) -> str:
    items = [
        f'<li>{clock(start)} <a href="{html.escape(url)}">{_escaped(title)}</a></li>'
        if _WEB.match(url)
        else f"<li>{clock(start)} {_escaped(title)}</li>"
        for start, title, url in rows
    ]
    return "<ul>" + "".join(items) + "</ul>"


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
