"""The programme gain is found from numbers, and found even where it is hard."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.sound.gain import GAIN_STEP_DB, KEEP_LU, MOST_GAIN_DB, MOST_LIMITING_DB, Measured, at_gain, settle
from tasks.sound.loudness import OFFSET_LU

BLOCKS_PER_S = 750


def programme(seconds=60, lufs=-24.0, crest_db=6.0, seed=0):
    """Numbers of speech: every second as loud as the next within a few units, peaks above it by the crest."""
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.normal(0, 2, seconds), BLOCKS_PER_S) + lufs - OFFSET_LU
    mean_squares = 10 ** (level / 10) * rng.exponential(1, seconds * BLOCKS_PER_S)
    peaks = np.sqrt(mean_squares) * 10 ** ((crest_db - rng.exponential(4, len(mean_squares))) / 20)
    return Measured(mean_squares.astype(np.float32), peaks.astype(np.float32))


@settings(max_examples=30, deadline=None)
@given(
    lufs=st.floats(-45, -10),
    crest_db=st.floats(0, 4),
    target=st.sampled_from([-14.0, -16.0, -23.0, -27.0]),
    seed=st.integers(0, 100),
)
def test_the_target_is_met_in_steps_of_a_tenth(lufs, crest_db, target, seed):
    level = settle(programme(20, lufs, crest_db, seed), target, -2.0)
    assert level.lufs == pytest.approx(target, abs=0.1)
    assert level.true_peak_dbtp <= -1.999
    assert level.gain_db / GAIN_STEP_DB == pytest.approx(round(level.gain_db / GAIN_STEP_DB))


def test_where_nothing_is_limited_the_gain_is_the_difference():
    quiet = programme(lufs=-40.0)
    free = at_gain(quiet, 0.0, -2.0)
    level = settle(quiet, -27.0, -2.0)
    assert level.gain_db == pytest.approx(-27.0 - free.lufs, abs=GAIN_STEP_DB / 2 + 1e-6)
    assert (level.nodes == 1).all()


def test_limiting_makes_softer_and_the_gain_makes_up_for_it():
    peaky = programme(crest_db=6.0)
    free = at_gain(peaky, 0.0, 99.0)
    level = settle(peaky, -14.0, -2.0)
    assert level.gain_db > -14.0 - free.lufs + 0.3
    assert level.lufs == pytest.approx(-14.0, abs=0.1)


def test_what_cannot_be_met_ends_at_the_nearest():
    clicks = programme(lufs=-30.0, crest_db=25.0)
    level = settle(clicks, -14.0, -2.0)
    assert level.lufs < -14.5
    assert (
        level.lufs > at_gain(clicks, level.gain_db + 6, -2.0).lufs - 1
    )  # six more decibels would give next to nothing
    assert level.gain_db <= -14.0 - at_gain(clicks, 0.0, 99.0).lufs + MOST_LIMITING_DB + GAIN_STEP_DB
    assert settle(programme(lufs=-66.0), -14.0, -2.0).gain_db <= MOST_GAIN_DB


def test_silence_is_left_alone():
    nothing = Measured(np.zeros(BLOCKS_PER_S, np.float32), np.zeros(BLOCKS_PER_S, np.float32))
    assert (settle(nothing, -14.0, -2.0).gain_db, settle(nothing, -14.0, -2.0).lufs) == (0.0, -70.0)


@pytest.mark.parametrize(("off_db", "kept"), [(0.2, True), (-0.2, True), (0.6, False)])
def test_the_gain_of_before_is_kept_while_it_is_near_enough(off_db, kept):
    free = settle(programme(), -23.0, -2.0)
    again = settle(programme(), -23.0, -2.0, previous_gain_db=free.gain_db + off_db)
    assert again.gain_db == pytest.approx(free.gain_db + (off_db if kept else 0.0))
    assert abs(again.lufs + 23.0) <= KEEP_LU


def test_speech_gated_loudness_hears_the_spans_only():
    loud, soft = programme(30, -15.0), programme(30, -35.0)
    whole = Measured.joined([loud, soft])
    second = 48_000
    level = settle(whole, -27.0, -2.0, spans=[(30 * second, 60 * second)])
    assert at_gain(soft, level.gain_db, -2.0).lufs == pytest.approx(-27.0, abs=0.5)  # blocks at its edge hear both


def test_an_hour_of_numbers_takes_little_memory():
    minute = programme()
    long = Measured(np.tile(minute.mean_squares, 60), np.tile(minute.peaks, 60))
    tracemalloc.start()
    settle(long, -14.0, -2.0)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 90e6
