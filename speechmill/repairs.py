"""Repairs: what was put right in a script, so that a person can look."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Repair(BaseModel):
    """What was put right in a script, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    line_id: str  # empty where no line came of it
    what: str  # a sentence
