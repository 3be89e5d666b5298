"""Engines are found by name, and what they cannot do is refused before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_worker.engines import registry
from model_worker.engines.registry import Needs
from speechmill.abilities import Ability
from speechmill.errors import UnknownName, UnsupportedLanguage
from speechmill.requests import DubbingRequest
from speechmill.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def test_the_engines_that_always_exist_are_there() -> None:
    assert {"offline", "rehearsal"} <= set(registry.engines())


def test_an_engine_is_one_object_for_a_process(settings: Settings) -> None:
    assert registry.engine("offline", settings) is registry.engine("offline", settings)


def test_an_engine_that_does_not_exist_is_refused_with_those_that_do(settings: Settings) -> None:
    with pytest.raises(UnknownName) as refusal:
        registry.engine("offlien", settings)
    assert "offline" in refusal.value.hint
    assert "rehearsal" in refusal.value.hint


@pytest.mark.parametrize(
    ("needs", "hints"),
    [
        (Needs(transcribe=frozenset({"es"})), ["--engine transcribe=rehearsal", "can transcribe en"]),
        (Needs(translate=frozenset({("en", "de")})), ["--engine translate=rehearsal", "en→es"]),
        (Needs(translate=frozenset({("es", "fr")})), ["--engine translate=rehearsal"]),
        (Needs(speak=frozenset({"es", "tlh"})), ["offline can speak"]),
    ],
)
def test_a_language_that_the_engine_lacks_is_refused_with_what_is_possible(
    settings: Settings, needs: Needs, hints: list[str]
) -> None:
    with pytest.raises(UnsupportedLanguage) as refusal:
        registry.choose(needs, settings, {})
    for hint in hints:
        assert hint in refusal.value.hint


@pytest.mark.parametrize(
    "needs",
    [
        Needs(transcribe=frozenset({"en-GB"})),
        Needs(translate=frozenset({("en-US", "es-MX")})),
        Needs(speak=frozenset({"es-MX", "pt-BR", "en-US", "zh-TW"})),
        Needs(),
    ],
)
def test_a_region_is_served_by_its_language(settings: Settings, needs: Needs) -> None:
    choice = registry.choose(needs, settings, {})
    assert (choice.speaks is None) == (not needs.speak)


def test_each_ability_may_have_an_engine_of_its_own(settings: Settings) -> None:
    needs = Needs.of_dubbing(DubbingRequest(source="a.mp4", targets=("de", "es"), language="en"))
    choice = registry.choose(needs, settings, {Ability.TRANSLATE: "rehearsal"})
    assert choice.transcribes is choice.speaks
    assert choice.transcribes is not None
    assert choice.translates is not None
    assert (choice.transcribes.name, choice.translates.name) == ("offline", "rehearsal")


def test_what_is_given_is_not_asked_of_an_engine() -> None:
    request = DubbingRequest(
        source="a.mp4", targets=("de", "es"), language="en", script="a.srt", translations={"de": "d.srt"}
    )
    assert Needs.of_dubbing(request) == Needs(translate=frozenset({("en", "es")}), speak=frozenset({"de", "es"}))


def test_no_ear_judges_a_voice_that_it_does_not_understand(settings: Settings) -> None:
    assert registry.judge_of(registry.engine("offline", settings), settings, "en") is None
