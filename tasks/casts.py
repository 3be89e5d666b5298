"""Casts as files: ``cast.toml`` says who speaks with which voice, how high, how fast, from where, and by whose leave.

A table for every speaker, by the id that the script has for them::

    [HOST]
    name = "Ana"
    voice = "f2"          # one of the engine's voices
    pitch = -1            # semitones
    rate = 1.05
    pan = -0.4            # −1 is left, 1 right
    consent = {who = "Ana Prat", when = 2026-05-01, scope = "this show"}
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from speechmill.episodes import MOST_SPEAKERS, EpisodeScript, ScriptSpeaker
from speechmill.errors import UnreadableScript
from speechmill.roots import Roots, path_of
from tasks.text.texts import read_text

Members = dict[str, ScriptSpeaker]
FIELDS = frozenset(ScriptSpeaker.model_fields)
WRAPPER = "speakers"  # ``[speakers.HOST]``, as in script.json, is the same as ``[HOST]``
OF_A_VOICE = frozenset({"voice", "reference", "consent"})  # they go together: who gives one gives all


def read_cast(path: Path, within: Roots | None = None) -> Members:
    """The members of a cast by speaker. Paths in it are relative to it.

    Raises ``UnreadableScript`` that names the speaker and the field, and ``ForbiddenSource`` for what does not lie
    under the roots ``within``.
    """
    try:
        tables = tomllib.loads(read_text(path, within=within))
    except tomllib.TOMLDecodeError as error:
        raise UnreadableScript(f"{path.name} is not TOML: {error}", hint="correct the file") from None
    if set(tables) == {WRAPPER} and isinstance(tables[WRAPPER], dict):
        tables = tables[WRAPPER]
    if not tables or len(tables) > MOST_SPEAKERS:
        raise UnreadableScript(
            f"{path.name} has {len(tables)} speakers", hint=f"write a table such as [HOST] for 1 to {MOST_SPEAKERS}"
        )
    return {speaker: _member(path, speaker, table) for speaker, table in tables.items()}


def _member(path: Path, speaker: str, table: Any) -> ScriptSpeaker:
    if not isinstance(table, dict):
        raise UnreadableScript(f"{path.name} has “{speaker}” outside of any speaker", hint="write it below a [SPEAKER]")
    if unknown := sorted(table.keys() - FIELDS):
        near = difflib.get_close_matches(unknown[0], FIELDS, 1)
        raise UnreadableScript(
            f"{path.name} gives {speaker} a field “{unknown[0][:40]}”, which is not known",
            hint=f"did you mean “{near[0]}”?" if near else f"known are {', '.join(ScriptSpeaker.model_fields)}",
        )
    try:
        member = ScriptSpeaker.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        where = " ".join(str(part) for part in first["loc"])
        raise UnreadableScript(
            f"{path.name} is wrong at {speaker} {where}: {first['msg']}", hint="correct the file"
        ) from None
    return with_whole_reference(member, path.parent)


def with_whole_reference(member: ScriptSpeaker, folder: Path) -> ScriptSpeaker:
    """The path of a reference, from the folder of the file that names it."""
    if not member.reference:
        return member
    return member.model_copy(update={"reference": str((folder / path_of(member.reference)).absolute())})


def joined(*casts: Mapping[str, ScriptSpeaker]) -> Members:
    """One cast of several; what a later one says of a speaker goes before what an earlier one does."""
    members: Members = {}
    for cast in casts:
        for speaker, member in cast.items():
            before = members.get(speaker, ScriptSpeaker())
            said = member.model_fields_set & {name for name in FIELDS if getattr(member, name) != _default(name)}
            dropped = OF_A_VOICE - said if said & {"voice", "reference"} else frozenset()
            members[speaker] = before.model_copy(
                update={**{name: _default(name) for name in dropped}, **{name: getattr(member, name) for name in said}}
            )
    return members


def _default(name: str) -> Any:
    return ScriptSpeaker.model_fields[name].default


def raise_for_strangers(name: str, cast: Mapping[str, ScriptSpeaker], script: EpisodeScript) -> None:
    """Refuse a cast with somebody whom the script does not have: it is a slip, or the cast of another script."""
    if strangers := [speaker for speaker in cast if speaker not in script.speakers]:
        near = difflib.get_close_matches(strangers[0], script.speakers, 1)
        raise UnreadableScript(
            f"{name} has a speaker “{strangers[0][:64]}” who is not in the script",
            hint=f"did you mean {near[0]}?" if near else f"the script has {', '.join(script.speakers)}",
        )
