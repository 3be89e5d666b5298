"""What a worker announces of its engine is what a flow elsewhere takes it to be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from model_worker import messages
from model_worker.announcing import TOLD, announce, as_announced
from model_worker.engines import registry
from speechmill.abilities import Imitates, NamesMeans, NamesVoices, Speaks, Transcribes, Translates, Writes
from speechmill.errors import Unavailable, UnsupportedLanguage
from speechmill.settings import Settings
from speechmill.voices import Speaker
from storage.catalog import Catalog
from tasks.queue import default_queues, load_engines, worth_at_once

from .mimo import tiny_settings
from .test_contract import ENGINES, Case

KINDS: dict[str, type] = {
    "transcribes": Transcribes,
    "translates": Translates,
    "speaks": Speaks,
    "writes": Writes,
}


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with closing(Catalog.open(Settings(home=tmp_path).database_url)) as opened:
        yield opened


@pytest.mark.parametrize("case", ENGINES, ids=lambda case: case.name)
def test_an_engine_is_elsewhere_what_it_was_announced_to_be(case: Case, tmp_path: Path, catalog: Catalog) -> None:
    there = registry.engine(case.name, case.settings(tmp_path))
    announce(there, catalog)
    here = as_announced(registry.engine(case.name, Settings(home=tmp_path)), Settings(home=tmp_path))
    compared = 0
    for what, kind in (
        ("transcribes", Transcribes),
        ("translates", Translates),
        ("speaks", Speaks),
        ("writes", Writes),
    ):
        one, other = getattr(there, what), getattr(here, what)
        assert (one is None) == (other is None)
        if one is None:
            continue
        for kinds in (kind, NamesMeans, NamesVoices):
            assert isinstance(one, kinds) == isinstance(other, kinds)
        for name in TOLD[what]:
            if name != "imitation_version" and hasattr(type(one), name):
                compared += 1
                assert getattr(other, name) == getattr(one, name), name
    assert compared >= 8
    assert there.speaks
    assert here.speaks
    speaker = Speaker("A", pitch_hz=110.0)
    assert here.speaks.voice(speaker, case.language, []) == there.speaks.voice(speaker, case.language, [])
    assert isinstance(there.speaks, Imitates) == isinstance(here.speaks, Imitates)


class Elsewhere:
    """An ability whose machine decides what it is, and which this one does not know."""

    version = "here"
    varies = True

    def __init__(self, *languages: str) -> None:
        self.languages = frozenset(languages)


def test_what_was_announced_goes_before_what_is_here(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path, broker_url="redis://nowhere:1/0", engine="rehearsal")
    own = registry.engine("rehearsal", settings)
    monkeypatch.setattr(registry, "_made", {("rehearsal", settings.model_dump_json()): own})
    assert registry.engine_at_work("rehearsal", settings) is own  # any worker is like this machine
    monkeypatch.setitem(messages.QUEUE_OF_ENGINE, "rehearsal", messages.Queue.GPU_MIMO)
    with pytest.raises(Unavailable, match="no worker has told yet what its engine rehearsal is"):
        registry.engine_at_work("rehearsal", settings)

    there = Elsewhere("en")
    there.version = "there"  # type: ignore[misc]
    announce(replace(own, speaks=there, writes=None), catalog)  # type: ignore[arg-type]
    found = registry.engine_at_work("rehearsal", settings)
    assert found.speaks
    assert (found.speaks.version, found.speaks.languages) == ("there", {"en"})
    with pytest.raises(UnsupportedLanguage, match="cannot speak Spanish"):
        registry.choose(registry.Needs(speak=frozenset({"es"})), settings, {})
    announce(replace(own, speaks=Elsewhere("en", "es")), catalog)  # type: ignore[arg-type]
    chosen = registry.choose(registry.Needs(speak=frozenset({"es"})), settings, {}).speaks
    assert chosen
    assert chosen.speaks
    assert (chosen.speaks.version, chosen.speaks.languages) == ("here", {"en", "es"})


def test_nothing_but_facts_of_the_engine_is_announced(tmp_path: Path, catalog: Catalog) -> None:
    case = next(case for case in ENGINES if case.name == "mimo")
    announce(registry.engine("mimo", case.settings(tmp_path)), catalog)
    found = catalog.announced("mimo")
    assert found is not None
    told = json.dumps(found.told)
    assert str(tmp_path) not in told
    assert "data/mimo" not in told
    assert set(found.told) == {"transcribes", "translates", "speaks", "writes"}


@pytest.mark.parametrize(("engine", "given"), [("mimo", 5), ("offline", 2)])
def test_a_worker_begins_with_as_much_at_a_time_as_its_engine_serves(
    tmp_path: Path, catalog: Catalog, engine: str, given: int
) -> None:
    """A machine of two cores feeds a GPU's slots, not one line for each core."""
    settings = tiny_settings(tmp_path).model_copy(update={"engine": engine, "mimo_slots": 5, "workers": 2})
    assert worth_at_once(load_engines(settings, default_queues(settings), catalog), settings) == given
