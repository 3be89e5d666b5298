"""Recipes name a result before it exists; artifacts are results, kept under their own sha256.

A recipe is an operation, its version, its parameters and the digests of its inputs. Two recipes with the same digest
make the same thing, so one mechanism serves as cache, resume, retake and protection from duplicates.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NewType

Digest = NewType("Digest", str)
"""64 lower-case hexadecimal digits of a sha256."""

Json = None | bool | int | float | str | Sequence["Json"] | dict[str, "Json"]


@dataclass(frozen=True, slots=True, init=False)
class Recipe:
    """How to make one thing. Parameters are JSON values; floats are taken as given, so round them first."""

    operation: str
    version: str
    inputs: tuple[Digest, ...]
    parameters: str  # canonical JSON: compares, hashes and stores as one value

    def __init__(self, operation: str, version: str, *, inputs: Sequence[Digest] = (), **parameters: Json) -> None:
        object.__setattr__(self, "operation", operation)
        object.__setattr__(self, "version", version)
        object.__setattr__(self, "inputs", tuple(inputs))
        object.__setattr__(self, "parameters", canonical(parameters))

    @property
    def digest(self) -> Digest:
        return digest_of_json([self.operation, self.version, list(self.inputs), self.parameters])


@dataclass(frozen=True, slots=True)
class Artifact:
    """A result: immutable bytes under their own sha256."""

    sha256: Digest
    size_bytes: int
    made: bool = False  # in this call, rather than found; not part of the identity


def canonical(value: Json) -> str:
    """One spelling for equal values: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of_json(value: Json) -> Digest:
    return digest_of_bytes(canonical(value).encode())


def digest_of_bytes(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).hexdigest())


def digest_of_file(path: Path) -> Digest:
    """Sha256 of a file, read in blocks."""
    with path.open("rb") as file:
        return Digest(hashlib.file_digest(file, "sha256").hexdigest())
