"""Options: what is typed, into what is asked. What is typed wrong is a wrong use, told in words of ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click

from speechmill.errors import BadInput, UnreadableMedia, UnreadableScript
from speechmill.roots import path_of

CALLED = {"source": "SOURCE", "targets": "--to", "translations": "--translation", "engines": "--engine"}
"""Fields of requests that are not called as their options are."""
SENTENCES = {
    "missing": "must be named",
    "string_too_short": "must be named",
    "too_short": "must be named",
    "too_long": "at most {max_length} may be named",
    "less_than_equal": "must be {le:g} or less",
}
"""What pydantic finds wrong, as we say it; what click finds wrong it says itself."""
KINDS = {"source": UnreadableMedia, "bed": UnreadableMedia, "script": UnreadableScript, "glossary": UnreadableScript}


def engines(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """``--engine NAME`` for every ability, ``--engine ABILITY=NAME`` for one."""
    from speechmill.abilities import Ability

    for_all = [value for value in values if "=" not in value]
    named = _pairs([value for value in values if "=" in value])
    if len(for_all) > 1:
        raise click.BadParameter(f"{' and '.join(for_all)} cannot both be for everything; say ability=name")
    for ability in named:
        if ability not in list(Ability):
            raise click.BadParameter(f"“{ability}” is not an ability; choose one of {', '.join(Ability)}")
    return {**{str(ability): name for name in for_all for ability in Ability}, **named}


def files_by_language(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    for value in values:
        if not value.partition("=")[2]:
            raise click.BadParameter(f"“{value}” should be LANG=FILE, such as es=talk.es.srt")
    return _pairs(values)


def _pairs(values: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for value in values:
        name, _, given = value.partition("=")
        if found.setdefault(name, given) != given:
            raise click.BadParameter(f"there are two for {name}, {found[name]} and {given}; leave one of them out")
    return found


def refuse_missing(asked: Mapping[str, Any], **kinds: type[BadInput]) -> None:
    """Refuse files that are not there, before anything that takes time to import; ``kinds`` are errors by field."""
    wanted = [(name, asked[name]) for name in (KINDS | kinds) if asked.get(name)]
    wanted += [("translation", file) for file in asked.get("translations", {}).values()]
    for name, file in wanted:
        if "://" not in file and not path_of(file).exists():
            option = "" if name == "source" else f"--{name}: "
            raise (KINDS | kinds).get(name, UnreadableScript)(
                f"{option}there is no file {path_of(file).absolute()}", hint="check the name"
            )


def validated(kind: Any, asked: dict[str, Any]) -> Any:
    """What was asked, as a request of its kind; options that were not given are left out. Raises ``UsageError``, and
    ``BadInput`` for a name that cannot be kept."""
    from pydantic import ValidationError

    try:
        return kind.model_validate({name: value for name, value in asked.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        option = CALLED.get(name) or f"--{name.replace('_', '-')}"
        if first["type"] == "string_unicode":
            raise BadInput(f"{option}: the name is not UTF-8", hint="rename the file") from None
        said = SENTENCES.get(first["type"], "is not what it may be").format(**first.get("ctx", {}))
        raise click.UsageError(f"{option}: {said}") from None
