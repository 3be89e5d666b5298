"""Our meter against ffmpeg's, and against the numbers of the standards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechmill.lines import RATE_HZ
from tasks.sound import layouts
from tasks.sound.loudness import (
    PEAK_SAMPLES,
    PREROLL_SAMPLES,
    STEP_SAMPLES,
    TAPS_EACH_SIDE,
    Energies,
    Meter,
    coarse,
    coverage,
    decibels,
    true_peaks,
)


def energies(sound, weights, blocks=(10_007,)):
    meter, at, i = Meter(weights), 0, 0
    while at < len(sound):
        size = blocks[i % len(blocks)]
        meter.feed(sound[at : at + size])
        at, i = at + size, i + 1
    return Energies(meter.steps())


def sine(frequency_hz, seconds, amplitude=1.0, phase=0.0):
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (amplitude * np.sin(2 * np.pi * frequency_hz * t + phase)).astype(np.float32)[:, None]


def peak(sound, floor=0.0):
    quiet = np.zeros((TAPS_EACH_SIDE, sound.shape[1]), np.float32)
    whole = sound[: len(sound) // PEAK_SAMPLES * PEAK_SAMPLES]
    return decibels(float(true_peaks(whole, quiet, quiet, floor).max()))


def test_a_full_scale_sine_reads_what_the_standard_says():
    assert energies(sine(997, 5), (1.0,)).integrated_lufs == pytest.approx(-3.01, abs=0.02)


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        # EBU Tech 3341, cases 1, 3 and 4: stereo 1 kHz at these levels for these seconds must read this.
        ([(-23, 20)], -23.0),
        ([(-36, 10), (-23, 60), (-36, 10)], -23.0),
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23.0),
    ],
)
def test_gating_by_ebu_tech_3341(levels, expected):
    sound = np.concatenate([sine(1000, seconds, 10 ** (level / 20)) for level, seconds in levels])
    found = energies(np.repeat(sound, 2, axis=1), (1.0, 1.0)).integrated_lufs
    assert found == pytest.approx(expected, abs=0.1)


def test_loudness_range_by_ebu_tech_3342():
    steps = np.concatenate([sine(1000, 20, 10 ** (level / 20)) for level in (-40, -20)])
    assert energies(np.repeat(steps, 2, axis=1), (1.0, 1.0)).range_lu == pytest.approx(20, abs=1)


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_agrees_with_the_judge(layout, speech, make_music, judge, tmp_path: Path):
    chosen = layouts.of_name(layout)
    sound = make_music(20, chosen.channels)
    sound[: len(speech)] += 0.3 * speech[:, None]
    sound[-5 * RATE_HZ :] *= 3
    if layout == "5.1":
        sound[:, 3] = 0.9 * sine(40, 20)[:, 0]  # the LFE is not heard by the meter
        sound[:, 4:] *= 2
    path = tmp_path / "sound.wav"
    soundfile.write(path, sound, RATE_HZ, subtype="FLOAT")
    assert layouts.of_wav(path) == chosen
    lufs, peak_db, range_lu = judge(path)
    found = energies(sound, chosen.weights)
    assert found.integrated_lufs == pytest.approx(lufs, abs=0.1)
    assert found.range_lu == pytest.approx(range_lu, abs=0.2)
    assert peak(sound) == pytest.approx(peak_db, abs=0.2)


def test_parts_join_to_the_whole(speech, make_music):
    sound = make_music(12)
    sound[: len(speech)] += speech[:, None]
    weights = (1.0, 1.0)
    whole = energies(sound, weights)
    cut = 37 * STEP_SAMPLES
    first, second = Meter(weights), Meter(weights)
    first.feed(sound[:cut])
    second.settle(sound[cut - PREROLL_SAMPLES : cut])
    second.feed(sound[cut:])
    joined = Energies.joined([Energies(first.steps()), Energies(second.steps())])
    np.testing.assert_allclose(joined.mean_squares, whole.mean_squares, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(500, 30_000), min_size=1, max_size=5))
def test_blocks_of_any_length_measure_the_same(sizes):
    sound = np.random.default_rng(0).standard_normal((60_000, 2)).astype(np.float32) * 0.1
    whole = energies(sound, (1.0, 1.41), (60_000,)).mean_squares
    np.testing.assert_allclose(energies(sound, (1.0, 1.41), sizes).mean_squares, whole, rtol=1e-9)


def test_fine_steps_are_coarse_ones():
    sound = np.random.default_rng(0).standard_normal((96_000, 2)).astype(np.float32) * 0.1
    fine = Meter((1.0, 1.0), PEAK_SAMPLES)
    fine.feed(sound)
    whole = energies(sound, (1.0, 1.0)).mean_squares
    np.testing.assert_allclose(coarse(fine.steps(), PEAK_SAMPLES).mean_squares, whole, rtol=1e-9)


def test_loudness_of_spans_is_that_of_what_sounds_there():
    loud, soft = sine(1000, 4, 10 ** (-20 / 20)), sine(1000, 6, 10 ** (-40 / 20))
    sound = np.repeat(np.concatenate([soft, loud, soft]), 2, axis=1)
    found = energies(sound, (1.0, 1.0))
    second = RATE_HZ
    assert found.over([(6 * second, 10 * second)]) == pytest.approx(-20, abs=0.3)
    assert found.over([(0, 5 * second)]) == pytest.approx(-40, abs=0.1)
    assert found.over([(7 * second, 7 * second + second // 5)]) == pytest.approx(-20, abs=0.1)  # shorter than a block
    assert found.over([]) == -70
    assert found.over([(99 * second, 100 * second)]) == -70


@given(spans=st.lists(st.tuples(st.integers(0, 90_000), st.integers(0, 30_000)), max_size=6))
def test_coverage_counts_every_sample_of_disjoint_spans(spans):
    at, disjoint = 0, []
    for gap, length in spans:
        disjoint.append((at + gap, at + gap + length))
        at += gap + length
    steps = at // STEP_SAMPLES + 1
    expected = sum(end - start for start, end in disjoint)
    assert coverage(disjoint, steps).sum() * STEP_SAMPLES == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("frequency_hz", [997, 6_000, 12_000, 18_000])
def test_the_peak_between_samples_is_found(frequency_hz):
    # At a quarter of the rate with this phase every sample is 3 dB below the peak of the wave.
    sound = sine(frequency_hz, 0.5, 0.5, phase=np.pi / 4)
    assert peak(sound) == pytest.approx(-6.02, abs=0.2)


def test_peaks_above_the_floor_are_exact_and_none_is_read_too_low():
    rng = np.random.default_rng(1)
    sound = (rng.standard_normal((96_000, 2)) * rng.uniform(0, 1, (96_000, 1)) ** 6).astype(np.float32)
    quiet = np.zeros((TAPS_EACH_SIDE, 2), np.float32)
    exact, quick = (true_peaks(sound, quiet, quiet, floor) for floor in (0.0, 1.0))
    np.testing.assert_allclose(quick[exact > 1], exact[exact > 1], rtol=1e-5)
    assert (quick >= exact * (1 - 1e-5)).all()
    assert (quick[exact < 1 / 2.2] <= 1).all()


def test_silence_has_no_loudness():
    silent = energies(np.zeros((RATE_HZ, 2), np.float32), (1.0, 1.0))
    assert (silent.integrated_lufs, silent.range_lu) == (-70, 0)
    assert energies(np.zeros((10, 2), np.float32), (1.0, 1.0)).integrated_lufs == -70


@given(st.integers(0, 2**32 - 1), st.integers(0, 200 * STEP_SAMPLES), st.integers(1, 40 * STEP_SAMPLES))
def test_one_span_is_measured_alike_alone_and_among_all(seed, start, length):
    found = Energies(np.random.default_rng(seed).lognormal(-8, 2, 220))
    assert found.of_span(start, start + length) == pytest.approx(found.over([(start, start + length)]), abs=1e-9)
