"""The conversation in time: when each line of an episode is heard, how far apart, over whom.

A pure function from turns to a timeline. Pauses are data, never text: a line's own gap, or one by reason. Negative gaps
are real overlaps. Nothing is cut: one who is interrupted is faded under the interruption, and heard to the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from speechmill.episodes import LineKind
from speechmill.lines import samples_of_ms
from speechmill.takes import Take, Verdict
from speechmill.timeline import Clip, Timeline

LEVEL_LUFS = -23.0  # every speaker, before the programme's one gain: EBU R 128's level leaves room for overlaps
GATING_SAMPLES = samples_of_ms(400)  # a shorter take reads −70 LUFS by BS.1770: it says nothing about its speaker
MOST_DB = 24.0
KEPT_DB = 0.5  # half of what anybody hears of one voice after another
OPENING_SAMPLES = samples_of_ms(1000)  # what is shorter is no chapter
UNDER_DB = -6.0  # a backchannel is heard under the one who speaks, not over them


@dataclass(frozen=True, slots=True)
class Pauses:
    """Silence before a line that asks for none of its own, in ms."""

    turn_ms: int = (
        350  # people answer after about 200 ms (Stivers et al., PNAS 2009); edited speech waits a little longer
    )
    thought_ms: int = 500  # the same speaker goes on: a breath
    section_ms: int = 1200  # a new chapter
    lead_ms: int = 500  # before the first word
    tail_ms: int = 1000  # after the last
    interruption_ms: int = -400  # how far an interruption reaches into the line before it
    backchannel_at: float = 0.6  # of the line that it accompanies


@dataclass(frozen=True, slots=True)
class Turn:
    """One line of an episode with its best take."""

    line_id: str
    speaker: str
    take: Take | None  # None, or a failed one: the line is not heard
    gap_ms: int | None = None
    chapter: str = ""
    kind: LineKind = LineKind.SPEECH


@dataclass(frozen=True, slots=True)
class Conversation:
    """An episode in time. Chapters begin with the first sample of their first line; the first one at 0."""

    timeline: Timeline
    clips: Mapping[str, Clip]  # by line id
    chapters: tuple[tuple[int, str], ...] = ()
    speaking: Mapping[str, int] = field(default_factory=dict)  # samples by speaker


def plan(
    turns: Sequence[Turn],
    pauses: Pauses,
    gains_db: Mapping[str, float],
    pans: Mapping[str, float] | None = None,
    *,
    opening: str = "",
) -> Conversation:
    """Place every line after the one before it. ``gains_db`` and ``pans`` are by speaker.

    What is heard for a second or more before the first chapter (an intro, the disclosure) is a chapter of its own, with
    the title ``opening``.
    """
    clips: dict[str, Clip] = {}
    chapters: list[tuple[int, str]] = []
    speaking: dict[str, int] = defaultdict(int)
    own_end: dict[str, int] = defaultdict(int)  # where each has said what they say
    end = samples_of_ms(pauses.lead_ms)
    before: Turn | None = None
    chapter = ""
    for turn in turns:
        begins = bool(turn.chapter) and turn.chapter != chapter
        chapter = turn.chapter or chapter
        take = turn.take
        if take is None or take.audio is None or take.measured is None or take.verdict is Verdict.FAILED:
            if begins:
                chapters.append((end, chapter))
            continue
        previous = clips.get(before.line_id) if before else None
        start = _start(turn, before, previous, end, begins, pauses)
        if before is not None and before.speaker != turn.speaker:
            start = max(start, own_end[turn.speaker])  # nobody speaks over themselves, but where it is asked
        clip = Clip(
            line_id=turn.line_id,
            take=take.audio,
            start_samples=start,
            length_samples=take.measured.speech_samples,
            from_samples=take.measured.speech_start_samples,
            to_samples=take.measured.speech_end_samples,
            gain_db=round(
                gains_db.get(turn.speaker, 0.0) + (UNDER_DB if turn.kind is LineKind.BACKCHANNEL else 0.0), 2
            ),
            pan=(pans or {}).get(turn.speaker, 0.0),
        )
        if turn.kind is LineKind.INTERRUPTION and previous is not None and start < previous.end_samples:
            assert before is not None
            clips[before.line_id] = _faded(previous, start)
        if begins:
            chapters.append((start, chapter))
        clips[turn.line_id] = clip
        speaking[turn.speaker] += clip.length_samples
        end = max(end, clip.end_samples)
        own_end[turn.speaker] = max(own_end[turn.speaker], clip.end_samples)
        if turn.kind is not LineKind.BACKCHANNEL:
            before = turn
    length = end + samples_of_ms(pauses.tail_ms)
    if chapters and chapters[0][0] < OPENING_SAMPLES:
        chapters[0] = (0, chapters[0][1])  # the breath before the first word belongs to it
    elif chapters and opening:
        chapters.insert(0, (0, opening))
    return Conversation(Timeline.of(length, list(clips.values())), clips, tuple(chapters), dict(speaking))


def _start(turn: Turn, before: Turn | None, previous: Clip | None, end: int, begins: bool, pauses: Pauses) -> int:
    if before is None or previous is None:
        return end + samples_of_ms(max(0, turn.gap_ms or 0))
    if LineKind.DISCLOSURE in (turn.kind, before.kind):  # nobody speaks over it
        return end + samples_of_ms(pauses.section_ms if turn.gap_ms is None else max(0, turn.gap_ms))
    if turn.kind is LineKind.BACKCHANNEL and turn.gap_ms is None:
        return previous.start_samples + round(previous.length_samples * pauses.backchannel_at)
    gap_ms = turn.gap_ms
    if gap_ms is None:
        if turn.kind is LineKind.INTERRUPTION:
            gap_ms = pauses.interruption_ms
        elif begins:
            gap_ms = pauses.section_ms
        else:
            gap_ms = pauses.thought_ms if turn.speaker == before.speaker else pauses.turn_ms
    # An overlap never reaches back before the line that it overlaps: the order of lines is the order of the script.
    return max(previous.start_samples, previous.end_samples + samples_of_ms(gap_ms))


def _faded(clip: Clip, start: int) -> Clip:
    """The interrupted line, softer from where the interruption begins."""
    return replace(clip, fade_samples=max(0, clip.end_samples - max(start, clip.start_samples)))


def speaker_gains(turns: Iterable[Turn]) -> dict[str, float]:
    """One gain for each speaker, in dB, from the median loudness of their longer lines: never line by line, which would
    blast an “mm-hm”."""
    heard: dict[str, list[float]] = defaultdict(list)
    short: dict[str, list[float]] = defaultdict(list)
    for turn in turns:
        measured = turn.take.measured if turn.take else None
        if measured is not None and measured.loudness_lufs > -69.9:
            (heard if measured.speech_samples >= GATING_SAMPLES else short)[turn.speaker].append(measured.loudness_lufs)
    levels = {**{who: median(found) for who, found in short.items()}, **{w: median(f) for w, f in heard.items()}}
    return {who: round(min(max(LEVEL_LUFS - level, -MOST_DB), MOST_DB), 2) for who, level in levels.items()}


def kept_gains(gains_db: Mapping[str, float], before_db: Mapping[str, float]) -> dict[str, float]:
    """The gains, those of an earlier run where they still serve: so an edited line leaves all before it as it was."""
    return {
        who: before_db[who] if abs(before_db.get(who, gain_db + MOST_DB) - gain_db) <= KEPT_DB else gain_db
        for who, gain_db in gains_db.items()
    }
