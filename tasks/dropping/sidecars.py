"""Sidecars: what is asked of a dropped file, beside it as ``film.job.json``. It has the fields of a request, less the
source and the place of the results; what it may not have is named and refused, never guessed at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from speechmill.abilities import Ability
from speechmill.episodes import PodcastRequest
from speechmill.errors import BadInput, UnreadableManifest, UnreadableSidecar
from speechmill.requests import DubbingRequest

MOST_BYTES = 64 * 1024
MOST_DEPTH = 6  # of lists and objects in each other; a request needs two
OURS = ("source", "out")  # fields of a request that whoever drops a file has no say in

EXAMPLES = {
    "engines": 'write "engines": {"speak": "offline"}, or "engine": "offline" for all abilities',
    "targets": 'write "targets": ["es", "pt-BR"]',
    "translations": 'write "translations": {"es": "film.es.srt"}',
}
"""What a field looks like, where somebody has written it otherwise."""

Request = TypeVar("Request", bound=DubbingRequest | PodcastRequest)


def read_sidecar(name: str, raw: bytes) -> dict[str, Any]:
    """The object that a sidecar is. ``raw`` may be cut off one byte after the most that is read."""
    if len(raw) > MOST_BYTES:
        raise UnreadableSidecar(f"{name} has more than {MOST_BYTES} bytes", hint="a sidecar only has a few fields")
    try:
        return one_object(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UnreadableSidecar(f"{name} is no JSON object: {why}", hint='write {"targets": ["es"]}, say') from None


def one_object(text: str) -> dict[str, Any]:
    """A JSON object of harmless depth, each of its names once; raises ``ValueError`` or ``RecursionError``."""
    found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    if not isinstance(found, dict):
        raise ValueError("it is something else")
    _measure(found, MOST_DEPTH)
    return found


def make_request(
    kind: type[Request],
    name: str,
    asked: Mapping[str, Any],
    refusal: type[UnreadableSidecar | UnreadableManifest] = UnreadableSidecar,
    **given: Any,
) -> Request:
    """The request that was ``asked`` for in a file of a name, for what is ``given`` by us; else a ``refusal``."""
    for field in OURS:
        if field in asked:
            raise refusal(f"{name} may not have the field “{field}”", hint="leave it out")
    try:
        return cast(Request, kind.model_validate({**with_engines(asked), **given}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        allowed = ", ".join(field for field in kind.model_fields if field not in OURS)
        if first["type"] == "extra_forbidden":
            raise refusal(f"{name} has a field “{where}” that is not known", hint=f"use {allowed}") from None
        said = first["msg"].removeprefix("Value error, ")
        raise refusal(f"{name} is wrong at “{where}”: {said}", hint=EXAMPLES.get(where, "correct it")) from None
    except BadInput as error:
        raise refusal(f"{name}: {error.message}", hint=error.hint) from None


def with_engines(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, with engines also as the command line has them: ``"engine": "rehearsal"`` for all abilities,
    ``"speak=rehearsal"`` for one, and lists of both."""
    said = dict(asked)
    given = said.pop("engine", said.get("engines"))
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        return said if given is None else {**said, "engines": given}
    engines: dict[str, str] = {}
    for one in given:
        ability, separator, name = one.partition("=")
        if separator:
            engines[ability] = name
        else:
            engines = {**{str(each): one for each in Ability}, **engines}
    return {**said, "engines": engines}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands in it twice")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _measure(value: Any, depth: int) -> None:
    if not isinstance(value, (dict, list)):
        return
    if depth == 0:
        raise RecursionError
    for each in value.values() if isinstance(value, dict) else value:
        _measure(each, depth - 1)
