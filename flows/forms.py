"""Forms: what the Prefect UI asks of who starts a job. They are the requests of the command line, with the choices
that this installation has.

The Prefect server refuses what the form's schema does not allow before anything runs; what takes the files to judge
(a language that no engine has, say) is refused when the run begins, before any work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from model_worker.engines.registry import engines
from speechmill import profiles
from speechmill.abilities import Ability
from speechmill.episodes import DIGEST_MINUTES, MOST_MINUTES, PodcastRequest
from speechmill.requests import DubbingRequest

LANGUAGE_TAG = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$"  # of BCP-47; whether there is one is asked at the begin
MOST_AT_ONCE = 256
JOB_ID = "^[0-9]{8}-[0-9]{6}-[0-9a-z]{5}$"

DUBBING_ORDER = (
    "source", "targets", "language", "engines", "background", "profile", "approve", "speakers", "audio_track",
    "script", "translations", "glossary", "bed", "out",
)  # fmt: skip
PODCAST_ORDER = (
    "source", "format", "language", "minutes", "show", "cast", "engines", "profile", "approve", "intro", "bed", "outro",
    "seats", "stems", "lexicon", "disclosure", "again", "out",
)  # fmt: skip


def _choices(schema: dict[str, Any], order: Sequence[str], abilities: Sequence[Ability]) -> None:
    fields = schema["properties"]
    named = [name for name in order if name in fields]
    for position, name in enumerate([*named, *(name for name in fields if name not in named)]):
        fields[name].setdefault("title", name.capitalize())  # pydantic leaves it out where its type has the same
        fields[name]["position"] = position
    fields["profile"]["enum"] = list(profiles.names())
    fields["engines"] = {
        "title": "Engines",
        "description": "Engine for each ability; left empty, the one that the settings name",
        "type": "object",
        "additionalProperties": False,
        "default": {},
        "position": fields["engines"]["position"],
        "properties": {
            str(ability): {
                "title": str(ability).capitalize(),
                "description": f"Engine that is to {ability}",
                "type": "string",
                "enum": list(engines()),
                "position": position,
            }
            for position, ability in enumerate(abilities)
        },
    }


def _dubbing(schema: dict[str, Any]) -> None:
    _choices(schema, DUBBING_ORDER, [Ability.TRANSCRIBE, Ability.TRANSLATE, Ability.SPEAK])
    schema["properties"]["targets"]["items"] |= {"pattern": LANGUAGE_TAG}
    schema["properties"]["targets"]["examples"] = [["es", "pt-BR"]]
    schema["properties"]["language"]["pattern"] = LANGUAGE_TAG


def _podcast(schema: dict[str, Any]) -> None:
    del schema["properties"]["collected"]  # the form of a digest asks for its folder
    _choices(schema, PODCAST_ORDER, [Ability.SPEAK, Ability.WRITE])


class DubbingForm(DubbingRequest):
    """Dub one film, clip or recording into one or more languages."""

    model_config = ConfigDict(json_schema_extra=_dubbing, title="Film")


class PodcastForm(PodcastRequest):
    """Make an episode from a document, an address or a script."""

    model_config = ConfigDict(json_schema_extra=_podcast, title="Episode")


class DigestForm(BaseModel):
    """Make one episode of the documents in a folder that no digest of it has had yet; none where nothing is new."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Digest")

    folder: str = Field(
        title="Folder",
        description="Folder of documents: Markdown, HTML, PDF, EPUB, DOCX, captions, plain text",
        min_length=1,
        max_length=2_000,
        examples=["/srv/studio/articles"],
        json_schema_extra={"position": 0},
    )
    show: str | None = Field(
        default=None,
        title="Show",
        description="TOML: the show that the episodes belong to",
        min_length=1,
        max_length=2_000,
        json_schema_extra={"position": 1},
    )
    format: Literal["reading", "dialogue"] = Field(
        default="reading",
        title="Format",
        description="Whether one voice reads, or two share the text",
        json_schema_extra={"position": 2},
    )
    minutes: float = Field(
        default=DIGEST_MINUTES,
        gt=0,
        le=MOST_MINUTES,
        title="Minutes",
        description="Whole documents are taken up to this length, the first in any case; the rest is for the next one",
        json_schema_extra={"position": 3},
    )
    out: str | None = Field(
        default=None,
        title="Out",
        description="Folder, or s3://bucket/folder, in which each episode gets one of its own. Empty: what the "
        "settings say",
        min_length=1,
        max_length=2_000,
        json_schema_extra={"position": 4},
    )


class RetakeForm(BaseModel):
    """Render again what is stale in a job, or the named lines, and all that follows from it. It also goes on with a job
    that failed, crashed or was cancelled."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Retake")

    job: str = Field(
        title="Job",
        description="The job's id, which is also the name of its run: 20261122-143705-f3k9q",
        pattern=JOB_ID,
        json_schema_extra={"position": 0},
    )
    lines: tuple[str, ...] = Field(
        default=(),
        title="Lines",
        description="Ids of lines that are to be spoken otherwise, with the same words: 0007. Empty: what was edited",
        max_length=1_000,
        json_schema_extra={"position": 1},
    )


class IngestForm(BaseModel):
    """Look once what was dropped: give it jobs, hand these on, publish what is finished."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Drop folder")

    where: str | None = Field(
        default=None,
        title="Where",
        description="A folder, or s3://bucket/prefix, with in/ below it. Empty: the one that the settings name",
        min_length=1,
        max_length=2_000,
        json_schema_extra={"position": 0},
    )


class BatchForm(BaseModel):
    """Make one job of every row of a manifest. Run again, it goes on where it stopped: rows that are done stay done."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Batch")

    manifest: str = Field(
        title="Manifest",
        description="Path, or s3://bucket/key, of a CSV file with the columns source, languages and options, or of "
        "JSON lines with these fields. Names in it are relative to it",
        min_length=1,
        max_length=2_000,
        examples=["/srv/studio/films.csv"],
        json_schema_extra={"position": 0},
    )
    at_once: int | None = Field(
        default=None,
        title="At once",
        description="How many jobs may be under way at a time. Empty: what the settings say",
        ge=1,
        le=MOST_AT_ONCE,
        json_schema_extra={"position": 1},
    )
    out: str | None = Field(
        default=None,
        title="Out",
        description="Folder, or s3://bucket/folder, for the results and the batch's report. Empty: one that is called "
        "as the manifest is, where the settings say",
        min_length=1,
        max_length=2_000,
        json_schema_extra={"position": 2},
    )
