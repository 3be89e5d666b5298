"""Requests: what a user asks for, as pydantic models that are also the forms of the Prefect UI."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from speechmill import languages
from speechmill.abilities import Ability

MOST_TARGETS = 20
MOST_SPEAKERS = 20


class DubbingRequest(BaseModel):
    """Dub one film, clip or recording into one or more languages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(title="Source", description="Path or s3:// or https:// address of a film", min_length=1)
    targets: tuple[str, ...] = Field(
        title="Into",
        description="Languages to dub into, as BCP-47 tags: es, pt-BR",
        min_length=1,
        max_length=MOST_TARGETS,
    )
    language: str = Field(default="en", title="From", description="Language that is spoken in the source")
    engines: dict[Ability, str] = Field(
        default_factory=dict,
        title="Engines",
        description="Engine for each ability; the default is the settings' engine",
    )
    audio_track: int | None = Field(
        default=None,
        ge=0,
        title="Audio track",
        description="Which audio track is dubbed, from 0; else the first, or the one in the source's language",
    )
    speakers: int | None = Field(
        default=None, ge=1, le=MOST_SPEAKERS, title="Speakers", description="How many people speak, if you know"
    )
    script: str | None = Field(
        default=None, title="Script", description="Transcript as SRT or VTT: nothing is transcribed"
    )
    translations: dict[str, str] = Field(
        default_factory=dict, title="Translations", description="SRT or VTT by language: nothing is translated"
    )
    glossary: str | None = Field(
        default=None, title="Glossary", description="CSV: source, target, spoken form, language of the target"
    )
    background: Literal["duck", "drop"] = Field(
        default="duck", title="Background", description="Keep the original under the dub, or drop it"
    )
    bed: str | None = Field(default=None, title="Bed", description="Music-and-effects track to lay under the dub")
    profile: str = Field(default="youtube", title="Profile", description="What the delivery must measure")
    approve: tuple[Literal["transcript", "translation", "final"], ...] = Field(
        default=(), title="Approve", description="What a person is to approve before the job goes on"
    )
    out: str | None = Field(default=None, title="Out", description="Folder, or s3://bucket/folder, for the results")

    @field_validator("targets")
    @classmethod
    def _canonical_targets(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(languages.canonical(tag) for tag in tags))

    @field_validator("language")
    @classmethod
    def _canonical_language(cls, tag: str) -> str:
        return languages.canonical(tag)

    @field_validator("translations")
    @classmethod
    def _canonical_translations(cls, files: dict[str, str]) -> dict[str, str]:
        return {languages.canonical(tag): file for tag, file in files.items()}
