"""Scripts that a user gives: SRT and WebVTT into lines, repaired where they must be, and every repair told."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from speechmill.errors import UnreadableScript
from speechmill.languages import UNSPACED, base, usual_characters_per_s
from speechmill.lines import RATE_HZ, Anchor, Doubt, Line, samples_of_ms, seconds
from speechmill.reports import Repair
from tasks.text.cues import Cue, read_cues
from tasks.text.texts import read_text

SHORTEST_SAMPLES = samples_of_ms(200)  # shorter than any spoken word: what a repair leaves of a line is at least this
LONGEST_GUESS_SAMPLES = 7 * RATE_HZ
SMALL_OVERLAP_SAMPLES = samples_of_ms(250)  # parted without troubling a person: subtitles are kept on that long
COVERED_SHARE = 0.5  # of a line lies under a text: that says the line as well, where no other text does
AGREE_SAMPLES = RATE_HZ // 2  # a translation's cue that starts within 0.5 s of the original's is the same cue
BELONGS_SHARE = 0.5  # of the lines must begin within the programme, or the script is another programme's


@dataclass(frozen=True, slots=True)
class Script:
    """Lines by start, and what had to be put right to get them."""

    lines: tuple[Line, ...]
    repairs: tuple[Repair, ...] = ()


@dataclass(frozen=True, slots=True)
class TranslatedScript:
    """Texts by line id. Speech of the source that has none is ``missing``, unless one text says what several lines do:
    it is the first one's, whose time ends with the last one's. ``repairs`` tell what found no line."""

    texts: dict[str, str]
    joined: dict[str, str] = field(default_factory=dict)  # lines that are said with another: its id, by theirs
    missing: tuple[str, ...] = ()
    repairs: tuple[Repair, ...] = ()


@dataclass(slots=True)
class _Draft:
    """A line whose times are being repaired."""

    cue: Cue
    start: int  # samples
    end: int
    told: list[str]
    doubted: bool = False

    def tell(self, what: str) -> None:
        self.told.append(what)
        self.doubted = True


def read_script(path: Path, language: str, *, length_samples: int | None = None) -> Script:
    """A transcript in SRT or WebVTT as lines, in the order of their starts, with ids ``0001``, ``0002`` ….

    Speakers come from ``<v Name>``, ``NAME:`` and ``[Name]``; a line of an unknown speaker has the speaker ``""``.
    Impossible times are repaired, and what does not lie in a programme of ``length_samples`` is left out; both are
    told in ``repairs``. Raises ``UnreadableScript`` for what is no SRT or WebVTT, or belongs to a longer programme.
    """
    cues = read_cues(read_text(path, language), path.name, language)
    if length_samples is not None:
        inside = sum(1 for cue in cues if samples_of_ms(cue.start_ms) < length_samples)
        if inside < BELONGS_SHARE * len(cues):
            raise UnreadableScript(
                f"most of {path.name} lies after the end of the programme, which lasts {clock(length_samples)}",
                hint="check that it is this programme's script",
            )
    script = lines_of(cues, language, length_samples)
    if not any(line.is_spoken for line in script.lines):
        raise UnreadableScript(f"{path.name} has no speech in it", hint="check that it is this programme's script")
    return script


def read_translation(path: Path, language: str, source: Sequence[Line]) -> TranslatedScript:
    """The texts of a translated script for the lines of the original.

    Cue by cue where both have the same number and all times agree, else each text goes to the line that it shares
    most time with, so one cue more or less moves nothing. Raises ``UnreadableScript`` as ``read_script`` does, and
    where nothing of the script lies where the original speaks.
    """
    translated = lines_of(read_cues(read_text(path, language), path.name, language), language)
    aligned = align(source, translated.lines)
    if not aligned.texts:
        raise UnreadableScript(
            f"{path.name} has no text at the times when the original speaks",
            hint="check that it is this programme's translation",
        )
    return aligned


def lines_of(cues: Sequence[Cue], language: str, length_samples: int | None = None) -> Script:
    """Cues as lines, with every impossible time repaired and told."""
    repairs: list[Repair] = []
    drafts: list[_Draft] = []
    for cue in cues:
        if not any(character.isalnum() for character in cue.text) and not cue.sound:
            repairs.append(Repair(line_id="", what=f"Cue {cue.number} has no words and was left out."))
            continue
        drafts.append(_Draft(cue, samples_of_ms(cue.start_ms), samples_of_ms(cue.end_ms), list(cue.told)))
    _into_order(drafts)
    _give_lengths(drafts, language)
    for speaker in {draft.cue.speaker for draft in drafts}:
        _part_overlaps([draft for draft in drafts if draft.cue.speaker == speaker and not draft.cue.sound])
    if length_samples is not None:
        drafts, outside = _within(drafts, length_samples)
        repairs.extend(outside)
    drafts.sort(key=lambda draft: draft.start)
    width = max(4, len(str(len(drafts))))
    lines: list[Line] = []
    for number, draft in enumerate(drafts, 1):
        doubts = (*((Doubt.SOUND_EFFECT,) if draft.cue.sound else ()), *((Doubt.REPAIRED,) if draft.doubted else ()))
        line = Line(
            id=f"{number:0{width}}",
            speaker=draft.cue.speaker,
            language=language,
            text=draft.cue.text,
            anchor=Anchor(draft.start, draft.end),
            doubts=doubts,
        )
        lines.append(line)
        repairs.extend(Repair(line_id=line.id, what=what) for what in draft.told)
    return Script(tuple(lines), tuple(repairs))


def _into_order(drafts: list[_Draft]) -> None:
    latest = None
    for draft in drafts:
        if draft.start < 0 or draft.end < 0:
            draft.tell(f"The time {clock(min(draft.start, draft.end))} is before the programme; it starts at 0.")
            draft.start, draft.end = max(0, draft.start), max(0, draft.end)
        if latest is not None and draft.start < latest.start and draft.cue.number != latest.cue.number:
            draft.tell(f"Cue {draft.cue.number} stood after one that starts later; it was put in its place.")
        else:
            latest = draft
    drafts.sort(key=lambda draft: draft.start)


def _give_lengths(drafts: Sequence[_Draft], language: str) -> None:
    """A cue that ends where it starts, or before, lasts as long as its text suggests, or until the next one."""
    starts = [draft.start for draft in drafts]
    for draft in drafts:
        if draft.end > draft.start:
            continue
        what = "has no length" if draft.end == draft.start else "ends before it starts"
        draft.tell(f"Cue {draft.cue.number} {what}; its end was guessed from its text.")
        guess = round(len(draft.cue.text) / usual_characters_per_s(language) * RATE_HZ)
        guess = min(max(guess, SHORTEST_SAMPLES), LONGEST_GUESS_SAMPLES)
        later = bisect_left(starts, draft.start + SHORTEST_SAMPLES)
        draft.end = min([draft.start + guess, *starts[later : later + 1]])


def _part_overlaps(drafts: Sequence[_Draft]) -> None:
    """One person says one thing at a time: what overlaps is parted. (Two people may talk at once.)"""
    for before, after in pairwise(drafts):
        over = before.end - after.start
        if over <= 0:
            continue
        if after.start - before.start >= SHORTEST_SAMPLES:
            before.told.append(f"It ran into the next line by {over / RATE_HZ:.2f} s; it ends there now.")
            before.doubted = before.doubted or over > SMALL_OVERLAP_SAMPLES
            before.end = after.start
        else:
            end = max(before.end, after.end, before.start + 2 * SHORTEST_SAMPLES)
            share = len(before.cue.text) / (len(before.cue.text) + len(after.cue.text))
            middle = round(before.start + (end - before.start) * share)
            middle = min(max(middle, before.start + SHORTEST_SAMPLES), end - SHORTEST_SAMPLES)
            before.tell("It starts together with the next line; their time was divided by how much each says.")
            after.tell("It starts together with the line before; their time was divided by how much each says.")
            before.end, after.start, after.end = middle, middle, end


def _within(drafts: Sequence[_Draft], length_samples: int) -> tuple[list[_Draft], list[Repair]]:
    """Lines that begin within the programme, and what is told of the others."""
    kept: list[_Draft] = []
    outside: list[Repair] = []
    for draft in drafts:
        if draft.start + SHORTEST_SAMPLES > length_samples:
            said = f"“{short(draft.cue.text)}” at {clock(draft.start)}"
            outside.append(Repair(line_id="", what=f"{said} is after the end of the programme; it was left out."))
            continue
        if draft.end > length_samples:
            if draft.end - length_samples > AGREE_SAMPLES:
                draft.tell("It ran on after the end of the programme; it ends there now.")
            draft.end = length_samples
        kept.append(draft)
    return kept, outside


def align(source: Sequence[Line], translated: Sequence[Line]) -> TranslatedScript:
    """Texts of ``translated`` for the spoken lines of ``source``; all have anchors and are in order of start."""
    lines = [(line, line.anchor) for line in source if line.is_spoken and line.anchor is not None]
    given = [(line, line.anchor) for line in translated if line.is_spoken and line.anchor is not None]
    if len(lines) == len(given) and all(_agree(a, b) for (_, a), (_, b) in zip(lines, given, strict=True)):
        return TranslatedScript({a.id: b.text for (a, _), (b, _) in zip(lines, given, strict=True)})
    texts: dict[str, list[str]] = {}
    covers: dict[str, list[str]] = {}  # lines that lie under the texts of a line
    repairs: list[Repair] = []
    first = 0
    for text, said in given:
        while first < len(lines) and lines[first][1].end_samples + AGREE_SAMPLES <= said.start_samples:
            first += 1  # texts are in order too: no later one reaches back to these
        best, most = None, 0.0
        under: list[str] = []
        for at in range(first, len(lines)):
            line, anchor = lines[at]
            if anchor.start_samples >= said.end_samples + AGREE_SAMPLES:
                break
            shared = _shared(anchor, said)
            if shared > most:
                best, most = line, shared
            if shared >= COVERED_SHARE * anchor.length_samples:
                under.append(line.id)
        if best is None:
            what = f"“{short(text.text)}” at {clock(said.start_samples)} belongs to no line and was left out."
            repairs.append(Repair(line_id="", what=what))
            continue
        if best.id in texts:
            repairs.append(Repair(line_id=best.id, what=f"“{short(text.text)}” was joined to the text before it."))
        texts.setdefault(best.id, []).append(text.text)
        covers.setdefault(best.id, []).extend(under)
    joined = _join(texts, covers)
    joint = "" if translated and base(translated[0].language) in UNSPACED else " "
    whole = {line.id: joint.join(texts[line.id]) for line, _ in lines if line.id in texts}
    missing = tuple(line.id for line, _ in lines if line.id not in texts and line.id not in joined)
    repairs.extend(Repair(line_id=id, what=f"Its translation is part of line {to}'s.") for id, to in joined.items())
    repairs.extend(Repair(line_id=id, what="The translated script has no text for this line.") for id in missing)
    return TranslatedScript(whole, joined, missing, tuple(repairs))


def _join(texts: dict[str, list[str]], covers: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Which lines without a text are said with which: every text goes to the first of the lines that it covers."""
    joined: dict[str, str] = {}
    for owner, under in covers.items():
        alone = [line_id for line_id in under if line_id not in texts]
        if not alone:
            continue
        first = min(owner, *alone)  # ids are in order of time
        texts[first] = texts.pop(owner)
        joined |= {line_id: first for line_id in sorted({owner, *alone}) if line_id != first}
    return joined


def _agree(a: Anchor, b: Anchor) -> bool:
    near = abs(a.start_samples - b.start_samples) <= AGREE_SAMPLES
    return near and min(a.end_samples, b.end_samples) > max(a.start_samples, b.start_samples)


def _shared(a: Anchor, b: Anchor) -> float:
    """Samples that two spans share; where they share none, less than one, by how nearly they start together."""
    shared = min(a.end_samples, b.end_samples) - max(a.start_samples, b.start_samples)
    return shared if shared > 0 else max(0, AGREE_SAMPLES - abs(a.start_samples - b.start_samples)) / RATE_HZ


def clock(at_samples: int) -> str:
    """A time for people: ``1:02:03.4``."""
    tenths = round(abs(seconds(at_samples)) * 10)
    hours, minutes, rest = tenths // 36_000, tenths // 600 % 60, tenths % 600
    sign = "−" if at_samples < 0 else ""
    return f"{sign}{hours}:{minutes:02}:{rest // 10:02}.{rest % 10}"


def short(text: str, most: int = 40) -> str:
    """The beginning of a text, for a sentence about it."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
