"""The limiter: under the ceiling, untouched where nothing is near it, the same in parts as in the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.sound.limiting import NODE_SAMPLES, REACH_NODES, curve, kept_energy, limit
from tasks.sound.loudness import TAPS_EACH_SIDE, true_peaks

QUIET = np.zeros((TAPS_EACH_SIDE, 2), np.float32)


def limited(sound, ceiling):
    nodes = curve(true_peaks(sound, QUIET, QUIET, 0.0), ceiling)
    out = sound.copy()
    limit(out, nodes)
    return out, nodes


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), ceiling=st.floats(0.05, 1.0))
def test_every_block_is_under_the_ceiling(seed, ceiling):
    peaks = np.random.default_rng(seed).exponential(0.2, 1_000).astype(np.float32)
    nodes = curve(peaks, ceiling)
    most = peaks * np.maximum(nodes[:-1], nodes[1:])
    assert (most <= ceiling * (1 + 1e-5)).all()
    assert ((nodes > 0) & (nodes <= 1)).all()


def test_true_peaks_end_up_under_the_ceiling(speech, make_music):
    sound = make_music(8)[: len(speech) // 64 * 64]
    sound += 1.5 * speech[: len(sound), None]
    out, nodes = limited(sound, 0.5)
    assert nodes.min() < 0.6
    assert (
        true_peaks(out, QUIET, QUIET, 0.0).max() <= 0.5 * 1.01
    )  # a tenth of a decibel: the curve bends a peak a little


def test_nothing_near_the_ceiling_is_touched():
    sound = np.random.default_rng(0).uniform(-0.2, 0.2, (NODE_SAMPLES * 1_000, 2)).astype(np.float32)
    sound[NODE_SAMPLES * 500 + 7] = 0.9
    out, nodes = limited(sound, 0.6)
    reach = (REACH_NODES + 1) * NODE_SAMPLES
    at = NODE_SAMPLES * 500
    np.testing.assert_array_equal(out[: at - reach], sound[: at - reach])
    np.testing.assert_array_equal(out[at + reach :], sound[at + reach :])
    assert (nodes < 1).sum() < 2 * REACH_NODES


def test_a_part_with_its_margins_is_limited_as_in_the_whole():
    peaks = np.random.default_rng(2).exponential(0.2, 5_000).astype(np.float32)
    whole = curve(peaks, 0.7)
    for first, last in ((0, 1_700), (1_700, 3_100), (3_100, 5_000)):
        begin, end = max(0, first - REACH_NODES), min(len(peaks), last + REACH_NODES)
        part = curve(peaks[begin:end], 0.7)
        np.testing.assert_array_equal(part[first - begin : last - begin + 1], whole[first : last + 1])


def test_the_gain_moves_without_clicks():
    sound = np.full((NODE_SAMPLES * 1_000, 1), 0.3, np.float32)
    sound[NODE_SAMPLES * 300 : NODE_SAMPLES * 302] = 1.0
    nodes = curve(true_peaks(sound, QUIET[:, :1], QUIET[:, :1], 0.0), 0.5)
    # 5 ms down, 120 ms up: at most 3 dB a node down and a twentieth of that up.
    steps_db = np.diff(20 * np.log10(nodes))
    assert -3 < steps_db.min() < 0 < steps_db.max() < 0.15


def test_kept_energy_is_that_of_the_limited_sound():
    rng = np.random.default_rng(4)
    nodes = curve(rng.exponential(0.3, 2_000).astype(np.float32), 0.5)
    ones = np.ones(NODE_SAMPLES * 2_000, np.float32)
    limit(ones, nodes)
    np.testing.assert_allclose(np.square(ones).reshape(-1, NODE_SAMPLES).mean(axis=1), kept_energy(nodes), rtol=0.05)
    assert np.square(ones).mean() == pytest.approx(kept_energy(nodes).mean(), rel=1e-3)


def test_a_sound_that_ends_inside_a_block_is_limited_to_its_end():
    ones = np.ones((NODE_SAMPLES * 3 + 5, 2), np.float32)
    limit(ones, np.full(5, 0.5, np.float32))
    np.testing.assert_array_equal(ones, 0.5)
