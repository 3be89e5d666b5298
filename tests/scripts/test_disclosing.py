"""The spoken disclosure: one line of the programme's, not of the script's."""

from __future__ import annotations

import pytest

from speechmill.episodes import EpisodeScript, LineKind, ScriptLine, ScriptSpeaker
from tasks.disclosing import disclosed, phrases
from tasks.scriptwriting.keeping import script_json


def script(language: str = "en", *lines: ScriptLine) -> EpisodeScript:
    speakers = {"A": ScriptSpeaker(role="guest"), "B": ScriptSpeaker(role="host")}
    own = (ScriptLine(id="1", speaker="A", text="Hello."), ScriptLine(id="2", speaker="B", text="Hello."))
    return EpisodeScript(title="T", language=language, speakers=speakers, lines=lines or own)


@pytest.mark.parametrize(("place", "at"), [("first", 0), ("last", -1)])
def test_the_host_says_it_first_or_last_and_the_script_that_is_left_has_it_not(place: str, at: int) -> None:
    told = disclosed(script(), place)  # type: ignore[arg-type]
    line = told.lines[at]
    assert (line.kind, line.speaker, line.text) == (LineKind.DISCLOSURE, "B", phrases()["en"]["said"])
    assert told.writing == script().writing
    assert "disclosure" not in script_json(told)


def test_one_that_a_person_changed_is_left_with_the_script_and_not_said_twice() -> None:
    own = ScriptLine(id="x", speaker="A", text="We are not real.", kind=LineKind.DISCLOSURE)
    told = disclosed(script("en", own, *script().lines), "first")
    assert [line.id for line in told.lines] == ["x", "1", "2"]
    assert "We are not real." in script_json(told)


def test_nothing_is_said_where_it_is_off() -> None:
    assert disclosed(script(), "off") == script()


def test_a_language_without_a_sentence_is_told() -> None:
    told = disclosed(script("eu"), "first")
    assert told.lines == script("eu").lines
    assert "not said aloud" in told.writing.notes[0]


@pytest.mark.parametrize("language", ["en", "es", "de", "fr", "zh"])
def test_these_languages_have_a_sentence_and_a_title(language: str) -> None:
    assert set(phrases()[language]) == {"said", "opening"}
