"""The disclosure that voices are made: in an episode a spoken line, by the host; in a dub a note in its files."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Literal

from speechmill.episodes import DISCLOSURE, EpisodeScript, LineKind, ScriptLine
from speechmill.languages import base

Place = Literal["first", "last", "off"]
OF_A_DUB = "The voices of this dub are made by a computer."
"""Not said aloud but written down, in the report and in the files, as the EU's AI Act asks (2024/1689, article 50)."""
HOSTS = ("host", "moderator", "reader", "teacher", "commentator")


@cache
def phrases() -> dict[str, dict[str, str]]:
    """By language: ``said`` is the sentence, ``opening`` the title of what is heard before the first chapter."""
    return tomllib.loads(resources.files("tasks").joinpath("disclosing.toml").read_text("utf-8"))


def phrase(language: str) -> str:
    """The sentence in a language; empty where there is none."""
    return phrases().get(base(language), {}).get("said", "")


def opening(language: str) -> str:
    """What the time before the first chapter is called; empty where there is no word for it."""
    return phrases().get(base(language), {}).get("opening", "")


def disclosed(script: EpisodeScript, place: Place) -> EpisodeScript:
    """The script with the disclosure as its first or last line. One that brings its own keeps it; in a language
    without a sentence nothing is said, and the script's notes tell so."""
    if place == "off" or any(line.kind is LineKind.DISCLOSURE for line in script.lines):
        return script
    said = phrase(script.language)
    if not said:
        note = f"That the voices are made is not said aloud: there is no sentence for it in {script.language}."
        writing = script.writing.model_copy(update={"notes": (*script.writing.notes, note)})
        return script.model_copy(update={"writing": writing})
    ids = {line.id for line in script.lines}
    line = ScriptLine(
        id=next(id for id in (DISCLOSURE, *(f"{DISCLOSURE}-{n}" for n in range(2, len(ids) + 3))) if id not in ids),
        speaker=host(script),
        text=said,
        kind=LineKind.DISCLOSURE,
    )
    lines = (line, *script.lines) if place == "first" else (*script.lines, line)
    return script.model_copy(update={"lines": lines})


def host(script: EpisodeScript) -> str:
    """Who speaks for the programme: the one whose role it is, or whoever speaks first."""
    heard = list(dict.fromkeys(line.speaker for line in script.lines))
    roles = {script.speakers[speaker].role.casefold(): speaker for speaker in reversed(heard)}
    return next((roles[role] for role in HOSTS if role in roles), heard[0])
