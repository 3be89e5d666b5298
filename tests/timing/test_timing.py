"""The timing planner: its table, and what must hold for anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmill.lines import RATE_HZ, Anchor, samples_of_ms
from speechmill.profiles import Stretch, Timing
from speechmill.recipes import Digest
from speechmill.takes import Measurements, Reason, Take, Verdict
from tasks.timing import Cue, fit, pace_for, plan, rooms, stretched_samples

LIMITS = Stretch()
TIMING = Timing()
GUARD = samples_of_ms(TIMING.guard_ms)
AUDIO = Digest("a" * 64)


def take(line_id: str, speech: int, lead: int = 0, verdict: Verdict = Verdict.PASSED) -> Take:
    measured = Measurements(lead + speech + 10, lead, lead + speech, -20.0, -3.0)
    return Take(line_id, 1, AUDIO, AUDIO, measured, verdict)


def cue(line_id: str, start: int, end: int, speech: int, speaker: str = "A") -> Cue:
    return Cue(line_id, speaker, Anchor(start, end), take(line_id, speech))


@pytest.mark.parametrize(
    ("speech", "room", "early", "stretch", "used_early", "reason"),
    [
        (90, 100, 0, 1.00, 0, None),  # room to spare: left alone
        (108, 100, 0, 1.08, 0, None),  # a little fast: nobody hears it
        (118, 100, 0, 1.18, 0, Reason.FAST),  # noted
        (118, 100, 20, 1.10, 7.273, None),  # begins a little early instead, as little as is needed
        (130, 100, 0, 1.30, 0, Reason.VERY_FAST),  # a person should hear it
        (130, 100, 10, 1.1818, 10, Reason.FAST),
        (200, 100, 0, 1.35, 0, Reason.OVERFLOW),  # heard whole, over the next line, for a person
        (200, 100, 10, 1.35, 10, Reason.OVERFLOW),
    ],
)
def test_a_take_is_fitted_by_the_gentlest_means(
    speech: int, room: int, early: int, stretch: float, used_early: float, reason: Reason | None
) -> None:
    found = fit(speech * 1000, room * 1000, early * 1000, LIMITS)
    assert found.stretch == pytest.approx(stretch, abs=2e-4)
    assert found.early_samples == pytest.approx(used_early * 1000, abs=1)
    assert found.reason == reason


@pytest.mark.parametrize(
    ("speech", "room", "pace"),
    [(100, 100, 1.0), (109, 100, 1.0), (112, 100, 1.15), (115, 100, 1.15), (130, 100, 1.3), (300, 100, 1.35)],
)
def test_a_voice_is_asked_to_hurry_only_when_stretching_would_be_heard(speech: int, room: int, pace: float) -> None:
    assert pace_for(speech, room, LIMITS) == pytest.approx(pace)


def test_a_line_may_use_the_silence_up_to_a_guard_before_the_next() -> None:
    anchors = [Anchor(0, 48_000), Anchor(96_000, 120_000)]
    assert rooms(anchors, 200_000, TIMING) == [
        (96_000 - GUARD, 0),
        (200_000 - 96_000, samples_of_ms(TIMING.early_ms)),
    ]


def test_a_line_that_the_original_spoke_over_keeps_its_own_length() -> None:
    anchors = [Anchor(0, 96_000), Anchor(48_000, 120_000)]
    assert rooms(anchors, 200_000, TIMING)[0][0] == 96_000


def test_a_line_that_is_followed_at_once_keeps_its_own_length_too() -> None:
    anchors = [Anchor(0, 48_000), Anchor(48_000 + GUARD // 2, 120_000)]
    assert rooms(anchors, 200_000, TIMING)[0][0] == 48_000


def test_silence_that_the_line_before_has_filled_is_not_borrowed_again() -> None:
    second = RATE_HZ
    first = cue("1", 0, second, 2 * second)  # fills the silence after it, up to the guard
    second_line = cue("2", 2 * second, 3 * second, round(1.2 * second))  # would like to begin early
    found = plan([first, second_line], 3 * second, LIMITS, TIMING)
    ends, begins = found.placed["1"].clip.end_samples, found.placed["2"].clip.start_samples
    assert begins - ends >= GUARD
    assert found.placed["2"].reasons == (Reason.FAST,)


def test_an_overflow_is_heard_whole_over_the_next_line_and_says_so() -> None:
    second = RATE_HZ
    found = plan(
        [cue("1", 0, second, 3 * second), cue("2", second, 2 * second, second // 2)], 10 * second, LIMITS, TIMING
    )
    first = found.placed["1"]
    assert first.clip.stretch == LIMITS.most
    assert first.clip.to_samples - first.clip.from_samples == 3 * second
    assert first.reasons == (Reason.OVERFLOW, Reason.OVERLAPS_NEXT)
    assert found.placed["2"].clip.start_samples == second


def test_where_the_original_talks_over_the_next_line_the_dub_may_too() -> None:
    second = RATE_HZ
    found = plan(
        [cue("1", 0, 2 * second, 2 * second), cue("2", second, 3 * second, second)], 10 * second, LIMITS, TIMING
    )
    assert Reason.TALKS_OVER in found.placed["1"].reasons
    assert Reason.OVERLAPS_NEXT not in found.placed["1"].reasons


def test_a_line_that_would_end_after_the_programme_begins_earlier_and_says_so() -> None:
    second = RATE_HZ
    found = plan([cue("1", 9 * second, 10 * second, 3 * second)], 10 * second, LIMITS, TIMING)
    placed = found.placed["1"]
    assert placed.clip.end_samples == 10 * second
    assert Reason.BEYOND_END in placed.reasons


def test_the_silence_before_a_take_is_not_waited_for() -> None:
    found = plan([Cue("1", "A", Anchor(48_000, 96_000), take("1", 40_000, lead=4_800))], 480_000, LIMITS, TIMING)
    clip = found.placed["1"].clip
    assert (clip.start_samples, clip.from_samples, clip.to_samples) == (48_000, 4_800, 44_800)


def test_a_failed_take_leaves_a_gap_rather_than_an_error() -> None:
    broken = Cue("1", "A", Anchor(0, 48_000), Take("1", 1, AUDIO, None, None, Verdict.FAILED))
    found = plan([broken, cue("2", 96_000, 144_000, 40_000)], 480_000, LIMITS, TIMING)
    assert [clip.line_id for clip in found.clips] == ["2"]


lengths = st.integers(1, 20 * RATE_HZ)


@st.composite
def programmes(draw: st.DrawFn) -> tuple[list[Cue], int]:
    count = draw(st.integers(1, 12))
    cues = []
    for index in range(count):
        start = draw(st.integers(0, 60 * RATE_HZ))
        cues.append(cue(f"{index:02}", start, start + draw(lengths), draw(lengths)))
    longest = max(c.anchor.end_samples for c in cues)
    return cues, longest + draw(st.integers(0, 30 * RATE_HZ)) + 20 * RATE_HZ


@given(programmes())
def test_no_speech_is_ever_cut_and_nothing_is_faster_than_allowed(made: tuple[list[Cue], int]) -> None:
    cues, length = made
    found = plan(cues, length, LIMITS, TIMING)
    assert len(found.clips) == len(cues)
    for given_cue in cues:
        clip = found.placed[given_cue.line_id].clip
        measured = given_cue.take.measured
        assert measured is not None
        assert clip.to_samples - clip.from_samples == measured.speech_samples
        assert 1.0 <= clip.stretch <= LIMITS.most
        assert clip.length_samples == stretched_samples(measured.speech_samples, clip.stretch)
        assert clip.start_samples >= 0
        assert clip.end_samples <= length


@given(programmes())
def test_a_line_over_the_next_one_is_always_marked(made: tuple[list[Cue], int]) -> None:
    cues, length = made
    found = plan(cues, length, LIMITS, TIMING)
    marks = {Reason.OVERLAPS_NEXT, Reason.TALKS_OVER}
    for one in found.clips:
        for other in found.clips:
            if one.start_samples < other.start_samples < one.end_samples:
                earlier = found.placed[one.line_id]
                assert marks & set(earlier.reasons)


@given(programmes())
def test_onsets_stay_near_their_anchors(made: tuple[list[Cue], int]) -> None:
    cues, length = made
    found = plan(cues, length, LIMITS, TIMING)
    for given_cue in cues:
        placed = found.placed[given_cue.line_id]
        if Reason.BEYOND_END not in placed.reasons:
            off = abs(placed.clip.start_samples - given_cue.anchor.start_samples)
            assert off <= samples_of_ms(TIMING.onset_tolerance_ms)


@given(programmes())
def test_the_order_of_lines_does_not_matter(made: tuple[list[Cue], int]) -> None:
    cues, length = made
    assert plan(cues, length, LIMITS, TIMING) == plan(cues[::-1], length, LIMITS, TIMING)
