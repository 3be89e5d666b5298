"""The rehearsal engine is quick and predictable."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model_worker.engines.rehearsal import Ear, Tone, Translator
from model_worker.engines.waves import write_mono
from speechmill.abilities import Phrase, Utterance
from speechmill.lines import RATE_HZ, Doubt
from speechmill.voices import Speaker
from tasks.speech.mono import lowered
from tasks.speech.pitch import median_pitch_hz

TONE = Tone()


def length_s(text: str, pace: float, pitch_hz: float, out: Path) -> float:
    TONE.speak(Utterance(text, "es", pace=pace), TONE.voice(Speaker("S1", pitch_hz), "es", []), out)
    return float(soundfile.info(out).duration)


def test_900_lines_of_three_seconds_take_a_few_seconds(tmp_path: Path) -> None:
    voice = TONE.voice(Speaker("S1", 120.0), "es", [])
    began = time.process_time()
    for number in range(900):
        TONE.speak(
            Utterance(f"Una frase de unos cincuenta caracteres, número {number}.", "es"), voice, tmp_path / "a.wav"
        )
    assert time.process_time() - began < 8


@pytest.mark.parametrize(
    ("text", "pace", "expected_s"), [("x" * 29, 1.0, 2.0), ("x" * 58, 1.0, 4.0), ("x" * 58, 2.0, 2.0)]
)
def test_length_follows_from_text_and_pace_alone(tmp_path: Path, text: str, pace: float, expected_s: float) -> None:
    lengths = {length_s(text, pace, pitch, tmp_path / "a.wav") for pitch in (90.0, 200.0, 333.3)}
    assert len(lengths) == 1
    assert lengths.pop() == pytest.approx(expected_s, abs=0.001)


def test_a_chinese_character_takes_as_long_as_a_syllable(tmp_path: Path) -> None:
    TONE.speak(Utterance("火车早上九点出发，" * 5, "zh"), TONE.voice(Speaker("S1"), "zh", []), tmp_path / "a.wav")
    assert soundfile.info(tmp_path / "a.wav").duration == pytest.approx(10.0, abs=0.001)


@pytest.mark.parametrize("pitch_hz", [90.0, 150.0, 250.0])
def test_the_tone_has_the_speakers_pitch(tmp_path: Path, pitch_hz: float) -> None:
    length_s("x" * 40, 1.0, pitch_hz, tmp_path / "a.wav")
    sound, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert median_pitch_hz(lowered(sound, 3), RATE_HZ // 3) == pytest.approx(pitch_hz, rel=0.02)


def test_words_follow_from_the_length_of_the_sound(tmp_path: Path) -> None:
    for name, fill in (("a", 0.0), ("b", 0.5)):
        write_mono(tmp_path / f"{name}.wav", np.full(10 * RATE_HZ, fill))
    heard = [Ear().transcribe(tmp_path / f"{name}.wav", "sw") for name in "ab"]
    assert heard[0] == heard[1]
    assert len(heard[0].words) == 25  # 28 slots of 350 ms, every ninth of them a pause
    assert heard[0].text.count(".") == 3


@pytest.mark.parametrize("target", ["zh", "ja", "ko", "th"])
def test_a_text_in_a_language_whose_characters_say_more_has_fewer_of_them(target: str) -> None:
    english = "Then the clouds carry it over the mountains, and the mill turns."
    made = Translator().translate([Phrase("a", english)], "en", target, {"mill": "水磨"})["a"]
    said_s = len(made.text) / TONE.characters_per_s(target)
    assert said_s == pytest.approx(len(english) / TONE.characters_per_s("en"), rel=0.25)
    assert "水磨" in made.text
    assert made.doubts == ()


def test_terms_of_the_glossary_are_put_in() -> None:
    made = Translator().translate(
        [Phrase("a", "The mill turns."), Phrase("b", "It turns.")], "en", "es", {"mill": "molino"}
    )
    assert made["a"].text == "(es) The molino turns."
    assert made["b"].text == "(es) It turns."
    assert Doubt.GLOSSARY_MISSED not in made["a"].doubts
