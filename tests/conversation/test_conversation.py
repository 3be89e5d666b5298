"""The conversation in time: gaps by reason, overlaps, backchannels, interruptions, levels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmill.episodes import LineKind
from speechmill.lines import RATE_HZ, samples_of_ms
from speechmill.recipes import Digest
from speechmill.takes import Measurements, Take, Verdict
from tasks.conversation import MOST_DB, UNDER_DB, Pauses, Turn, kept_gains, plan, speaker_gains

PAUSES = Pauses()
AUDIO = Digest("b" * 64)
SECOND = RATE_HZ


def take(line_id: str, samples: int, lufs: float = -23.0) -> Take:
    return Take(line_id, 1, AUDIO, AUDIO, Measurements(samples + 200, 100, samples + 100, lufs, -3.0), Verdict.PASSED)


def turn(line_id: str, speaker: str, gap_ms: int | None = None, chapter: str = "", samples: int = SECOND,
         kind: LineKind = LineKind.SPEECH) -> Turn:  # fmt: skip
    return Turn(line_id, speaker, take(line_id, samples), gap_ms, chapter, kind)


@pytest.mark.parametrize(
    ("second", "gap_ms"),
    [
        (turn("2", "B"), PAUSES.turn_ms),  # somebody else answers
        (turn("2", "A"), PAUSES.thought_ms),  # the same goes on
        (turn("2", "A", chapter="Two"), PAUSES.section_ms),  # a new chapter
        (turn("2", "B", gap_ms=80), 80),  # what the script says
        (turn("2", "B", gap_ms=-250), -250),  # a real overlap
        (turn("2", "B", kind=LineKind.INTERRUPTION), PAUSES.interruption_ms),
    ],
)
def test_the_gap_before_a_line_has_its_reason(second: Turn, gap_ms: int) -> None:
    found = plan([turn("1", "A", chapter="One"), second], PAUSES, {})
    assert found.clips["2"].start_samples - found.clips["1"].end_samples == samples_of_ms(gap_ms)


def test_nobody_speaks_over_themselves() -> None:
    """B goes on when A has only murmured under B's line."""
    murmured = turn("2", "A", gap_ms=-800, samples=SECOND // 4)
    found = plan([turn("1", "B"), murmured, turn("3", "B", gap_ms=100)], PAUSES, {})
    assert found.clips["2"].end_samples < found.clips["1"].end_samples
    assert found.clips["3"].start_samples == found.clips["1"].end_samples


def test_a_backchannel_is_heard_softly_under_the_one_who_speaks_and_takes_no_turn() -> None:
    said = [turn("1", "A", samples=4 * SECOND), turn("2", "B", samples=9600, kind=LineKind.BACKCHANNEL), turn("3", "A")]
    found = plan(said, PAUSES, {"B": 1.0})
    first, under, third = (found.clips[n] for n in "123")
    assert first.start_samples < under.start_samples
    assert under.end_samples < first.end_samples
    assert under.gain_db == 1.0 + UNDER_DB
    assert third.start_samples - first.end_samples == samples_of_ms(PAUSES.thought_ms)


def test_one_who_is_interrupted_fades_and_is_not_cut() -> None:
    found = plan([turn("1", "A"), turn("2", "B", kind=LineKind.INTERRUPTION)], PAUSES, {})
    first, second = found.clips["1"], found.clips["2"]
    assert first.length_samples == SECOND
    assert first.fade_samples == first.end_samples - second.start_samples > 0


def test_chapters_begin_with_the_first_sample_of_their_first_line_and_the_first_one_at_zero() -> None:
    found = plan([turn("1", "A", chapter="One"), turn("2", "A"), turn("3", "B", chapter="Two")], PAUSES, {})
    assert found.chapters == ((0, "One"), (found.clips["3"].start_samples, "Two"))


def test_a_line_without_sound_leaves_no_hole_but_its_chapter_stays() -> None:
    silent = Turn("2", "A", None, None, "Two")
    found = plan([turn("1", "A", chapter="One"), silent, turn("3", "A")], PAUSES, {})
    assert found.clips.keys() == {"1", "3"}
    assert [title for _, title in found.chapters] == ["One", "Two"]


def test_every_speaker_has_one_gain_and_a_short_word_does_not_decide_it() -> None:
    turns = [
        Turn("1", "A", take("1", SECOND, -30.0)),
        Turn("2", "A", take("2", SECOND, -28.0)),
        Turn("3", "A", take("3", 4800, -60.0)),  # an “mm”, too short for the meter
        Turn("4", "B", take("4", SECOND, -20.0)),
    ]
    assert speaker_gains(turns) == {"A": 6.0, "B": -3.0}


def test_a_voice_that_is_hardly_there_is_not_blown_up_to_noise() -> None:
    turns = [Turn("1", "A", take("1", SECOND, -65.0)), Turn("2", "B", take("2", SECOND, 5.0))]
    assert speaker_gains(turns) == {"A": MOST_DB, "B": -MOST_DB}


def test_a_gain_that_still_serves_stays_what_it_was() -> None:
    assert kept_gains({"A": 1.03, "B": 2.0, "C": 0.0}, {"A": 1.0, "B": 3.0}) == {"A": 1.0, "B": 2.0, "C": 0.0}


LINES = st.tuples(st.sampled_from("AB"), st.integers(1, 5 * SECOND), st.one_of(st.none(), st.integers(-900, 3000)))


@given(st.lists(LINES,
                min_size=1, max_size=20))  # fmt: skip
def test_lines_keep_their_order_and_are_heard_whole(said: list[tuple[str, int, int | None]]) -> None:
    turns = [turn(f"{i:02}", who, gap, samples=length) for i, (who, length, gap) in enumerate(said)]
    found = plan(turns, PAUSES, {})
    starts = [found.clips[t.line_id].start_samples for t in turns]
    assert starts == sorted(starts)
    for (_, length, _), each in zip(said, turns, strict=True):
        clip = found.clips[each.line_id]
        assert clip.length_samples == length == clip.to_samples - clip.from_samples
        assert clip.end_samples <= found.timeline.length_samples


def test_nobody_speaks_over_the_disclosure_and_the_first_chapter_begins_after_it() -> None:
    told = turn("0", "A", kind=LineKind.DISCLOSURE)
    found = plan([told, turn("1", "B", gap_ms=-900, chapter="One")], PAUSES, {}, opening="Opening")
    assert found.clips["1"].start_samples == found.clips["0"].end_samples
    assert found.chapters == ((0, "Opening"), (found.clips["1"].start_samples, "One"))
    assert found.clips["0"].fade_samples == 0


def test_an_intro_is_a_chapter_of_its_own_and_a_breath_is_none() -> None:
    intro = plan([turn("1", "A", chapter="One")], Pauses(lead_ms=4000), {}, opening="Opening")
    assert intro.chapters == ((0, "Opening"), (samples_of_ms(4000), "One"))
    assert plan([turn("1", "A", chapter="One")], PAUSES, {}, opening="Opening").chapters == ((0, "One"),)


def test_a_speaker_keeps_their_seat() -> None:
    found = plan([turn("1", "A"), turn("2", "B"), turn("3", "A")], PAUSES, {}, {"A": -0.5})
    assert [found.clips[n].pan for n in "123"] == [-0.5, 0.0, -0.5]
