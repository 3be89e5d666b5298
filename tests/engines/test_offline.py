"""What the offline engine does with its programs."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model_worker.engines.offline.apertium import Apertium
from model_worker.engines.offline.casing import is_question, sentence, written
from model_worker.engines.offline.espeak import Espeak
from model_worker.engines.offline.sentences import Sentence, cased_like, punctuated, split
from model_worker.engines.offline.sphinx import Sphinx
from speechmill import programs
from speechmill.abilities import Phrase, Utterance
from speechmill.errors import MissingTool, ToolFailed
from speechmill.lines import RATE_HZ, Doubt
from speechmill.voices import Speaker, Voice
from tasks.speech.mono import lowered
from tasks.speech.pitch import median_pitch_hz

from .conftest import Flite


@pytest.fixture(scope="module")
def apertium() -> Apertium:
    return Apertium()


@pytest.fixture(scope="module")
def espeak() -> Espeak:
    return Espeak("offline")


@pytest.fixture(scope="module")
def sphinx() -> Sphinx:
    return Sphinx()


def spanish(apertium: Apertium, text: str, **glossary: str) -> tuple[str, tuple[Doubt, ...]]:
    terms = {name.replace("_", " "): target for name, target in glossary.items()}
    made = apertium.translate([Phrase("x", text)], "en", "es", terms)["x"]
    return made.text, made.doubts


@pytest.mark.parametrize(
    ("english", "expected"),
    [
        ("Do you want coffee or tea?", "¿Quieres café o té?"),
        ("Thank you. You are a good friend.", "Gracias. Eres un amigo bueno."),
        ("Then we can sing together on Monday.", "Entonces podemos cantar juntos el lunes."),
        ("The water of the river is very cold.", "El agua del río es muy fría."),  # Apertium says EL
        ("i want to hear his music", "Quiero oír su música"),  # as it was heard
        ("then we can sing together on monday", "Entonces podemos cantar juntos el lunes"),
        ("Yes! Thank you...", "¡Sí! Gracias..."),
        ("The [house] is {very} quiet.", "La [casa] es {muy} tranquila."),
        ("The house costs 5$ ^ \\ / <b>.", "La casa cuesta 5$ ^ \\ / <b>."),
    ],
)
def test_texts_come_back_as_spanish_is_written(apertium: Apertium, english: str, expected: str) -> None:
    if "<b>" in english:  # what stands for a word may be marked as unknown; no character may be lost
        assert set("$^\\/<>") <= set(spanish(apertium, english)[0])
        return
    assert spanish(apertium, english) == (expected, ())


@pytest.mark.parametrize(
    "english",
    [
        "The zorblax is on the table.",
        "Zorblax!",
        "We can wait at the station.",  # Apertium cannot form a word of this
        "My qwertish flurb.",
    ],
)
def test_words_that_apertium_does_not_know_are_said_bare_and_doubted(apertium: Apertium, english: str) -> None:
    text, doubts = spanish(apertium, english)
    assert doubts == (Doubt.UNKNOWN_WORDS,)
    assert not set("*@#") & set(text)


def test_marks_of_the_original_stay(apertium: Apertium) -> None:
    text, _ = spanish(apertium, "The house is # 5 * 3.")
    assert "# 5 * 3" in text


def test_terms_of_the_glossary_are_kept_and_known(apertium: Apertium) -> None:
    assert spanish(apertium, "Speechmill is very quiet.", speechmill="Molino del Habla") == (
        "Molino del Habla es muy tranquilo.",
        (),
    )
    text, doubts = spanish(
        apertium, "I want black coffee, and coffee with milk.", coffee="cafelito", black_coffee="solo"
    )
    assert "solo" in text
    assert "cafelito con leche" in text
    assert doubts == ()
    assert "café" in spanish(apertium, "I want coffees and toffee, no coffee.", offee="x")[0], (
        "part of a word is no term"
    )


def test_a_term_that_is_missed_is_said(apertium: Apertium) -> None:
    text, doubts = spanish(apertium, "The end. The beginning.", **{"end. The beginning": "principio"})
    assert text
    assert doubts == (Doubt.GLOSSARY_MISSED,)


def test_a_translator_that_loses_an_answer_makes_nothing_slip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "apertium"
    program.write_text(
        "#!/usr/bin/env python3\n"
        "import sys\n"
        "if '-l' in sys.argv: sys.exit(print('  eng-spa'))\n"
        "given = sys.stdin.buffer.read().split(b'\\0')[:-1]\n"
        "sys.stdout.buffer.write(b''.join(text.upper() + b'\\0' for text in given[1:] or given))\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    phrases = [Phrase(name, f"{name} came.") for name in ("anna", "ben", "tom")]
    made = Apertium().translate(phrases, "en", "es", {})
    assert {name: translation.text.lower() for name, translation in made.items()} == {
        "anna": "anna came.", "ben": "ben came.", "tom": "tom came.",
    }  # fmt: skip


def test_a_missing_program_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for ask, package in ((lambda: Apertium().pairs, "apertium"), (lambda: Espeak("offline").languages, "espeak-ng")):
        with pytest.raises(MissingTool) as missing:
            ask()
        assert f"apt-get install {package}" in missing.value.hint


def test_versions_name_the_programs(apertium: Apertium, espeak: Espeak, sphinx: Sphinx) -> None:
    assert apertium.version.startswith("apertium-3.")
    assert espeak.version.startswith("espeak-ng-1.")
    assert sphinx.version.startswith("pocketsphinx-5.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes, thank you. The house is quiet.", [("Yes, thank you", "."), ("The house is quiet", ".")]),
        ("Hello Mr. Smith, it is 7.30 now!", [("Hello Mr. Smith, it is 7.30 now", "!")]),
        ("Really?! Oh...", [("Really", "?!"), ("Oh", "...")]),
        ("“Are you here?” she asked.", [("“Are you here?” she asked", ".")]),
        ("no end", [("no end", "")]),
        ("J. Smith is here.", [("J. Smith is here", ".")]),
        ("  ", []),
    ],
)
def test_sentences(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(part.text, part.end) for part in split(text)] == expected


@pytest.mark.parametrize(
    ("answer", "like", "language", "expected"),
    [
        (" quieres  café , o té?", Sentence("a", "?"), "es", "¿quieres café, o té?"),
        ("no", Sentence("a", "!"), "es-MX", "¡no!"),
        ("hallo", Sentence("a", "?"), "de", "hallo?"),
        ("«hola", Sentence("a", "?»"), "es", "«¿hola?»"),
        (" .", Sentence("a", "."), "es", ""),
    ],
)
def test_ends_of_sentences(answer: str, like: Sentence, language: str, expected: str) -> None:
    assert punctuated(answer, like, language) == expected


@pytest.mark.parametrize(
    ("source", "answer", "expected"),
    [
        ("The water", "EL agua", "El agua"),
        ("the water", "El agua", "el agua"),
        ("THE WATER", "EL AGUA", "EL AGUA"),
        ("He works at NASA", "trabaja en NASA", "Trabaja en NASA"),
        ("7 days", "7 días", "7 días"),
    ],
)
def test_capitals(source: str, answer: str, expected: str) -> None:
    assert cased_like(source, answer) == expected


def test_english_that_was_heard_gets_its_capitals() -> None:
    assert [written(word) for word in ("i", "i'm", "monday's", "in", "may")] == ["I", "I'm", "Monday's", "in", "may"]
    assert sentence("“yes, i know") == "“Yes, i know"


@pytest.mark.parametrize(
    ("english", "asks"),
    [
        ("do you want coffee or tea", True),
        ("Where is the photograph of your family", True),
        ("how many days does he want to stay", True),
        ("can we go", True),
        ("isn't it late", True),
        ("do the dishes", False),
        ("have a seat", False),
        ("when we were children it was cold", False),
        ("what a day", False),
        ("how", False),
        ("the market closes at five", False),
    ],
)
def test_questions_are_known_by_how_they_begin(english: str, asks: bool) -> None:
    assert is_question(english.split()) == asks


def test_what_sphinx_hears_is_written_as_a_sentence(sphinx: Sphinx, flite: Flite) -> None:
    heard = sphinx.transcribe(flite("Do you want coffee or tea?", "rms"), "en")
    assert heard.text == "Do you want coffee or tea?"
    assert [word.text for word in heard.words] == heard.text.split()


@pytest.mark.parametrize("pitch_hz", [95.0, 120.0, 180.0, 230.0])
def test_espeak_speaks_at_the_speakers_pitch(espeak: Espeak, tmp_path: Path, pitch_hz: float) -> None:
    voice = espeak.voice(Speaker("S1", pitch_hz), "es", [])
    espeak.speak(Utterance("Entonces podemos cantar juntos el lunes.", "es"), voice, tmp_path / "a.wav")
    sound, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert median_pitch_hz(lowered(sound, 3), RATE_HZ // 3) == pytest.approx(pitch_hz, rel=0.12)


def test_brackets_do_not_make_espeak_read_phonemes(espeak: Espeak, tmp_path: Path) -> None:
    voice, sounds = espeak.voice(Speaker("S1"), "es", []), []
    for text in ("la [[k'asa]] blanca", "la [ [k'asa]] blanca"):
        espeak.speak(Utterance(text, "es"), voice, tmp_path / "a.wav")
        sounds.append((tmp_path / "a.wav").read_bytes())
    assert sounds[0] == sounds[1]


def test_espeak_is_as_loud_in_every_voice(espeak: Espeak, tmp_path: Path) -> None:
    levels = []
    for variant in ("", "m3", "f2", "f5"):
        voice = Voice("v", "offline", {"variant": variant, "pitch": 50})
        espeak.speak(Utterance("La casa es muy tranquila.", "es"), voice, tmp_path / "a.wav")
        sound, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
        levels.append(20 * np.log10(np.sqrt(np.mean(sound[np.abs(sound) > 0.01] ** 2))))
        assert np.abs(sound).max() < 1
    assert max(levels) - min(levels) < 3


def test_espeak_serves_regions_and_names_languages_that_it_has(espeak: Espeak, tmp_path: Path) -> None:
    assert {"en", "en-GB", "en-US", "es", "es-419", "pt", "pt-BR", "zh", "de"} <= espeak.languages
    voice = espeak.voice(Speaker("S1"), "es-AR", [])
    espeak.speak(Utterance("Hola.", "es-AR"), voice, tmp_path / "a.wav")
    assert soundfile.info(tmp_path / "a.wav").duration > 0.2


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("es", "El tren sale a las nueve de la mañana, y nunca había visto un jardín tan hermoso."),
        ("fr", "Le train part à neuf heures du matin, et je n'ai jamais vu un aussi beau jardin."),
        ("zh", "火车早上九点出发，我从来没有见过这么美丽的花园。"),
        ("ko", "기차는 아침 아홉 시에 출발합니다. 이렇게 아름다운 정원은 처음 봅니다."),
    ],
)
def test_espeak_speaks_about_as_fast_as_it_is_planned_with(
    espeak: Espeak, tmp_path: Path, language: str, text: str
) -> None:
    espeak.speak(Utterance(text, language), espeak.voice(Speaker("S1"), language, []), tmp_path / "a.wav")
    planned_s = len(text) / espeak.characters_per_s(language)
    assert soundfile.info(tmp_path / "a.wav").duration == pytest.approx(planned_s, rel=0.25)


def test_chinese_is_not_read_as_english_and_kanji_are_not_spelled(espeak: Espeak) -> None:
    said = programs.run(["espeak-ng", "-v", espeak._name("zh"), "-q", "-x", "火车早上九点出发"]).stdout.decode()
    assert said.strip()
    assert "(en)" not in said
    assert "ja" not in espeak.languages  # “Chinese letter, Chinese letter”


def test_what_sphinx_hears_depends_on_the_sound_alone(sphinx: Sphinx, flite: Flite) -> None:
    first, second = flite("The market closes at five.", "rms"), flite("Yes, thank you.", "slt")
    alone = sphinx.transcribe(first, "en")
    sphinx.transcribe(second, "en")
    assert sphinx.transcribe(first, "en") == alone
    assert alone.text == "The market closes at five."


def test_a_listener_that_dies_is_replaced_for_the_next_call(flite: Flite) -> None:
    sphinx, sound = Sphinx(), flite("Yes, thank you.", "slt")
    heard = sphinx.transcribe(sound, "en")
    os.kill(sphinx._idle[0].pid, signal.SIGKILL)
    with pytest.raises(ToolFailed):
        sphinx.transcribe(sound, "en")
    assert sphinx.transcribe(sound, "en") == heard


def test_listeners_end_with_their_engine(flite: Flite) -> None:
    sphinx = Sphinx()
    sphinx.transcribe(flite("Yes, thank you.", "slt"), "en")
    listener = sphinx._idle[0]
    del sphinx
    assert listener.poll() is not None
