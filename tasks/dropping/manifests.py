"""Batch manifests: one film or document a row, as CSV (columns source, languages, options) or JSON lines. What is wrong
with a row is a matter of that row alone, and names its line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from speechmill.errors import BadInput, UnreadableManifest
from tasks.dropping.sidecars import one_object

MOST_BYTES = 16 * 2**20
MOST_ROWS = 10_000
COLUMNS = ("source", "languages", "options")
OPTIONS = 'write it as {"glossary": "terms.csv"}'


class Row(BaseModel):
    """One film or document of a batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(min_length=1, max_length=2_000)
    languages: tuple[str, ...] = Field(default=(), max_length=20)
    options: dict[str, Any] = Field(default_factory=dict)  # fields of the request: profile, script, background …

    @field_validator("languages", mode="before")
    @classmethod
    def _listed(cls, given: object) -> object:
        return tuple(given.replace(";", " ").replace(",", " ").split()) if isinstance(given, str) else given

    @field_validator("options", mode="before")
    @classmethod
    def _object(cls, given: object) -> object:
        return (one_object(given) if given.strip() else {}) if isinstance(given, str) else given


@dataclass(frozen=True, slots=True)
class Entry:
    """A row, or what is wrong with it."""

    line: int
    row: Row | None
    error: BadInput | None = None
    source: str = ""  # of a row that is wrong otherwise


def read_manifest(name: str, raw: bytes) -> list[Entry]:
    """The rows of a manifest, each good or bad. Raises ``UnreadableManifest`` for one that has none, or too many."""
    if len(raw) > MOST_BYTES:
        raise UnreadableManifest(f"{name} has more than {MOST_BYTES} bytes", hint="split it")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableManifest(f"{name} is not UTF-8 text", hint="save it as UTF-8") from None
    entries = list(_csv(name, text) if name.lower().endswith(".csv") else _json_lines(name, text))
    if not entries:
        raise UnreadableManifest(f"{name} has no rows", hint="write one film or document a line")
    if len(entries) > MOST_ROWS:
        raise UnreadableManifest(f"{name} has {len(entries)} rows, more than {MOST_ROWS}", hint="split it")
    return entries


def _csv(name: str, text: str) -> Iterator[Entry]:
    delimiter = max(",;\t", key=text.partition("\n")[0].count)  # spreadsheets of many countries write semicolons
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [each.strip().lower() for each in next(reader, [])]
        unknown = [each for each in header if each not in COLUMNS]
        if "source" not in header or unknown or len(set(header)) < len(header):
            raise UnreadableManifest(
                f"the first line of {name} is “{','.join(header)[:200]}”",
                hint=f"name the columns {', '.join(COLUMNS)}; only the first must be there, and options is JSON: "
                + OPTIONS,
            )
        line = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                if len(cells) > len(header):
                    yield _bad(name, line, f"it has {len(cells)} cells, and there are {len(header)} columns")
                else:
                    yield _entry(name, line, {key: cell.strip() for key, cell in zip(header, cells, strict=False)})
            line = reader.line_num + 1
    except csv.Error as error:
        yield _bad(name, reader.line_num, f"{error}; what follows is not read")


def _json_lines(name: str, text: str) -> Iterator[Entry]:
    for line, body in enumerate(text.split("\n"), 1):
        if not body.strip():
            continue
        try:
            found = one_object(body)
        except (ValueError, RecursionError) as error:
            yield _bad(name, line, f"it is no JSON object ({str(error) or 'nested too deeply'})")
            continue
        yield _entry(name, line, found)


def _entry(name: str, line: int, values: dict[str, Any]) -> Entry:
    try:
        return Entry(line, Row.model_validate(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        known = first["type"] != "extra_forbidden"
        said = first["msg"].removeprefix("Value error, ")
        json = where == "options" and isinstance(values.get("options"), str)
        why = f"“{where}” is no JSON object: {said}" if json else f"“{where}”: {said}"
        return _bad(
            name, line, why if known else f"it has a field “{where}” that is not known", values, OPTIONS if json else ""
        )
    except RecursionError:
        return _bad(name, line, "its options are nested too deeply", values)


def _bad(name: str, line: int, why: str, values: Mapping[str, Any] | None = None, hint: str = "") -> Entry:
    source = str((values or {}).get("source", ""))
    return Entry(
        line, None, UnreadableManifest(f"line {line} of {name}: {why}", hint=hint or "correct the line"), source
    )
