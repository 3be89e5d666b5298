"""Labels: who speaks in a cue, as scripts say it: ``<v Anna>``, ``ANNA:``, ``WOMAN (V.O.):``, ``[Anna]``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tasks.text import noises

FEWEST = 2  # “Anna:” is a speaker only where it begins this many cues; “ANNA:” is one at once
MOST_WORDS = 3
CARRIED_SHARE = 1 / 8
"""Of all cues must name somebody, and two people must be named, for a name to hold until the next one. Captions for the
deaf name only who is not seen: what comes between is said by others."""
NO_NAMES = frozenset(
    re.findall(
        r"\w+",
        """advantages attention cause caution chapter cons danger disadvantages drawbacks effect end example fact hint
        input myth note notes output part problem pros ps remember scene solution step summary tip warning
        atención aviso capítulo consejo desventajas ejemplo fin importante mito nota paso problema realidad recuerda
        solución ventajas desvantagens vantagens fatto svantaggi vantaggi esempio
        avantages chapitre exemple inconvénients mythe problème remarque réalité étape
        achtung beachte beispiel fakt hinweis kapitel lösung mythos nachteile schritt vorteile nadelen voordelen""",
    )
)
"""What stands before a colon and is said: “NOTE: the sun is hot.”"""

VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]*)>")
LABEL = re.compile(r"^([^\W\d_][\w.'’ -]{0,30}?)\s?(?:[(（][^()（）]{1,20}[)）]\s?)?(?::(?:\s+|$)|：\s*)")
BRACKET = re.compile(r"^\[([^\W\d_][\w.'’ -]{0,30}?)\][:：]?(?:\s+|$)")
DASH = re.compile(r"^\s*[-–—‐]\s*(?=[^\s-])")
TAG = re.compile(r"</?[A-Za-z][\w.:-]*(?:\s+[\w-]+=[^<>]*)?\s*/?>|<(?:v|lang|c)[.\s][^<>]*>|<\d[\d:.]*>|\{\\[^{}]*\}")
ENTITIES = {"&lt;": "<", "&gt;": ">", "&nbsp;": " ", "&lrm;": "", "&rlm;": "", "&quot;": '"', "&amp;": "&"}

Part = tuple[str | None, list[str]]
"""Who says what, line by line; None: nobody is named."""


def names(blocks: Iterable[Sequence[str]]) -> dict[str, int]:
    """Labels that are speakers, and how often they stand: in capitals or brackets, or such as begin several cues."""
    sure: set[str] = set()
    seen: Counter[str] = Counter()
    for lines in blocks:
        for name, certain, _ in filter(None, map(_label, lines)):
            seen[name] += 1
            if certain:
                sure.add(name)
    return {name: times for name, times in seen.items() if name in sure or times >= FEWEST}


def divided(lines: Sequence[str], known: Mapping[str, int]) -> list[Part]:
    """The lines of one cue, by who speaks. Two or more lines with dashes are as many speakers."""
    if any(VOICE.search(line) for line in lines):
        return _by_voice_tags(lines)
    return _by_labels(lines, known)


def hold(cues: Sequence[Sequence[Part]]) -> bool:
    """Whether a name holds until the next one."""
    named = [who for parts in cues for who in {who for who, _ in parts if who}]
    return len(set(named)) > 1 and len(named) >= CARRIED_SHARE * len(cues)


def plain(line: str) -> str:
    """A line without tags and entities, and with ordinary spaces."""
    line = TAG.sub("", re.sub(r"<br\s*/?>", " ", line))
    for entity, character in ENTITIES.items():
        line = line.replace(entity, character)
    return line.replace("\u00a0", " ").replace("\ufeff", "").strip()


def _label(line: str) -> tuple[str, bool, str] | None:
    """What may be a speaker at the start of a line, whether it surely is one, and what they say."""
    line = DASH.sub("", plain(line))
    match = LABEL.match(line) or BRACKET.match(line)
    if match is None:
        return None
    name, said = " ".join(match[1].split()), line[match.end() :]
    words = name.split()
    if len(words) > MOST_WORDS or any(word[0].islower() for word in words):
        return None
    if NO_NAMES & {words[0].casefold(), words[-1].casefold()}:
        return None
    bracket = line.startswith("[")
    if bracket and (not said or any(word.casefold() in noises.WORDS for word in words)):
        return None
    return name, bracket or (name.isupper() and len(name) > 1), said


def _by_voice_tags(lines: Sequence[str]) -> list[Part]:
    """What stands before the first tag is nobody's."""
    before, *rest = VOICE.split("\n".join(lines))
    parts = [("", before), *zip(rest[::2], rest[1::2], strict=True)]
    return [
        (" ".join(plain(who).split()), [plain(line) for line in said.split("\n")]) for who, said in parts if plain(said)
    ]


def _by_labels(lines: Sequence[str], known: Mapping[str, int]) -> list[Part]:
    shown = [line for line in map(plain, lines) if line]
    dashed = sum(1 for line in shown if DASH.match(line)) > 1
    parts: list[Part] = []
    for line in shown:
        label = _label(line)
        if label is not None and label[0] in known:
            parts.append((label[0], [label[2]]))
        elif dashed and DASH.match(line):
            parts.append(("", [DASH.sub("", line)]))
        elif parts:
            parts[-1][1].append(line)
        else:
            parts.append((None, [line]))
    return parts
