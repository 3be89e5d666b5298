"""Who speaks is told by how voices sound; what a script says stands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speechmill.lines import RATE_HZ, Line
from storage.artifacts import ArtifactStore
from tasks.speech.pitch import median_pitch_hz
from tasks.speech.speakers import filled, grouped, in_part, label, silhouette, some_of_each

from .conftest import Say, kept, scene

TEXTS = [
    "He lives in the city near the river.",
    "Yes, thank you. The house is very quiet.",
    "Do you want coffee or tea?",
    "I will repair the window today.",
    "We have to clean the kitchen and the big room.",
    "The market closes at five.",
    "Can you wait for me? I want to go with you.",
    "The train arrives at eleven in the morning.",
]


def lines_by(
    say: Say, voices: list[str], store: ArtifactStore, folder: Path, count: int | None
) -> tuple[list[str], dict[str, float | None]]:
    """The labels of lines that are said by the voices in turn, and the pitch of each speaker."""
    made = scene([say(text, voices[n % len(voices)]) for n, text in enumerate(TEXTS)], music_level=0.01)
    source = kept(store, folder, np.stack([made.sound, made.sound], axis=1), "stereo")
    lines = [
        Line(f"{n:04}", "", "en", text, anchor=span)
        for n, (text, span) in enumerate(zip(TEXTS, made.spans, strict=True))
    ]
    named, speakers = label(lines, source, store, count)
    assert [line.id for line in named] == [line.id for line in lines]
    assert [s.id for s in speakers] == list(dict.fromkeys(line.speaker for line in named))
    return [line.speaker for line in named], {s.id: s.pitch_hz for s in speakers}


@pytest.mark.parametrize("count", [2, None], ids=["two are known", "nobody said how many"])
def test_two_voices_over_music_are_two_speakers(
    say: Say, store: ArtifactStore, tmp_path: Path, count: int | None
) -> None:
    labels, pitches = lines_by(say, ["slt", "rms"], store, tmp_path, count)
    assert labels == ["S1", "S2"] * 4
    assert pitches["S1"] == pytest.approx(168, abs=12)
    assert pitches["S2"] == pytest.approx(102, abs=8)


def test_three_voices_are_three_speakers(say: Say, store: ArtifactStore, tmp_path: Path) -> None:
    labels, _ = lines_by(say, ["rms", "slt", "awb"], store, tmp_path, None)
    assert labels == ["S1", "S2", "S3", "S1", "S2", "S3", "S1", "S2"]


@pytest.mark.parametrize("voice", ["slt", "rms"])
def test_one_voice_is_one_speaker(say: Say, store: ArtifactStore, tmp_path: Path, voice: str) -> None:
    labels, _ = lines_by(say, [voice], store, tmp_path, None)
    assert labels == ["S1"] * 8


def test_labels_of_a_script_stand_and_only_the_pitch_is_measured(
    say: Say, store: ArtifactStore, tmp_path: Path
) -> None:
    made = scene([say(text, "slt") for text in TEXTS[:4]])
    source = kept(store, tmp_path, made.sound[:, None], "mono")
    names = ["Ana", "", "Ben", "Ana"]
    lines = [
        Line(str(n), name, "en", "x", anchor=span) for n, (name, span) in enumerate(zip(names, made.spans, strict=True))
    ]
    named, speakers = label(lines, source, store, count=1)
    assert [line.speaker for line in named] == ["Ana", "Ana", "Ben", "Ana"]
    assert [s.id for s in speakers] == ["Ana", "Ben"]
    assert all(s.pitch_hz == pytest.approx(168, abs=12) for s in speakers)


def test_a_line_that_is_nowhere_or_silent_goes_with_the_one_before(
    say: Say, store: ArtifactStore, tmp_path: Path
) -> None:
    made = scene([say(text, voice) for text, voice in zip(TEXTS[:6], ["slt", "rms"] * 3, strict=True)])
    source = kept(store, tmp_path, made.sound[:, None], "mono")
    lines = [Line(str(n), "", "en", "x", anchor=span) for n, span in enumerate(made.spans)]
    beyond = replace(
        lines[0], id="x", anchor=replace(made.spans[0], start_samples=90 * RATE_HZ, end_samples=91 * RATE_HZ)
    )
    named, _ = label([*lines[:2], replace(lines[2], anchor=None), beyond, *lines[3:]], source, store, count=2)
    assert [line.speaker for line in named] == ["S1", "S2", "S2", "S2", "S2", "S1", "S2"]


def test_no_lines_have_no_speakers(store: ArtifactStore, tmp_path: Path) -> None:
    assert label([], kept(store, tmp_path, np.zeros((100, 1), np.float32), "mono"), store) == ([], [])


def test_names_follow_the_order_of_appearance() -> None:
    assert in_part([""] * 4, [3, 1, 3, 2]) == ["S1", "S2", "S1", "S3"]
    assert filled(["", "A", "", "B", ""]) == ["A", "A", "A", "B", "B"]
    assert filled(["", ""]) == ["S1", "S1"]


@pytest.mark.parametrize(
    ("named", "groups", "labels"),
    [
        (["", "JOHN", "", ""], [0, 0, 0, 0], ["S1", "JOHN", "S1", "S1"]),  # one line of one voice is not everybody
        (["JOHN", "", "JOHN", ""], [0, 0, 0, 1], ["JOHN", "JOHN", "JOHN", "S1"]),
        (["JOHN", "ANNA", "JOHN", ""], [0, 0, 0, 0], ["JOHN", "ANNA", "JOHN", "S1"]),  # the voices could not be told
        (["", "ANNA", "ANNA", "S1", "S1", ""], [0, 1, 1, 2, 2, 0], ["S2", "ANNA", "ANNA", "S1", "S1", "S2"]),
    ],
)
def test_lines_that_a_script_does_not_name_are_said_by_whom_they_sound_like(
    named: list[str], groups: list[int], labels: list[str]
) -> None:
    assert in_part(named, groups) == labels


def test_one_name_in_a_script_does_not_make_everybody_that_person(
    say: Say, store: ArtifactStore, tmp_path: Path
) -> None:
    made = scene([say(text, ("slt", "rms")[n % 2]) for n, text in enumerate(TEXTS)])
    source = kept(store, tmp_path, made.sound[:, None], "mono")
    lines = [Line(str(n), "JOHN" if n == 1 else "", "en", "x", anchor=span) for n, span in enumerate(made.spans)]
    named, _ = label(lines, source, store)
    assert [line.speaker for line in named] == ["S1", "JOHN", *["S1", "S2"] * 3]


def test_a_few_lines_of_each_speaker_are_enough_for_the_pitch() -> None:
    chosen = some_of_each(["A"] * 1000 + ["B"])
    assert len(chosen) <= 13
    assert chosen[-1] == 1000


def test_thousands_of_lines_are_grouped_in_a_moment() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 3, (3, 13))
    truth = rng.integers(0, 3, 5000)
    groups = grouped([tuple(point) for point in (centres[truth] + rng.normal(0, 0.5, (5000, 13))).tolist()], None)
    first = {group: truth[groups.index(group)] for group in set(groups)}
    assert [first[group] for group in groups] == truth.tolist()


def test_silhouette_of_groups_far_apart_is_near_one() -> None:
    points = np.array([[0.0], [0.1], [10.0], [10.1]])
    assert silhouette(points, np.array([0, 0, 1, 1])) == pytest.approx(0.99, abs=0.005)
    assert silhouette(points, np.array([0, 1, 0, 1])) < 0


@pytest.mark.parametrize("hz", [70.0, 101.3, 165.0, 240.0, 380.0])
@pytest.mark.parametrize("strongest", [1, 2, 3], ids=lambda n: f"harmonic {n} is the strongest")
def test_pitch_of_a_tone(hz: float, strongest: int) -> None:
    time = np.arange(8000) / 16_000
    tone = sum((3.0 if n == strongest else 1.0) / n * np.sin(2 * np.pi * hz * n * time) for n in range(1, 8))
    assert median_pitch_hz(np.asarray(tone, np.float32), 16_000) == pytest.approx(hz, rel=0.01)


def test_noise_and_silence_have_no_pitch() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    assert median_pitch_hz(np.zeros(16_000, np.float32), 16_000) is None
    assert median_pitch_hz(np.zeros(10, np.float32), 16_000) is None
    assert np.isnan(median_pitch_hz(noise, 16_000) or np.nan)
