"""The timing planner: when each line's take sounds, and how much faster than it was spoken.

A pure function from lines, takes and limits to a timeline and what a person should know about it. It prefers, in this
order: the take as it was spoken, borrowing the silence up to the guard before the next line; a stretch nobody hears
(up to ``free``); a slightly early start into silence; a stretch that is noted (up to ``marked``); a stretch that a
person should hear (up to ``most``). What still does not fit is an overflow: it is heard whole at ``most`` and runs on,
over what follows, for a person to judge. Nothing is ever cut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from speechmill.lines import Anchor, samples_of_ms
from speechmill.profiles import Stretch, Timing
from speechmill.takes import Reason, Take, Verdict
from speechmill.timeline import Clip, Timeline


@dataclass(frozen=True, slots=True)
class Cue:
    """What the planner needs to know of one line: when it was said, and its chosen take."""

    line_id: str
    speaker: str
    anchor: Anchor
    take: Take
    gain_db: float = 0.0


@dataclass(frozen=True, slots=True)
class Fit:
    """How one take fits into its room."""

    stretch: float
    early_samples: int = 0
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """One line on the timeline, and why a person should look, if one should."""

    clip: Clip
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    timeline: Timeline
    placed: dict[str, Placed]  # by line id

    @property
    def clips(self) -> tuple[Clip, ...]:
        return self.timeline.clips


def stretched_samples(length_samples: int, stretch: float) -> int:
    """How long a take of this length sounds when it is played this many times faster."""
    return length_samples if stretch == 1.0 else max(1, round(length_samples / stretch))


def fit(speech_samples: int, room_samples: int, early_samples: int, limits: Stretch) -> Fit:
    """Fit one take into ``room_samples`` after its anchor, with up to ``early_samples`` of silence before it.

    The take is heard whole in every case.
    """
    if speech_samples <= room_samples:
        return Fit(stretch=1.0)
    if (need := _need(speech_samples, room_samples)) <= limits.free:
        return Fit(stretch=need)
    # Early only as far as is needed to stay where nobody hears the stretch.
    early = min(early_samples, _shortfall(speech_samples, room_samples, limits.free))
    room = room_samples + early
    if (need := _need(speech_samples, room)) <= limits.free:
        return Fit(stretch=need, early_samples=early)
    if need <= limits.marked:
        return Fit(stretch=need, early_samples=early, reason=Reason.FAST)
    if need <= limits.most:
        return Fit(stretch=need, early_samples=early, reason=Reason.VERY_FAST)
    return Fit(stretch=limits.most, early_samples=early, reason=Reason.OVERFLOW)


def pace_for(speech_samples: int, room_samples: int, limits: Stretch) -> float:
    """The pace to ask for where speech of this length, expected or already taken, would not fit its room.

    Speech made faster by its speaker sounds better than speech made faster afterwards. 1.0 where it fits as it is;
    in steps of 0.05, so that a small change of the room leaves the recipe of a take unchanged.
    """
    need = _need(speech_samples, room_samples)
    return 1.0 if need <= limits.free else math.ceil(min(need, limits.most) * 20 - 1e-9) / 20


def rooms(
    anchors: Sequence[Anchor], length_samples: int, timing: Timing, left: Sequence[Anchor] = ()
) -> list[tuple[int, int]]:
    """For lines in order of their start: ``(room after the start, silence that may be borrowed before it)`` in samples.
    What is ``left`` to the original is nobody's room.

    The room ends a guard before the next line begins; where the original itself overlaps, the line keeps at least its
    own length. The silence before a line begins a guard after the previous one's original end.
    """
    guard = samples_of_ms(timing.guard_ms)
    most_early = samples_of_ms(timing.early_ms)
    found = []
    latest_end = 0
    for index, anchor in enumerate(anchors):
        next_start = anchors[index + 1].start_samples if index + 1 < len(anchors) else length_samples + guard
        next_start = min([next_start, *(one.start_samples for one in left if one.start_samples > anchor.start_samples)])
        latest_end = max([latest_end, *(one.end_samples for one in left if one.end_samples <= anchor.start_samples)])
        overlapped = next_start < anchor.end_samples
        room = (
            min(anchor.length_samples, length_samples - anchor.start_samples)
            if overlapped
            else (next_start - guard - anchor.start_samples)
        )
        room = max(room, min(anchor.length_samples, next_start - anchor.start_samples), 1)
        before = anchor.start_samples - (latest_end + guard if latest_end else 0)
        found.append((room, max(0, min(most_early, before))))
        latest_end = max(latest_end, anchor.end_samples)
    return found


def plan(
    cues: Sequence[Cue], length_samples: int, stretch: Stretch, timing: Timing, left: Sequence[Anchor] = ()
) -> Plan:
    """Place every cue that has something to hear. Times are samples at 48 kHz; ``length_samples`` is the programme's;
    ``left`` is where the original is to be heard instead.

    Cues whose take failed are left out: there is nothing to place. A line that could not end before the programme
    does is started earlier, rather than cut.
    """
    ordered = sorted(
        (cue for cue in cues if cue.take.audio is not None and cue.take.verdict is not Verdict.FAILED),
        key=lambda cue: (cue.anchor.start_samples, cue.anchor.end_samples, cue.line_id),
    )
    clips: list[Clip] = []
    reasons: dict[str, list[Reason]] = {}
    spoken_until = 0  # where the dub really ends so far: silence is borrowed only once
    guard = samples_of_ms(timing.guard_ms)
    found = rooms([cue.anchor for cue in ordered], length_samples, timing, left)
    for cue, (room, early) in zip(ordered, found, strict=True):
        early = max(0, min(early, cue.anchor.start_samples - spoken_until - guard))
        clip, why = _place(cue, room, early, length_samples, stretch, timing)
        clips.append(clip)
        reasons[cue.line_id] = why
        spoken_until = max(spoken_until, clip.end_samples)
    _mark_overlaps(ordered, clips, reasons)
    placed = {clip.line_id: Placed(clip, tuple(reasons[clip.line_id])) for clip in clips}
    return Plan(Timeline.of(length_samples, clips), placed)


def _place(
    cue: Cue, room: int, early: int, length_samples: int, limits: Stretch, timing: Timing
) -> tuple[Clip, list[Reason]]:
    measured, audio = cue.take.measured, cue.take.audio
    assert measured is not None
    assert audio is not None
    found = fit(measured.speech_samples, room, early, limits)
    sounding = stretched_samples(measured.speech_samples, found.stretch)
    start = cue.anchor.start_samples - found.early_samples
    reasons = [found.reason] if found.reason else []
    if start + sounding > length_samples:
        start = max(0, length_samples - sounding)
        if cue.anchor.start_samples - start > samples_of_ms(timing.onset_tolerance_ms):
            reasons.append(Reason.BEYOND_END)
    clip = Clip(
        line_id=cue.line_id,
        take=audio,
        start_samples=start,
        length_samples=sounding,
        from_samples=measured.speech_start_samples,
        to_samples=measured.speech_end_samples,
        stretch=found.stretch,
        gain_db=cue.gain_db,
    )
    return clip, reasons


def _mark_overlaps(ordered: Sequence[Cue], clips: Sequence[Clip], reasons: dict[str, list[Reason]]) -> None:
    """Mark every line that is still heard when a later one begins; ``TALKS_OVER`` where the original did so too."""
    sounding: list[int] = []
    for index, (cue, clip) in enumerate(zip(ordered, clips, strict=True)):
        sounding = [i for i in sounding if clips[i].end_samples > clip.start_samples]
        for i in sounding:
            original = ordered[i].anchor.end_samples > cue.anchor.start_samples
            why = Reason.TALKS_OVER if original else Reason.OVERLAPS_NEXT
            if why not in reasons[ordered[i].line_id]:
                reasons[ordered[i].line_id].append(why)
        sounding.append(index)


def _need(speech_samples: int, room_samples: int) -> float:
    """The stretch that makes speech fit; rounded up to a ten-thousandth, so that what is stored fits too."""
    return max(1.0, -(-speech_samples * 10_000 // max(1, room_samples)) / 10_000)


def _shortfall(speech_samples: int, room_samples: int, stretch: float) -> int:
    return max(0, math.ceil(speech_samples / stretch) - room_samples)
