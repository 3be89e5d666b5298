"""Announcing: a worker tells the catalog what its engine is, and a flow elsewhere takes the engine to be that.

What an engine can do, and which version of it made a take, depends on the weights, the libraries and the device of the
machine that works. A flow must know it before any work, on a machine that has none of them. How voices are chosen and
what is asked for is code, which both have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from copy import copy
from dataclasses import replace
from typing import Any, TypeVar

from speechmill.abilities import Engine
from speechmill.errors import Unavailable
from speechmill.recipes import Json
from speechmill.settings import Settings
from storage.catalog import Catalog

Able = TypeVar("Able")

TOLD: Mapping[str, tuple[str, ...]] = {
    "transcribes": ("version", "means", "languages", "gives_word_times", "judges"),
    "translates": ("version", "means", "pairs"),
    "speaks": ("version", "means", "languages", "varies", "imitation_version"),
    "writes": ("version", "means", "languages", "most_characters"),
}
"""Of each ability that is work for a queue, the properties that depend on the machine."""

READ: Mapping[str, Callable[[Any], Any]] = {
    "languages": frozenset,
    "judges": frozenset,
    "pairs": lambda pairs: frozenset((source, target) for source, target in pairs),
}
"""How what JSON does not have is read again."""


def announce(found: Engine, catalog: Catalog) -> None:
    """Tell what an engine of this machine is. Raises ``Unavailable`` where it is not whole."""
    catalog.announce(found.name, {what: _told(getattr(found, what), names) for what, names in TOLD.items()})


def as_announced(own: Engine, settings: Settings) -> Engine:
    """The engine as workers have it; raises ``Unavailable`` where none has told."""
    with closing(Catalog.open(settings.database_url, upgrade=False)) as catalog:
        found = catalog.announced(own.name)
    if found is None:
        raise Unavailable(
            f"no worker has told yet what its engine {own.name} is",
            hint=f"start one on a machine that has it: `speechmill worker --queue gpu.{own.name}`",
        )
    told = found.told
    return replace(
        own,
        transcribes=_as_told("transcribes", own.transcribes, told),
        translates=_as_told("translates", own.translates, told),
        speaks=_as_told("speaks", own.speaks, told),
        writes=_as_told("writes", own.writes, told),
    )


def _told(able: object, names: tuple[str, ...]) -> Json:
    """What is true of an ability here; what it lacks is left out."""
    if able is None:
        return None
    told: dict[str, Json] = {}
    for name in names:
        try:
            value = getattr(able, name, None)
        except Unavailable:
            if name == "version":
                raise
            continue  # a part that need not be there, such as the model for recorded voices
        if value is not None:
            told[name] = _plain(value)
    return told


def _plain(value: Any) -> Json:
    if isinstance(value, frozenset):
        return sorted(list(each) if isinstance(each, tuple) else each for each in value)
    return dict(value) if isinstance(value, Mapping) else value


def _as_told(what: str, own: Able, told: Mapping[str, Any]) -> Able | None:
    """An ability that is as it was told, and otherwise as the code here has it."""
    if own is None or told[what] is None:
        return None
    kind = type(own)
    names = [name for name in TOLD[what] if hasattr(kind, name) or name in vars(own)]
    twin = copy(own)
    twin.__class__ = type(kind.__name__, (kind,), {name: _property(name, told[what]) for name in names})
    return twin


def _property(name: str, told: Mapping[str, Any]) -> property:
    def read(_: object) -> Any:
        if name not in told:
            raise Unavailable(
                f"the workers cannot do this: they have told no {name.replace('_', ' ')}",
                hint="give them what it needs (see `speechmill doctor` there), and start them again",
            )
        return READ.get(name, lambda value: value)(told[name])

    return property(read)
