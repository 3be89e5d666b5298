"""Casting: a voice for every speaker, none of them silently the same."""

from __future__ import annotations

from collections.abc import Sequence

from model_worker.engines.registry import Choice
from speechmill.episodes import EpisodeScript
from speechmill.voices import Cast, Speaker, Voice
from tasks.workplace import Workplace


def cast(place: Workplace, speakers: Sequence[Speaker], language: str, crew: Choice) -> Cast:
    """Choose a voice for each speaker, in order, and keep the cast in the catalog."""
    assert crew.speaks is not None
    speaks = crew.speaks.speaks
    assert speaks is not None
    chosen: dict[str, Voice] = {}
    for speaker in speakers:
        chosen[speaker.id] = speaks.voice(speaker, language, list(chosen.values()))
    place.catalog.put_cast(place.job, language, chosen)
    return chosen


def speakers_of(script: EpisodeScript) -> list[Speaker]:
    """Those who speak in an episode. Nothing was measured of them: the engine keeps them apart by ear."""
    return [Speaker(speaker) for speaker in script.speakers]
