"""What an episode is once it is mixed: plain values that every file of the package is written from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from speechmill.lines import RATE_HZ, Word


@dataclass(frozen=True, slots=True)
class Chapter:
    """A section's title and the first sample of its first line."""

    title: str
    start_samples: int
    url: str = ""  # where its section can be read


@dataclass(frozen=True, slots=True)
class Span:
    """A chapter from its start to the next one's."""

    title: str
    start_samples: int
    end_samples: int
    url: str = ""

    @property
    def start_ms(self) -> int:
        return to_ms(self.start_samples)

    @property
    def end_ms(self) -> int:
        return to_ms(self.end_samples)


@dataclass(frozen=True, slots=True)
class Mention:
    """Something that can be read further, and where."""

    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Said:
    """A line where it is heard. ``words`` are those of exactly this text, where their times are known."""

    id: str
    speaker: str  # as shown
    text: str  # as shown, not as spoken
    start_samples: int
    end_samples: int
    words: tuple[Word, ...] = ()
    links: tuple[Mention, ...] = ()


@dataclass(frozen=True, slots=True)
class Episode:
    """An episode, mixed."""

    title: str
    language: str  # BCP-47
    length_samples: int
    lines: tuple[Said, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    description: str = ""
    show: str = ""
    author: str = ""
    number: int | None = None
    season: int | None = None
    date: str = ""  # of publication, YYYY-MM-DD
    link: str = ""  # where the source or the episode's own page is
    sources: tuple[Mention, ...] = ()  # that the document names, but are not read aloud
    copyright: str = ""
    ai_content: bool = True  # the voices are made; told in tags, description and feed
    disclosure: str = ""  # the sentence that says so, for people; empty: none is written

    @property
    def spans(self) -> tuple[Span, ...]:
        return spans(self.chapters, self.length_samples, self.title)

    @property
    def duration_s(self) -> float:
        return self.length_samples / RATE_HZ


def spans(chapters: Sequence[Chapter], length_samples: int, opening: str) -> tuple[Span, ...]:
    """Chapters by time, each up to the next one; none is moved.

    Players want a chapter at 0. Where the first one starts a second or more into the programme (after a disclosure
    or an intro), one with the title ``opening`` is put before it. Chapters outside of the programme are left out; of
    two at the same sample the later one stays.
    """
    inside = {c.start_samples: c for c in chapters if 0 <= c.start_samples < length_samples}
    kept = [inside[start] for start in sorted(inside)]
    if kept and kept[0].start_samples >= RATE_HZ:
        kept.insert(0, Chapter(opening, 0))
    ends = [*(c.start_samples for c in kept[1:]), length_samples][: len(kept)]
    return tuple(Span(c.title, c.start_samples, end, c.url) for c, end in zip(kept, ends, strict=True))


def to_ms(samples: int) -> int:
    """Whole milliseconds, the nearest: at most 0.5 ms from the sample."""
    return (samples * 1000 + RATE_HZ // 2) // RATE_HZ


def clock(samples: int, *, hours: bool = False) -> str:
    """``MM:SS``, or ``H:MM:SS`` from an hour on; the second that the sample lies in, so a link never skips a word."""
    whole = samples // RATE_HZ
    if hours or whole >= 3600:
        return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{whole // 60:02}:{whole % 60:02}"
