"""Typed reading of a ``config.json``, so that a wrong field is named together with its file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import ConfigError

MOST = 1 << 20  # sizes, lengths and counts: several times those of any such model, and no memory is lost in trying
MOST_LAYERS, MOST_STEPS = 1024, 64  # of one stack; frames of a group, and of a delay


class Fields:
    """The fields of one JSON object."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(path, "*", "cannot be read: there is no such file") from None
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ConfigError(path, "*", f"cannot be read: {error}") from error
        if not isinstance(raw, Mapping):
            raise ConfigError(path, "*", "cannot be read: the file does not hold a JSON object")
        self.raw: Mapping[str, Any] = raw

    def wrong(self, name: str, problem: str) -> ConfigError:
        return ConfigError(self.path, name, problem)

    def count(self, name: str, default: int | None = None, *, least: int = 1, most: int = MOST) -> int:
        """A whole number from ``least`` to ``most``."""
        value = self.raw.get(name)
        if value is None:
            value = default
        if value is None:
            raise self.wrong(name, "is missing")
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.wrong(name, f"must be a whole number of at least {least}, but is {value!r}")
        if value > most:
            raise self.wrong(name, f"must be at most {most}, but is {value}")
        return value

    def number(self, name: str, default: float | None = None, *, least: float | None = None) -> float:
        """A finite number: above 0, or at least ``least``."""
        value = self.raw.get(name)
        if value is None:
            value = default
        if value is None:
            raise self.wrong(name, "is missing")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.wrong(name, f"must be a number, but is {value!r}")
        if value <= 0 if least is None else value < least:
            limit = "above 0" if least is None else f"of at least {least:g}"
            raise self.wrong(name, f"must be a number {limit}, but is {value!r}")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self.raw.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(name, f"must be true or false, but is {value!r}")
        return value

    def only(self, name: str, *allowed: object) -> None:
        """Refuse a value that would change the computation in a way this code does not know."""
        value = self.raw.get(name)
        if value is not None and value not in allowed:
            raise self.wrong(name, f"is {value!r}; this code can run {', '.join(map(repr, allowed))}")

    def per_channel(self, name: str, default: str, channels: int, *, most: int = MOST) -> tuple[int, ...]:
        """A dash list (``"1025-1025-129"``), a JSON list, or one number for all channels."""
        value = self.raw.get(name)
        if value is None:
            value = default
        pieces = value if isinstance(value, list) else str(value).split("-")
        try:
            numbers = tuple(int(piece) for piece in pieces)
        except (TypeError, ValueError):
            raise self.wrong(name, f"must be numbers joined by dashes, but is {value!r}") from None
        if len(numbers) == 1:
            numbers *= channels
        if len(numbers) < channels or min(numbers) < 0:
            raise self.wrong(
                name, f"must have {channels} numbers of at least 0, one for each audio channel, but is {value!r}"
            )
        if max(numbers) > most:
            raise self.wrong(name, f"must have numbers of at most {most}, but is {value!r}")
        return numbers[:channels]

    def window(self, name: str, default: tuple[int, int]) -> tuple[int, int]:
        """How many positions to the left and to the right may be seen; -1 is all of them."""
        value = self.raw.get(name)
        if value is None:
            return default
        whole = isinstance(value, list) and len(value) == 2 and all(type(side) is int and side >= -1 for side in value)
        if not whole:
            raise self.wrong(name, f"must be two whole numbers of at least -1, but is {value!r}")
        return (value[0], value[1])
