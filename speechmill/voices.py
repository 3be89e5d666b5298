"""Voices: what a speaker is heard with; the cast: which speaker has which voice."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from speechmill.recipes import Digest, Json


@dataclass(frozen=True, slots=True)
class Speaker:
    """Somebody who speaks in the source, as far as was measured."""

    id: str
    pitch_hz: float | None = None  # median fundamental frequency of voiced speech


@dataclass(frozen=True, slots=True)
class Consent:
    """Who allowed a recorded voice to be imitated, for what, until when, and when it was given (ISO dates)."""

    who: str
    purpose: str
    until: str | None = None
    evidence: Digest | None = None
    when: str | None = None


@dataclass(frozen=True, slots=True)
class Voice:
    """A reference that a speaker is heard with."""

    name: str
    engine: str
    settings: dict[str, Json] = field(default_factory=dict)  # the engine's own: variant, pitch, prompt
    reference: Digest | None = None  # a recording; needs consent
    consent: Consent | None = None
    recording: Path | None = field(default=None, compare=False)  # the reference on this machine, while it speaks

    def __hash__(self) -> int:
        return hash((self.name, self.engine, self.reference))


Cast = dict[str, Voice]
"""Speaker id to voice."""
