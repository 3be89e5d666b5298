"""Cues of SRT and WebVTT: the text of a file into who says what between which times, as written.

pysubs2 tells formats apart and writes our subtitles. Blocks are read here, because it reads negative times as positive,
takes identifiers and NOTE blocks of WebVTT for speech, and a last line of digits for a number of the next cue.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pysubs2
from pysubs2.formats import autodetect_format

from speechmill.errors import UnreadableScript
from speechmill.languages import UNSPACED, base
from tasks.text import labels, noises

MOST_CUES = 100_000

_TIME = r"(-?)\s*(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:[.,]\s?(\d{1,3}))?"
STAMP = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}(?:\s|$)")
COMMENT = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s|$)")

OTHER_FORMATS = {
    "ass": "SubStation Alpha", "ssa": "SubStation Alpha", "microdvd": "MicroDVD", "json": "JSON", "mpl2": "MPL2",
    "tmp": "TMP", "sami": "SAMI", "whisper_jax": "Whisper", "ttml": "TTML",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cue:
    """What one person says between two times, or a sound. The times are as written: anything may be wrong with them."""

    number: int  # of the cue in the file, from 1; parts of one cue share it
    start_ms: int
    end_ms: int
    text: str  # one line, without tags
    speaker: str = ""  # empty where the script does not say who
    sound: bool = False  # a sound or a song: not speech
    told: tuple[str, ...] = ()  # what was done to the text, as sentences


def read_cues(text: str, name: str, language: str) -> tuple[Cue, ...]:
    """The cues of a script, in the order of the file; ``name`` is the file's, for errors.

    Speakers are taken from ``<v Name>``, ``NAME:`` and ``[Name]``, and stay until the next one where the script
    names them only when they change; where it names them rarely, nobody knows who speaks between. A cue in which
    several people speak becomes several, its time divided by the length of what they say. Raises ``UnreadableScript``.
    """
    blocks = list(_blocks(text, name))
    if not blocks:
        raise UnreadableScript(f"{name} {_what_it_is(text)}", hint="give a script in SRT or WebVTT")
    if len(blocks) > MOST_CUES:
        raise UnreadableScript(f"{name} has more than {MOST_CUES} cues", hint="check that it is the right file")
    known = labels.names(lines for _, _, lines in blocks)
    divided = [labels.divided(lines, known) for _, _, lines in blocks]
    held = labels.hold(divided)
    joint = "" if base(language) in UNSPACED else " "
    cues: list[Cue] = []
    speaker = ""
    for number, ((start_ms, end_ms, _), parts) in enumerate(zip(blocks, divided, strict=True), 1):
        found: list[Cue] = []
        for who, said in parts:
            speaker = who if who is not None else speaker if held or found else ""
            one = joint.join(" ".join(line.split()) for line in said if line.strip())
            told = (f"“{who}” was taken for who speaks, and is not spoken.",) if known.get(who or "") == 1 else ()
            found.append(_spoken(Cue(number, start_ms, end_ms, one, speaker, told=told)))
        cues.extend(_divide(found))
    return tuple(cues)


def _what_it_is(text: str) -> str:
    if text.lstrip().startswith("WEBVTT"):
        return "is WebVTT without a single cue"
    try:
        return f"is a script in {OTHER_FORMATS[autodetect_format(text[:10_000])]}, not SRT or WebVTT"
    except (pysubs2.FormatAutodetectionError, KeyError):
        return "is no SRT or WebVTT: there is no time line such as 00:00:01,000 --> 00:00:02,500 in it"


def _blocks(text: str, name: str) -> Iterator[tuple[int, int, list[str]]]:
    """Start, end (ms, as written) and lines of every cue: without identifiers, comments and styles."""
    lines = text.split("\n")
    vtt = text.lstrip().startswith("WEBVTT")
    stamps: dict[int, re.Match[str]] = {}
    for at, line in enumerate(lines):
        if "-->" not in line:
            continue
        match = STAMP.match(line)
        if match is None:
            raise UnreadableScript(
                f"line {at + 1} of {name} is no time line that can be read: “{line.strip()[:60]}”",
                hint="write it as 00:00:01,000 --> 00:00:02,500",
            )
        stamps[at] = match
    for at, end in pairwise([*stamps, len(lines)]):
        body = lines[at + 1 : end]
        if end < len(lines) and body and _is_identifier(body, vtt):
            body = body[:-1]
        yield _ms(stamps[at].groups()[:5]), _ms(stamps[at].groups()[5:]), _without_comments(body) if vtt else body


def _is_identifier(body: Sequence[str], vtt: bool) -> bool:
    """Whether the last line before a time line names the next cue rather than being said."""
    last = body[-1].strip()
    after_blank = len(body) == 1 or not body[-2].strip()
    return bool(last) and (last.isdecimal() or (vtt and after_blank))


def _without_comments(body: Sequence[str]) -> list[str]:
    kept: list[str] = []
    inside, blank = False, False
    for line in body:
        if not line.strip():
            inside, blank = False, True
            continue
        inside = inside or (blank and COMMENT.match(line) is not None)
        blank = False
        if not inside:
            kept.append(line)
    return kept


def _ms(groups: Sequence[str | None]) -> int:
    sign, hours, minutes, secs, fraction = groups
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(secs or 0)
    ms = whole * 1000 + int((fraction or "0").ljust(3, "0"))
    return -ms if sign else ms


def _spoken(cue: Cue) -> Cue:
    """The cue with only what is said in it, or as a sound where nothing is."""
    said, sounds = noises.without(cue.text)
    if cue.text and (noises.WHOLE.match(cue.text) or (sounds and not _has_words(said))):
        return replace(cue, sound=True, speaker="")
    if not sounds:
        return cue
    what = ", ".join(f"“{sound}”" for sound in sounds)
    return replace(cue, text=said, told=(*cue.told, f"{what} is a sound; it is not spoken."))


def _has_words(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _divide(parts: Sequence[Cue]) -> list[Cue]:
    """Parts of one cue one after the other, each with time for its share of the characters; empty ones left as told."""
    if len(parts) < 2:
        return list(parts)
    whole = sum(max(1, len(part.text)) for part in parts)
    divided: list[Cue] = []
    start_ms, length_ms, before = parts[0].start_ms, parts[0].end_ms - parts[0].start_ms, 0
    for part in parts:
        after = before + max(1, len(part.text))
        told = (*part.told, f"Cue {part.number} has several speakers; its time was divided by how much each says.")
        divided.append(
            replace(
                part,
                start_ms=start_ms + length_ms * before // whole,
                end_ms=start_ms + length_ms * after // whole,
                told=told,
            )
        )
        before = after
    return divided
