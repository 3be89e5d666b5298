"""Time stretching: the length is exact, the pitch stays, nothing clicks, and speech stays what it was."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechmill.lines import RATE_HZ
from tasks.sound.stretching import stretched

RATES = (0.90, 1.03, 1.10, 1.20, 1.35)


def envelope(sound, step=960):
    whole = sound[: len(sound) // step * step].reshape(-1, step)
    return np.sqrt(np.square(whole).mean(axis=1))


def spectrum(sound):
    """Mean power in bands a third of an octave wide, in dB."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, 2048)[::1024] * np.hanning(2048)
    power = np.square(np.abs(np.fft.rfft(frames))).mean(axis=0)
    edges = (100 * 2 ** (np.arange(20) / 3) / RATE_HZ * 2048).astype(int)
    return 10 * np.log10([power[a : max(b, a + 1)].mean() for a, b in itertools.pairwise(edges)])


@settings(max_examples=150, deadline=None)
@given(given_samples=st.integers(1, 30_000), rate=st.floats(0.9, 1.35))
def test_the_length_is_exact_and_the_ends_stay(given_samples, rate):
    speech = np.random.default_rng(given_samples).standard_normal(given_samples).astype(np.float32)
    wanted = max(1, round(given_samples / rate))
    found = stretched(speech, wanted)
    assert len(found) == wanted
    assert np.isfinite(found).all()
    if wanted > 8:
        assert (found[0], found[-1]) == (speech[0], speech[-1])


def test_the_same_length_is_the_same_sound(speech):
    assert stretched(speech, len(speech)) is speech


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("frequency_hz", [80, 220, 1000])
def test_the_pitch_is_kept_and_nothing_clicks(rate, frequency_hz):
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    tone = np.sin(2 * np.pi * frequency_hz * t).astype(np.float32)
    found = stretched(tone, round(len(tone) / rate))
    bins = np.abs(np.fft.rfft(found * np.hanning(len(found)), 1 << 19))
    assert np.argmax(bins) * RATE_HZ / (1 << 19) == pytest.approx(frequency_hz, rel=0.005)
    # A click is a jump in the slope; the tone's own curvature is the measure.
    assert np.abs(np.diff(found, 2)).max() < 1.5 * np.abs(np.diff(tone, 2)).max()
    assert np.abs(found).max() < 1.01


@pytest.mark.parametrize("rate", RATES)
def test_speech_stays_recognisable(speech, rate):
    found = stretched(speech, round(len(speech) / rate))
    then, now = envelope(speech), envelope(found)
    on_its_time = np.interp(np.arange(len(then)) / len(then), np.arange(len(now)) / len(now), now)
    assert np.corrcoef(then, on_its_time)[0, 1] > 0.93
    assert np.abs(spectrum(speech) - spectrum(found)).max() < 1.5
    # Energy of the speech, per time: nothing is said twice as loud and nothing is lost.
    assert np.square(found).mean() == pytest.approx(np.square(speech).mean(), rel=0.08)


@pytest.mark.parametrize("rate", RATES)
def test_every_moment_of_the_speech_is_heard_in_time(rate):
    # Bursts a quarter of a second apart: each must sound, within a splice's drift of where it belongs.
    clicks = np.zeros(3 * RATE_HZ, np.float32)
    at = np.arange(RATE_HZ // 8, len(clicks) - 2000, RATE_HZ // 4)
    burst = np.random.default_rng(0).standard_normal(960).astype(np.float32) * np.hanning(960).astype(np.float32)
    for a in at:
        clicks[a : a + 960] = burst
    found = stretched(clicks, round(len(clicks) / rate))
    likeness = np.correlate(found, burst, "valid") / np.square(burst).sum()
    for a in at:
        near = likeness[max(0, round(a / rate) - 1200) : round(a / rate) + 1200]
        assert near.max() > 0.6, f"the burst at {a} is not heard"


def test_a_speed_that_would_tear_speech_apart_is_refused(speech):
    with pytest.raises(ValueError, match="cannot be stretched"):
        stretched(speech, len(speech) // 3)


def test_three_seconds_take_few_milliseconds(speech):  # of the processor, whoever else is at work
    clip = speech[: 3 * RATE_HZ]
    best = min(_seconds(lambda: stretched(clip, round(len(clip) / 1.2))) for _ in range(7))
    assert best < 0.03  # 8 ms on the machine it was written on; a loop over samples would take a second


def _seconds(work):
    began = time.process_time()
    work()
    return time.process_time() - began
