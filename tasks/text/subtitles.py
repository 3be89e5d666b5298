"""Subtitles: lines into cues that can be read in their time, and cues into SRT and WebVTT.

The planning is pure; times are whole samples at 48 kHz. A cue starts with what is heard, never early; it stays longer
than the speech only where its text needs that time and nobody else speaks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pysubs2

from speechmill.languages import UNSPACED, base
from speechmill.lines import RATE_HZ, Word, samples, samples_of_ms
from speechmill.profiles import Subtitles
from speechmill.reports import Check
from tasks.text import wrapping

CJK = frozenset({"zh", "ja", "ko", "yue"})
ENGLISH_CHARACTERS_PER_S = 20.0  # Netflix's timed text style guide: English is read faster than the other languages
SPEED_SLACK = 1.02  # times are whole milliseconds in the files


@dataclass(frozen=True, slots=True)
class Caption:
    """A text and when it is heard. ``words`` are its words' times, where they are known for exactly this text."""

    id: str
    start_samples: int
    end_samples: int
    text: str
    speaker: str = ""
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle: at most so many lines as the profile allows."""

    line_id: str
    start_samples: int
    end_samples: int
    lines: tuple[str, ...]
    speaker: str = ""

    @property
    def length_samples(self) -> int:
        return self.end_samples - self.start_samples

    @property
    def characters(self) -> int:
        return sum(wrapping.width(line) for line in self.lines)


@dataclass(frozen=True, slots=True)
class _Pace:
    """The limits of one language."""

    width: int  # characters per line
    lines: int
    per_s: float  # characters
    shortest: int  # samples, as are the rest
    longest: int
    gap: int
    unspaced: bool

    def reading(self, text: str) -> int:
        return max(self.shortest, round(wrapping.width(text) / self.per_s * RATE_HZ))


def subtitles(
    captions: Sequence[Caption], limits: Subtitles, language: str, until_samples: int | None = None
) -> tuple[Cue, ...]:
    """Captions as cues, by start; the last one leaves no later than the programme ends (``until_samples``).

    No cue has more lines or longer ones than ``limits``, stays longer, or ends less than the gap before the next one
    starts, unless its caption overlaps the next. A cue that is read too fast borrows the free time after it; where
    there is none it stays fast, and ``lint`` says so.
    """
    pace = _pace(limits, language)
    ordered = sorted(
        (c for c in captions if c.text.strip() and c.end_samples > c.start_samples),
        key=lambda c: (c.start_samples, c.end_samples, c.id),
    )
    cues: list[Cue] = []
    for at, caption in enumerate(ordered):
        free = until_samples
        for after in ordered[at + 1 : at + 2]:
            free = max(after.start_samples - pace.gap, caption.start_samples + 1)
            if after.start_samples < caption.end_samples:
                free = caption.end_samples  # they talk at once, and so do the cues
        cues.extend(_cues(caption, free, pace))
    return tuple(sorted(cues, key=lambda cue: cue.start_samples))


def _pace(limits: Subtitles, language: str) -> _Pace:
    tongue = base(language)
    cjk = tongue in CJK
    per_s = limits.characters_per_s_cjk if cjk else limits.characters_per_s
    if tongue == "en":
        per_s = max(per_s, ENGLISH_CHARACTERS_PER_S)
    return _Pace(
        width=limits.characters_cjk if cjk else limits.characters,
        lines=limits.lines,
        per_s=per_s,
        shortest=samples(limits.min_s),
        longest=samples(limits.max_s),
        gap=samples_of_ms(limits.gap_ms),
        unspaced=tongue in UNSPACED,
    )


def _cues(caption: Caption, free: int | None, pace: _Pace) -> list[Cue]:
    """The cues of one caption. ``free``: when the last of them must be gone; None: whenever."""
    long = -(-(caption.end_samples - caption.start_samples) // pace.longest)
    pages = wrapping.pages(caption.text, pace.width, pace.lines, at_least=long, unspaced=pace.unspaced)
    texts = [" ".join(page) for page in pages]
    needs = [pace.reading(text) + pace.gap for text in texts]
    end = max(caption.end_samples, caption.start_samples + sum(needs) - pace.gap)
    end = end if free is None else min(end, free)
    starts = _starts(caption, texts, needs, end, pace)
    cues: list[Cue] = []
    for at, (page, start) in enumerate(zip(pages, starts, strict=True)):
        if at + 1 < len(starts):
            until = max(starts[at + 1] - pace.gap, start + 1)
        else:
            # The last cue leaves with the speech, unless it is not read by then.
            until = min(end, max(caption.end_samples, start + needs[at] - pace.gap))
        until = min(until, start + pace.longest)
        cues.append(Cue(caption.id, start, max(until, start + 1), tuple(page), caption.speaker))
    return cues


def _starts(caption: Caption, texts: Sequence[str], needs: Sequence[int], end: int, pace: _Pace) -> list[int]:
    """When each cue of a caption starts: with its first word, or where no words are known, or a cue would flash by,
    in proportion to what there is to read."""
    by_words = _starts_by_words(caption, texts)
    if by_words is not None:
        ends = [*by_words[1:], end + pace.gap]
        if all(b - a >= need for a, b, need in zip(by_words, ends, needs, strict=True)):
            return by_words
    length, whole, before = end + pace.gap - caption.start_samples, sum(needs), 0
    starts: list[int] = []
    for need in needs:
        starts.append(caption.start_samples + length * before // whole)
        before += need
    return starts


def _starts_by_words(caption: Caption, texts: Sequence[str]) -> list[int] | None:
    if len(texts) < 2 or "".join(w.text for w in caption.words).split() != "".join(caption.text.split()).split():
        return None
    begins: dict[int, int] = {}
    at = 0
    for word in caption.words:
        begins[at] = word.start_samples
        at += len("".join(word.text.split()))
    starts = [caption.start_samples]
    at = len("".join(texts[0].split()))
    for text in texts[1:]:
        if at not in begins or not starts[-1] < begins[at] < caption.end_samples:
            return None
        starts.append(begins[at])
        at += len("".join(text.split()))
    return starts


def lint(cues: Sequence[Cue], limits: Subtitles, language: str) -> tuple[Check, ...]:
    """What the profile asks of subtitles, as measured. Reading speed and shortness follow from how fast people speak,
    so they are advice."""
    pace = _pace(limits, language)
    if not cues:
        return ()
    most_lines = max(len(cue.lines) for cue in cues)
    widest = max(wrapping.width(line) for cue in cues for line in cue.lines)
    shortest = min(cue.length_samples for cue in cues) / RATE_HZ
    longest = max(cue.length_samples for cue in cues) / RATE_HZ
    speeds = [cue.characters / (cue.length_samples / RATE_HZ) for cue in cues]
    slow = sum(1 for speed in speeds if speed <= pace.per_s * SPEED_SLACK) / len(cues)
    close = [
        b.start_samples - a.end_samples
        for a, b in pairwise(cues)
        if 0 <= b.start_samples - a.end_samples < pace.gap - samples_of_ms(1)
    ]
    empty = sum(1 for cue in cues if not "".join(cue.lines).strip())
    return (
        Check(id="subtitle-lines", passed=most_lines <= pace.lines, measured=most_lines, required=f"≤ {pace.lines}",
              about="Lines in one subtitle"),
        Check(id="subtitle-width", passed=widest <= pace.width, measured=widest, required=f"≤ {pace.width}",
              about="Characters in the longest line of a subtitle"),
        Check(id="subtitle-text", passed=empty == 0, measured=empty, required="0", about="Subtitles without text"),
        Check(id="subtitle-longest", passed=longest <= limits.max_s + 0.001, measured=round(longest, 3),
              required=f"≤ {limits.max_s} s", about="How long the longest subtitle stays"),
        Check(id="subtitle-shortest", passed=shortest >= limits.min_s - 0.001, measured=round(shortest, 3),
              required=f"≥ {limits.min_s} s", about="How long the shortest subtitle stays", advisory=True),
        Check(id="subtitle-gap", passed=not close, measured=len(close), required="0",
              about=f"Subtitles that follow another in less than {limits.gap_ms} ms"),
        Check(id="subtitle-speed", passed=slow == 1.0, measured=f"{slow:.1%}",
              required=f"100 % at ≤ {pace.per_s:g} characters/s",
              about="Subtitles that can be read in their time", advisory=True),
    )  # fmt: skip


def write_srt(cues: Sequence[Cue], out: Path) -> None:
    """UTF-8 without a byte order mark, for any player."""
    out.write_text(_file([replace(cue, speaker="") for cue in cues], "srt"), "utf-8")


def write_vtt(cues: Sequence[Cue], out: Path, language: str) -> None:
    """UTF-8; names speakers in ``<v>`` where there is more than one. The language stands in a note: the header of
    a WebVTT file has no room for it."""
    several = len({cue.speaker for cue in cues}) > 1
    shown = list(cues) if several else [replace(cue, speaker="") for cue in cues]
    head, body = _file(shown, "vtt").split("\n\n", 1) if cues else ("WEBVTT", "")
    out.write_text(f"{head}\n\nNOTE Language: {language}\n\n{body}", "utf-8")


def _file(cues: Sequence[Cue], kind: str) -> str:
    file = pysubs2.SSAFile()
    for cue in cues:
        text = "\\N".join(_escaped(line, kind) for line in cue.lines)
        if cue.speaker:
            text = f"<v {_escaped(' '.join(cue.speaker.split()), kind)}>{text}"
        start, end = (round(at * 1000 / RATE_HZ) for at in (cue.start_samples, cue.end_samples))
        file.append(pysubs2.SSAEvent(start=start, end=max(end, start + 1), text=text))
    return file.to_string(kind, keep_ssa_tags=True)


def _escaped(text: str, kind: str) -> str:
    # pysubs2 takes \N, \n and \h for spaces: a word joiner behind the backslash keeps C:\new as it is.
    text = re.sub(r"\\(?=[Nnh])", "\\\\\u2060", text)
    if kind == "vtt":
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("-->", "→")
