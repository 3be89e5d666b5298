"""The engines of a job as its report names them."""

from __future__ import annotations

from model_worker.engines.registry import Choice
from speechmill.abilities import Ability, Engine, NamesMeans, Speaks, Transcribes, Translates
from speechmill.reports import AbilityUsed, EngineUsed


def engine_used(crew: Choice) -> EngineUsed:
    """The engine that speaks, and what each ability worked with."""
    main = crew.speaks
    assert main is not None
    asked = ((Ability.TRANSCRIBE, crew.transcribes), (Ability.TRANSLATE, crew.translates), (Ability.SPEAK, main))
    used = {what: engine for what, engine in asked if engine}
    return EngineUsed(
        name=main.name,
        version=main.version,
        abilities={what: f"{engine.name} {engine.version}" for what, engine in used.items()},
        made_with={
            what: _made_with(engine.name, able) for what, engine in used.items() if (able := _able(engine, what))
        },
    )


def _able(engine: Engine, what: Ability) -> Transcribes | Translates | Speaks | None:
    if what is Ability.TRANSCRIBE:
        return engine.transcribes
    return engine.translates if what is Ability.TRANSLATE else engine.speaks


def _made_with(engine: str, able: Transcribes | Translates | Speaks) -> AbilityUsed:
    means = dict(able.means) if isinstance(able, NamesMeans) else {}
    return AbilityUsed(engine=engine, version=able.version, means=means)
