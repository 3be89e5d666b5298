"""What every engine keeps, whoever wrote it. A new engine joins by one line in ``ENGINES``."""

from __future__ import annotations

import contextlib
import random
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import jiwer
import numpy as np
import pytest
import soundfile

from model_worker.engines import registry
from model_worker.engines.waves import write_mono
from speechmill.abilities import Engine, Phrase, Speaks, Transcribes, Translates, Utterance
from speechmill.errors import EngineRefused
from speechmill.languages import canonical
from speechmill.lines import RATE_HZ
from speechmill.settings import Settings
from speechmill.voices import Speaker, Voice

from .conftest import Flite
from .mimo import tiny_settings


@dataclass(frozen=True)
class Case:
    """An engine, and what the suite may ask of it."""

    name: str
    hears_english: bool = False  # whether what it transcribes is what was said
    makes_sense: bool = True  # False: random weights, whose noise has no words, no length and no end of its own
    pair: tuple[str, str] = ("en", "es")
    language: str = "es"  # to speak
    settings: Callable[[Path], Settings] = lambda home: Settings(home=home)


ENGINES = [
    Case("offline", hears_english=True),
    Case("rehearsal"),
    Case("mimo", makes_sense=False, pair=("en", "zh"), language="zh", settings=tiny_settings),
]

SENTENCE = "Mi madre era una mujer inteligente, y siempre dijo que todo es posible."
ODD_TEXTS = {
    "empty": "",
    "spaces": " \t\n ",
    "marks": "… ?! —",
    "control characters": "\x00\x07\x1b[0m",
    "control characters among words": "ho\x00la\x1b \x85mundo\u202e",
    "emoji": "😀👍🏽",
    "emoji among words": "hola 😀 mundo",
    "an option": "--version",
    "markup": "<speak>hola</speak> &amp; <break time='10s'/>",
    "phonemes": "[[h@l'oU]] hola",
    "half a character": "hola \ud800 mundo",
    "very long": "una palabra " * 2_000,
    "one endless word": "a" * 3_000,
    "other script": "你好，世界",
}
SAID = [
    ("slt", "He lives in the city near the river."),
    ("rms", "We have to clean the kitchen and the big room."),
    ("slt", "I can go to the market this afternoon."),
    ("rms", "Everything is possible in spring."),
]

MOST_TAKES = 5


@pytest.fixture(scope="module", params=ENGINES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


@pytest.fixture(scope="module")
def engine(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return registry.engine(case.name, case.settings(tmp_path_factory.mktemp("home")))


@pytest.fixture
def speaks(engine: Engine) -> Speaks:
    return engine.speaks or pytest.skip("does not speak")


@pytest.fixture
def translates(engine: Engine) -> Translates:
    return engine.translates or pytest.skip("does not translate")


@pytest.fixture
def ear(engine: Engine) -> Transcribes:
    return engine.transcribes or pytest.skip("does not transcribe")


@pytest.fixture
def sense(case: Case) -> None:
    if not case.makes_sense:
        pytest.skip("random weights make no words")


def a_voice(speaks: Speaks, case: Case, pitch_hz: float | None = 180.0) -> Voice:
    return speaks.voice(Speaker("S1", pitch_hz), case.language, [])


def spoken(speaks: Speaks, voice: Voice, out: Path, text: str, language: str, pace: float = 1.0) -> bytes:
    """What was spoken; a take that fails is tried with other seeds, as a job does, where they make a difference."""
    for seed in range(MOST_TAKES if speaks.varies else 1):
        with contextlib.suppress(EngineRefused):
            speaks.speak(Utterance(text, language, pace=pace, seed=seed), voice, out)
            return out.read_bytes()
    raise EngineRefused("not one take was spoken")


def test_declares_itself(engine: Engine, case: Case) -> None:
    assert engine.name == case.name
    assert engine.version
    for able in (engine.transcribes, engine.speaks):
        if able:
            assert able.version
            assert able.languages
            assert {tag: canonical(tag) for tag in able.languages} == {tag: tag for tag in able.languages}
    if engine.translates:
        assert engine.translates.version
        assert case.pair in engine.translates.pairs
    if engine.transcribes:
        assert isinstance(engine.transcribes, Transcribes)
    if engine.speaks:
        assert isinstance(engine.speaks, Speaks)
        assert all(engine.speaks.characters_per_s(tag) > 0 for tag in engine.speaks.languages)


def test_importing_and_making_it_costs_nothing(case: Case) -> None:
    script = (
        "import sys; from speechmill.settings import Settings; from model_worker.engines import registry;"
        f"registry.engine({case.name!r}, Settings());"
        "print(*({'torch', 'scipy', 'soundfile', 'pocketsphinx', 'subprocess.run'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""


def test_speaks_48_khz_mono_float(speaks: Speaks, case: Case, tmp_path: Path) -> None:
    spoken(speaks, a_voice(speaks, case), tmp_path / "a.wav", SENTENCE, case.language)
    info = soundfile.info(tmp_path / "a.wav")
    assert (info.samplerate, info.channels, info.subtype, info.format) == (RATE_HZ, 1, "FLOAT", "WAV")
    sound, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert np.isfinite(sound).all()
    assert 0.05 < np.abs(sound).max() <= 1.0
    if case.makes_sense:
        assert len(SENTENCE) / 25 < info.duration < len(SENTENCE) / 8


def test_the_same_call_gives_the_same_bytes(speaks: Speaks, case: Case, tmp_path: Path) -> None:
    voice = a_voice(speaks, case)
    first = spoken(speaks, voice, tmp_path / "a.wav", SENTENCE, case.language)
    assert spoken(speaks, voice, tmp_path / "b.wav", SENTENCE, case.language) == first


@pytest.mark.usefixtures("sense")
def test_a_faster_pace_is_shorter_and_a_slower_one_longer(speaks: Speaks, case: Case, tmp_path: Path) -> None:
    voice = a_voice(speaks, case)
    lengths = {}
    for pace in (0.85, 1.0, 1.3):
        spoken(speaks, voice, tmp_path / "a.wav", SENTENCE, case.language, pace)
        lengths[pace] = soundfile.info(tmp_path / "a.wav").duration
    assert lengths[0.85] > lengths[1.0] * 1.05
    assert lengths[1.3] < lengths[1.0] * 0.9


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS.keys())
def test_an_odd_text_is_spoken_or_refused(speaks: Speaks, case: Case, tmp_path: Path, text: str) -> None:
    out = tmp_path / "a.wav"
    try:
        spoken(speaks, a_voice(speaks, case), out, text, case.language)
    except EngineRefused:
        return
    sound, _ = soundfile.read(out, dtype="float32")
    assert np.abs(sound).max() > 0.01, "silence was given for speech"


@pytest.mark.parametrize("text", ["", " \t\n ", "… ?! —", "😀👍🏽"])
def test_nothing_to_say_is_refused(speaks: Speaks, case: Case, tmp_path: Path, text: str) -> None:
    with pytest.raises(EngineRefused):
        spoken(speaks, a_voice(speaks, case), tmp_path / "a.wav", text, case.language)


@pytest.mark.parametrize(
    "pitches", [(105.0, 200.0), (110.0, 112.0), (None, None), (210.0, 208.0, 205.0), (None, 120.0, None, 120.0)]
)
def test_speakers_get_voices_that_differ(
    speaks: Speaks, case: Case, tmp_path: Path, pitches: tuple[float | None, ...]
) -> None:
    voices: list[Voice] = []
    for index, pitch in enumerate(pitches):
        voices.append(speaks.voice(Speaker(f"S{index}", pitch), case.language, voices))
    assert len({voice.name for voice in voices}) == len(voices)
    assert all(voice.engine == case.name for voice in voices)
    sounds = {spoken(speaks, v, tmp_path / "a.wav", "Hola, me llamo Ana.", case.language) for v in voices}
    assert len(sounds) == len(voices)


def test_translations_keep_their_ids(translates: Translates, case: Case) -> None:
    texts = [text for _, text in SAID] + ["Good morning.", "Thank you.", "Thank you.", "Yes.", "Good morning."]
    source, target = case.pair
    alone = {text: translates.translate([Phrase("x", text)], source, target, {}).get("x") for text in set(texts)}
    assert all(alone.values()) or not case.makes_sense
    phrases = [Phrase(f"{n:04}", text) for n, text in enumerate(texts)]
    for seed in range(2):
        random.Random(seed).shuffle(phrases)
        made = translates.translate(phrases, source, target, {})
        assert {p.id: made.get(p.id) for p in phrases} == {p.id: alone[p.text] for p in phrases}


def test_what_cannot_be_translated_is_left_out(translates: Translates, case: Case) -> None:
    phrases = [Phrase("a", ""), Phrase("b", "Thank you."), Phrase("c", "  ")]
    assert set(translates.translate(phrases, *case.pair, {})) <= {"b"}
    assert not case.makes_sense or "b" in translates.translate(phrases, *case.pair, {})
    assert translates.translate([], *case.pair, {}) == {}


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS.keys())
def test_an_odd_text_is_translated_or_left_out(translates: Translates, case: Case, text: str) -> None:
    made = translates.translate([Phrase("odd", text), Phrase("even", "Thank you.")], *case.pair, {})
    assert made.get("even") == translates.translate([Phrase("x", "Thank you.")], *case.pair, {}).get("x")
    assert "even" in made or not case.makes_sense
    assert "odd" not in made or made["odd"].text.strip()


def test_hears_what_flite_says(ear: Transcribes, case: Case, flite: Flite) -> None:
    if not case.hears_english:
        pytest.skip("does not claim to hear English")
    heard = [plain(ear.transcribe(flite(text, voice), "en").text) for voice, text in SAID]
    assert jiwer.wer([plain(text) for _, text in SAID], heard) <= 0.05


def test_words_have_times_in_order_inside_the_sound(ear: Transcribes, flite: Flite) -> None:
    if not ear.gives_word_times:
        pytest.skip("gives no word times")
    path = flite("I can go to the market this afternoon.", "slt")
    words = ear.transcribe(path, "en").words
    assert words
    starts = [word.start_samples for word in words]
    assert starts == sorted(starts)
    assert all(0 <= w.start_samples < w.end_samples <= soundfile.info(path).frames for w in words)
    assert all(0 <= w.confidence <= 1 for w in words)


def test_silence_noise_and_a_click_are_heard_without_a_crash(ear: Transcribes, case: Case, tmp_path: Path) -> None:
    """What is too short to be heard may be refused; where nobody speaks there are no words."""
    noise = np.random.default_rng(0).normal(0, 0.05, RATE_HZ)
    for name, sound in (("silence", np.zeros(RATE_HZ)), ("noise", noise), ("click", np.array([0.5])), ("none", [])):
        write_mono(tmp_path / f"{name}.wav", np.asarray(sound))
        try:
            heard = ear.transcribe(tmp_path / f"{name}.wav", "en")
        except EngineRefused:
            assert name in ("click", "none")
            continue
        assert all(0 <= w.start_samples < w.end_samples <= len(sound) for w in heard.words), name
        assert not case.hears_english or heard.text == "", name


def test_sound_of_another_form_is_refused(ear: Transcribes, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "stereo.wav", np.zeros((RATE_HZ, 2)), RATE_HZ)
    (tmp_path / "text.wav").write_text("this is no sound")
    write_mono(tmp_path / "long.wav", np.zeros(40 * RATE_HZ))
    for name in ("stereo.wav", "text.wav", "long.wav"):
        with pytest.raises(EngineRefused):
            ear.transcribe(tmp_path / name, "en")


def test_four_threads_get_what_one_gets(engine: Engine, case: Case, flite: Flite, tmp_path: Path) -> None:
    def work(number: int) -> list[object]:
        results: list[object] = []
        if engine.speaks:
            voice = a_voice(engine.speaks, case)
            results.append(spoken(engine.speaks, voice, tmp_path / f"{number}.wav", SENTENCE, case.language))
        if engine.translates:
            results.append(engine.translates.translate([Phrase("a", "Thank you.")], *case.pair, {}))
        if engine.transcribes:
            results.append(engine.transcribes.transcribe(flite("Everything is possible in spring.", "rms"), "en"))
        return results

    flite("Everything is possible in spring.", "rms")
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(4)))
    assert all(result == results[0] for result in results)


def plain(text: str) -> str:
    return re.sub(r"[^a-z' ]", "", text.lower())
