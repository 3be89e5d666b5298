"""Levels of lines: around one level for each speaker, following the original by two units at most."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.sound.levelling import AROUND_MEDIAN_LU, DIALOGUE_LUFS, MOST_DB, Level, level


@pytest.mark.parametrize(
    ("source_lufs", "take_lufs", "gain_db"),
    [
        (-24.0, -20.0, -4.0),  # as the original is said there
        (-23.0, -20.0, -3.0),  # a little louder than usual: so is the dub
        (-15.0, -20.0, -2.0),  # a door slams: two units above the speaker's median, no more
        (-40.0, -20.0, -6.0),  # the span is mostly silence: two units below
        (-70.0, -20.0, -4.0),  # nothing is said there in the source: the speaker's usual level
        (None, -20.0, -4.0),
        (-24.0, -70.0, 0.0),  # nothing is heard in the take: noise is not made louder
        (-24.0, -60.0, MOST_DB),
    ],
)
def test_level_of_one_line(source_lufs, take_lufs, gain_db):
    usual = [Level(f"u{i}", "A", -24.0, -24.0) for i in range(9)]
    assert level([*usual, Level("x", "A", source_lufs, take_lufs)])["x"] == pytest.approx(gain_db)


def test_each_speaker_has_a_level_of_their_own():
    lines = [Level(f"a{i}", "A", -20.0, -23.0) for i in range(5)] + [
        Level(f"b{i}", "B", -30.0, -23.0) for i in range(5)
    ]
    found = level(lines)
    assert (found["a0"], found["b0"]) == (3.0, -7.0)


def test_a_script_over_silence_is_said_at_the_dialogue_level():
    assert level([Level("x", "A", -70.0, -20.0), Level("y", "B", None, -30.0)]) == {
        "x": DIALOGUE_LUFS + 20.0,
        "y": DIALOGUE_LUFS + 30.0,
    }


def test_who_is_never_heard_in_the_source_is_as_loud_as_the_others():
    assert level([Level("a", "A", -22.0, -20.0), Level("n", "NARRATOR", -70.0, -20.0)])["n"] == -2.0


@given(
    st.lists(
        st.tuples(st.sampled_from("ABC"), st.none() | st.floats(-80, 0), st.floats(-40, -10)), min_size=1, max_size=30
    )
)
def test_no_line_is_far_from_its_speakers_others(lines):
    levels = [Level(str(i), speaker, source, take) for i, (speaker, source, take) in enumerate(lines)]
    gains = level(levels)
    for speaker in "ABC":
        heard = [
            x.take_lufs + gains[x.line_id] for x in levels if x.speaker == speaker and abs(gains[x.line_id]) < MOST_DB
        ]
        assert max(heard, default=0) - min(heard, default=0) <= 2 * AROUND_MEDIAN_LU + 0.02
