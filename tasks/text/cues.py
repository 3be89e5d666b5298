"""Cues of SRT and WebVTT: the text of a file into who says what between which times, as written.

pysubs2 tells formats apart and writes our subtitles. Blocks are read here, because it reads negative times as positive,
takes identifiers and NOTE blocks of WebVTT for speech, and a last line of digits for a number of the next cue.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pysubs2
from pysubs2.formats import autodetect_format

from speechmill.errors import UnreadableScript
from speechmill.languages import UNSPACED, base

MOST_CUES = 100_000
LABEL_CUES = 2  # “Anna:” is a speaker only where it begins this many cues; “ANNA:” is one at once
LABEL_WORDS = 3

_TIME = r"(-?)\s*(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:[.,]\s?(\d{1,3}))?"
STAMP = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}(?:\s|$)")
COMMENT = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s|$)")
VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]*)>")
TAG = re.compile(r"</?[A-Za-z][\w.:-]*(?:\s+[\w-]+=[^<>]*)?\s*/?>|<(?:v|lang|c)[.\s][^<>]*>|<\d[\d:.]*>|\{\\[^{}]*\}")
ENTITIES = {"&lt;": "<", "&gt;": ">", "&nbsp;": " ", "&lrm;": "", "&rlm;": "", "&quot;": '"', "&amp;": "&"}
LABEL = re.compile(r"^([^\W\d_][\w.'’ -]{0,30}?)\s?(?::(?:\s+|$)|：\s*)")
BRACKET = re.compile(r"^\[([^\W\d_][\w.'’ -]{0,30}?)\][:：]?(?:\s+|$)")
DASH = re.compile(r"^\s*[-–—‐]\s*(?=[^\s-])")
SOUND = re.compile(r"\[[^\[\]]*\]|【[^】]*】|[♪♫♬♩][^♪♫♬♩]*[♪♫♬♩]?")
WHOLE_SOUND = re.compile(r"^\s*(?:\([^()]*\)|（[^（）]*）)\s*$")
SOUND_WORDS = frozenset(
    re.findall(
        r"\w+",
        """applause beep cheering chuckles chuckling coughs coughing crowd crying exhales gasps groans inaudible
        indistinct laughing laughs laughter moans music noise panting ringing screams shouting sighs sighing
        silence singing sniffs sobbing sobs static whispers whispering whistling aplausos música ríe risa risas suspira
        suspiro applaudissements musique rires soupire applaus gelächter lacht musik seufzt""",
    )
)

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
    names them only when they change. A cue in which several people speak becomes several, its time divided by the
    length of what they say. Raises ``UnreadableScript``.
    """
    blocks = list(_blocks(text, name))
    if not blocks:
        raise UnreadableScript(f"{name} {_what_it_is(text)}", hint="give a script in SRT or WebVTT")
    if len(blocks) > MOST_CUES:
        raise UnreadableScript(f"{name} has more than {MOST_CUES} cues", hint="check that it is the right file")
    names = _names(blocks)
    joint = "" if base(language) in UNSPACED else " "
    cues: list[Cue] = []
    speaker = ""
    for number, (start_ms, end_ms, lines) in enumerate(blocks, 1):
        parts = _by_voice_tags(lines) if any(VOICE.search(line) for line in lines) else _by_labels(lines, names)
        found: list[Cue] = []
        for who, said in parts:
            if who is not None:
                speaker = who
            one = joint.join(" ".join(line.split()) for line in said if line.strip())
            found.append(_spoken(Cue(number, start_ms, end_ms, one, speaker)))
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


def _plain(line: str) -> str:
    """Without tags and entities, and with ordinary spaces."""
    line = TAG.sub("", re.sub(r"<br\s*/?>", " ", line))
    for entity, character in ENTITIES.items():
        line = line.replace(entity, character)
    return line.replace("\u00a0", " ").replace("\ufeff", "").strip()


def _by_voice_tags(lines: Sequence[str]) -> list[tuple[str | None, list[str]]]:
    """Speaker and lines of each ``<v Name>``; what stands before the first is nobody's."""
    before, *rest = VOICE.split("\n".join(lines))
    parts = [("", before), *zip(rest[::2], rest[1::2], strict=True)]
    return [
        (" ".join(_plain(who).split()), [_plain(line) for line in said.split("\n")])
        for who, said in parts
        if _plain(said)
    ]


def _names(blocks: Sequence[tuple[int, int, list[str]]]) -> frozenset[str]:
    """Labels that are speakers: in capitals or brackets, or such as begin several cues (“Remember:” does not)."""
    sure: set[str] = set()
    seen: Counter[str] = Counter()
    for _, _, lines in blocks:
        for name, certain, _ in filter(None, map(_label, lines)):
            seen[name] += 1
            if certain:
                sure.add(name)
    return frozenset(sure | {name for name, times in seen.items() if times >= LABEL_CUES})


def _label(line: str) -> tuple[str, bool, str] | None:
    """What may be a speaker at the start of a line, whether it surely is one, and what they say."""
    line = DASH.sub("", _plain(line))
    match = LABEL.match(line) or BRACKET.match(line)
    if match is None:
        return None
    name, said = " ".join(match[1].split()), line[match.end() :]
    words = name.split()
    if len(words) > LABEL_WORDS or any(word[0].islower() for word in words):
        return None
    bracket = line.startswith("[")
    if bracket and (not said or any(word.casefold() in SOUND_WORDS for word in words)):
        return None
    return name, bracket or (name.isupper() and len(name) > 1), said


def _by_labels(lines: Sequence[str], names: frozenset[str]) -> list[tuple[str | None, list[str]]]:
    """Speaker and lines of each part; None: nobody is named. Two or more lines with dashes are as many speakers."""
    plain = [line for line in map(_plain, lines) if line]
    dashed = sum(1 for line in plain if DASH.match(line)) > 1
    parts: list[tuple[str | None, list[str]]] = []
    for line in plain:
        label = _label(line)
        if label is not None and label[0] in names:
            parts.append((label[0], [label[2]]))
        elif dashed and DASH.match(line):
            parts.append(("", [DASH.sub("", line)]))
        elif parts:
            parts[-1][1].append(line)
        else:
            parts.append((None, [line]))
    return parts


def _spoken(cue: Cue) -> Cue:
    """The cue with only what is said in it, or as a sound where nothing is."""
    said = " ".join(SOUND.sub(" ", cue.text).split())
    if cue.text and (WHOLE_SOUND.match(cue.text) or (said != cue.text and not _has_words(said))):
        return replace(cue, sound=True, speaker="")
    if said == cue.text:
        return cue
    cues = ", ".join(f"“{match.strip()}”" for match in SOUND.findall(cue.text))
    return replace(cue, text=said, told=(f"{cues} is a sound; it is not spoken.",))


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
