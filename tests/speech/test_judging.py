"""Takes are measured to the millisecond, and judged as a person would."""

from __future__ import annotations

from pathlib import Path

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_worker.engines.offline.espeak import Espeak
from model_worker.engines.waves import write_mono
from speechmill.abilities import Utterance
from speechmill.lines import RATE_HZ, samples_of_ms
from speechmill.takes import Reason, Verdict
from speechmill.voices import Voice
from tasks.speech.judging import (
    comparable,
    distance,
    error_rate,
    judge,
    longest_again,
    measure,
    read_take,
    says_twice,
    understood,
)

from .conftest import Say, Wave

TEXT = "We have to clean the kitchen and the big room."


@pytest.fixture(scope="module")
def speech(say: Say) -> Wave:
    return say(TEXT, "slt")


@pytest.mark.parametrize("gain", [1.0, 0.1, 0.02])
@pytest.mark.parametrize(("before_ms", "after_ms"), [(0, 0), (310, 120), (2000, 5)])
def test_speech_is_found_to_the_millisecond_at_any_level(
    speech: Wave, gain: float, before_ms: int, after_ms: int
) -> None:
    before, after = samples_of_ms(before_ms), samples_of_ms(after_ms)
    measured = measure(np.pad(speech * np.float32(gain), (before, after)))
    assert measured.length_samples == len(speech) + before + after
    assert before - 48 <= measured.speech_start_samples <= before + samples_of_ms(15)
    assert measured.speech_end_samples <= before + len(speech) + 48
    assert measured.speech_end_samples >= before + len(speech) - samples_of_ms(15)
    assert measured.loudness_lufs == pytest.approx(-20 + 20 * np.log10(gain), abs=2.5)
    assert measured.peak_dbfs == pytest.approx(20 * np.log10(np.abs(speech).max() * gain), abs=0.1)


def test_what_is_left_out_cannot_be_heard(speech: Wave) -> None:
    breath = np.random.default_rng(0).normal(0, 0.0002, RATE_HZ).astype(np.float32)  # −74 dBFS
    take = np.concatenate([breath, speech, breath])
    measured = measure(take)
    outside = np.concatenate([take[: measured.speech_start_samples], take[measured.speech_end_samples :]])
    assert np.abs(outside).max(initial=0) < 10 ** (-60 / 20)
    assert measured.speech_samples >= len(speech) - samples_of_ms(15)


@pytest.mark.parametrize(
    "take", [np.zeros(RATE_HZ), np.zeros(0), np.full(RATE_HZ, 1e-5)], ids=["silence", "nothing", "hum"]
)
def test_a_silent_take_has_failed(take: Wave, tmp_path: Path) -> None:
    write_mono(tmp_path / "a.wav", take)
    measured = measure(tmp_path / "a.wav")
    assert measured.loudness_lufs <= -60
    judged = judge(measured, tmp_path / "a.wav", Utterance(TEXT, "en"), None)
    assert (judged.verdict, judged.reasons) == (Verdict.FAILED, (Reason.SILENT,))


def repeated(speech: Wave) -> Wave:
    return np.concatenate([speech, np.zeros(12_000, np.float32), speech])


@pytest.mark.parametrize(
    ("change", "text", "pace", "reasons"),
    [
        (lambda s: s, TEXT, 1.0, ()),
        (lambda s: s * 0.05, TEXT, 1.0, (Reason.TOO_QUIET,)),
        (lambda s: np.clip(s * 8, -1, 1), TEXT, 1.0, (Reason.CLIPPED,)),
        (lambda s: np.where(np.arange(len(s)) == 9000, np.nan, s), TEXT, 1.0, ()),  # one odd sample
        (lambda s: s, "Yes.", 1.0, (Reason.TOO_LONG,)),
        (lambda s: s, TEXT * 3, 1.0, (Reason.TOO_SHORT,)),
        (lambda s: s[: len(s) // 3], TEXT, 1.0, (Reason.TOO_SHORT,)),
        (lambda s: np.insert(s, len(s) // 2, np.zeros(2 * RATE_HZ)), TEXT, 1.0, (Reason.LONG_PAUSE,)),
        (repeated, TEXT, 1.0, (Reason.REPEATED,)),
        (repeated, f"{TEXT} {TEXT}", 1.0, ()),  # it is to be said twice
        (lambda s: s, "Es 1984 war es.", 1.0, ()),  # figures take long to say
    ],
)
def test_takes_are_judged(speech: Wave, change: object, text: str, pace: float, reasons: tuple[Reason, ...]) -> None:
    take = np.nan_to_num(np.asarray(change(speech), np.float32), nan=1.0)  # type: ignore[operator]
    judged = judge(measure(take), take, Utterance(text, "en", pace=pace), None)
    assert judged.reasons == reasons
    assert judged.verdict == (Verdict.REVIEW if reasons else Verdict.PASSED)
    assert judged.measured.error_rate is None


@pytest.mark.parametrize(
    "text",
    [
        "Mi madre era una mujer inteligente, y siempre dijo que todo es posible.",
        "Sí.",
        "No, no, no, no.",
        "¿Quieres café o té?",
        "El perro está durmiendo bajo la mesa. Ahora el café está a punto. Podemos cantar juntos el lunes.",
    ],
)
@pytest.mark.parametrize("pace", [0.9, 1.0, 1.3])
def test_good_takes_of_espeak_pass(tmp_path: Path, text: str, pace: float) -> None:
    out, utterance = tmp_path / "a.wav", Utterance(text, "es", pace=pace)
    Espeak("offline").speak(utterance, Voice("v", "offline", {"variant": "f2", "pitch": 40}), out)
    assert judge(measure(out), out, utterance, None).verdict is Verdict.PASSED


@pytest.mark.parametrize("text", ["Quiero café con leche y azúcar.", "Podemos cantar juntos el lunes en la casa."])
def test_a_take_that_says_its_text_twice_is_for_a_person(tmp_path: Path, text: str) -> None:
    out, voice = tmp_path / "a.wav", Voice("v", "offline", {"variant": "", "pitch": 50})
    Espeak("offline").speak(Utterance(f"{text} {text}", "es"), voice, out)
    assert Reason.REPEATED in judge(measure(out), out, Utterance(text, "es"), None).reasons


PARALLEL = [
    ("zh", "太阳加热海洋，水升到空中。"),
    ("zh", "在上海，黄浦江把城市分成两半。东岸是浦东，西岸是浦西。"),
    ("zh", "战争结束以后，城市慢慢恢复了生机。学校重新开学，工厂重新开工。"),
    ("zh", "南边是山，北边是水，东边是田，西边是路。"),
    ("zh", "房价上涨，租金上涨，工资却没有上涨。"),
    ("zh", "她每天早上六点起床，先跑步，再吃早饭。"),
    ("en", "Some people like tea, some people like coffee, and some people like neither."),
]


@pytest.mark.parametrize(("language", "text"), PARALLEL)
@pytest.mark.parametrize("variant", ["f2", "", "m3"])
def test_what_a_text_says_again_itself_is_not_repeated(tmp_path: Path, language: str, text: str, variant: str) -> None:
    out, utterance = tmp_path / "a.wav", Utterance(text, language)
    Espeak("offline").speak(utterance, Voice("v", "offline", {"variant": variant, "pitch": 50}), out)
    assert Reason.REPEATED not in judge(measure(out), out, utterance, None).reasons


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("水从海洋蒸发，升到空中，变成云。", "水从海洋蒸发，水从海洋蒸发，升到空中，变成云。"),
        ("工人们在码头上搬运货物。", "工人们在码头上搬运货物。工人们在码头上搬运货物。"),
        ("我们明天去北京看长城好不好？", "我们明天去北京，我们明天去北京看长城好不好？"),
        ("东岸是浦东，西岸是浦西。", "东岸是浦东，西岸是浦西。东岸是浦东，西岸是浦西。"),
    ],
)
@pytest.mark.parametrize("variant", ["f2", "", "m3"])
def test_chinese_that_is_said_again_is_for_a_person(tmp_path: Path, text: str, said: str, variant: str) -> None:
    out = tmp_path / "a.wav"
    Espeak("offline").speak(Utterance(said, "zh"), Voice("v", "offline", {"variant": variant, "pitch": 50}), out)
    assert Reason.REPEATED in judge(measure(out), out, Utterance(text, "zh"), None).reasons


@given(st.text(alphabet="abc", max_size=60))
def test_the_longest_run_that_comes_again_is_the_longest(letters: str) -> None:
    def comes_again(size: int) -> bool:
        return any(letters[at : at + size] in letters[at + size :] for at in range(len(letters) - size + 1))

    assert longest_again(letters) == max(n for n in range(len(letters) // 2 + 1) if comes_again(n))


@pytest.mark.parametrize(
    ("heard", "error", "reasons"),
    [
        ("we have to clean the kitchen and the big room", 0.0, ()),
        ("We have to clean the kitchen, and the big rum.", 1 / 36, ()),
        ("we have to clean the kitten in the bedroom", 6 / 36, (Reason.NOT_UNDERSTOOD,)),
        ("", 1.0, (Reason.NOT_UNDERSTOOD,)),
        (
            "we have to clean we have to clean the kitchen and the big room",
            13 / 36,
            (Reason.REPEATED, Reason.NOT_UNDERSTOOD),
        ),
    ],
)
def test_what_an_ear_heard_counts(speech: Wave, heard: str, error: float, reasons: tuple[Reason, ...]) -> None:
    judged = judge(measure(speech), speech, Utterance(TEXT, "en"), heard)
    assert judged.measured.error_rate == pytest.approx(error, abs=0.06)
    assert judged.reasons == reasons


@pytest.mark.parametrize(
    ("text", "heard", "language", "fine"),
    [
        ("Yes.", "yes", "en", True),
        ("Yes.", "yet", "en", True),  # too short to say
        ("Yes.", "no", "en", False),
        ("我们明天去北京看长城好不好", "我们明天去北京看长城好不号", "zh", True),
        ("我们明天去北京看长城好不好", "我们今天去南京看城好不号", "zh", False),
    ],
)
def test_a_short_line_may_have_two_wrong_characters(text: str, heard: str, language: str, fine: bool) -> None:
    assert understood(text, error_rate(text, heard), language) == fine


@given(st.text("abcde ", max_size=25), st.text("abcde ", max_size=25))
def test_distance_is_levenshteins(first: str, second: str) -> None:
    assert distance(first, second) == distance(second, first)
    if first and second:
        expected = jiwer.process_characters([first], [second])
        assert distance(first.strip(), second.strip()) == (
            expected.substitutions + expected.deletions + expected.insertions
            if first.strip() == first and second.strip() == second
            else distance(first.strip(), second.strip())
        )


def test_figures_on_one_side_are_not_compared() -> None:
    assert not comparable("It costs 20 dollars.", "it costs twenty dollars")
    assert comparable("It costs 20 dollars.", "It costs 20 dollars")


def test_words_that_are_heard_twice() -> None:
    assert says_twice("i want to i want to go", "I want to go")
    assert not says_twice("no no no", "No, no, no.")
    assert not says_twice("that that is", "that that is")
    assert not says_twice(None, "x")


def test_a_take_of_another_width_is_read_as_one_channel(tmp_path: Path) -> None:
    write_mono(tmp_path / "a.wav", np.array([0.5, np.inf, -np.inf, np.nan]))
    assert read_take(tmp_path / "a.wav").tolist() == [0.5, 1.0, -1.0, 1.0]
