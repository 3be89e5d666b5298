"""The one settings class: environment variables with the prefix ``SPEECHMILL_``, or ``speechmill.toml``, which has them
in small letters without the prefix, and none that there are not.

Every variable may instead name a file that holds its value, as ``SPEECHMILL_DATABASE_URL_FILE=/run/secrets/database``
does: so secrets stay out of environments, which are shown in many places.
"""

from __future__ import annotations

import os
import re
import tomllib
from contextlib import suppress
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from speechmill.errors import BadInput

TOML = "speechmill.toml"
LINK = re.compile(r"_SERVICE_(HOST|PORT)(_\w+)?$|_PORT_\d+_(TCP|UDP)(_\w+)?$|SPEECHMILL_PORT$")
"""Variables that Kubernetes sets for every service, by its name."""
COMPOSE = frozenset({"SPEECHMILL_MEDIA", "SPEECHMILL_MODELS"})
"""Variables of ``infra/compose.yaml`` alone."""
OTHERS_SECRETS = (
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING",
    "PREFECT_SERVER_API_AUTH_STRING",
)  # fmt: skip
"""Variables of those we work with that give access to something."""


class Settings(BaseSettings):
    """Where things are, and what is allowed."""

    model_config = SettingsConfigDict(env_prefix="SPEECHMILL_", toml_file=TOML, extra="forbid")

    home: Path = Field(default=Path("~/.local/share/speechmill"), description="folder for the embedded default")
    database_url: str = Field(default="", repr=False, description="SQLAlchemy URL; default: SQLite in the home folder")
    objects_url: str = Field(default="", description="file:///folder or s3://bucket/prefix; default: the home folder")
    s3_endpoint_url: str = Field(default="", description="S3 server other than Amazon's: http://127.0.0.1:8333")
    s3_public_url: str = Field(default="", description="the same server as browsers reach it, for links")
    s3_checksums: Literal["sha256", "supported", "required"] = Field(
        default="sha256", description="what goes with uploads; older servers need “required”"
    )
    s3_timeout_s: float = Field(default=60, gt=0, description="how long an S3 server may keep us waiting for bytes")
    cache_bytes: int = Field(default=20 * 2**30, gt=0, description="most that is kept on this machine of what is in S3")
    broker_url: str = Field(default="", repr=False, description="redis://… ; empty: work runs in this process")
    engine: str = "offline"
    mimo_model_dir: Path | None = None
    mimo_base_dir: Path | None = None
    mimo_tokenizer_dir: Path | None = None
    mimo_device: str = Field(
        default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto: a GPU if there is one"
    )
    mimo_dtype: Literal["auto", "float32", "bfloat16"] = Field(default="auto", description="auto: bfloat16 on a GPU")
    mimo_slots: int = Field(
        default=0, ge=0, le=1024, description="requests at once; 0: as many as fit into a GPU, up to 32; 4 on a CPU"
    )
    mimo_groups: int = Field(default=8192, ge=256, description="160 ms each: prompt and answer of one request")
    mimo_steady: bool = Field(default=True, description="a take is the same in any company; no: batches may change it")
    mimo_deadline_s: float = Field(default=3600, gt=0, description="wall clock for one request, waiting included")

    llm_base_url: str = Field(default="", description="OpenAI-compatible endpoint: http://localhost:11434/v1")
    llm_model: str = Field(default="", description="model to ask for at the endpoint")
    llm_api_key: SecretStr = Field(default=SecretStr(""), description="key of the endpoint, where it wants one")
    llm_timeout_s: float = Field(default=300, gt=0, description="wall clock for one reply of the endpoint")

    ui_port: int = Field(default=4200, ge=1, le=65535, description="port of the Prefect UI of `speechmill up`")
    ui_url: str = Field(default="", description="where a proxy shows that UI: https://studio.example")
    reports_port: int = Field(default=4280, ge=1, le=65535, description="port of the reports of `speechmill up`")
    reports_url: str = Field(default="", description="where reports are read, for links: http://host:4280")
    results: str = Field(default="", description="where jobs of forms leave results; default: out in the home folder")
    runs: int = Field(default=2, ge=1, description="jobs that `speechmill serve` runs at a time")
    approval_timeout_s: int = Field(default=7 * 86_400, ge=10, description="how long a job waits for an approval")
    heartbeat_s: int = Field(default=30, ge=30, description="seconds between signs of life of a run")
    lost_after_s: int = Field(default=90, ge=5, description="a run without a sign of life for this long has crashed")

    workers: int = Field(default=0, ge=0, description="threads for work in this process; 0: one per core")
    lease_s: float = Field(default=60, gt=0, description="a worker that is silent for so long has lost what it held")
    work_timeout_s: float = Field(default=600, gt=0, description="longest work on one line; beyond it a worker ends")
    shutdown_s: float = Field(default=45, ge=0, description="what a worker may finish in when it is told to stop")
    allow_https: bool = Field(default=False, description="whether documents and films may be fetched by https://")
    max_duration_s: float = Field(default=6 * 3600, gt=0, description="longest source")
    max_channels: int = Field(default=8, ge=1, description="most channels in one audio track")
    max_source_bytes: int = Field(default=200 * 2**30, gt=0, description="largest source file")
    tool_timeout_s: float = Field(default=4 * 3600, gt=0, description="wall clock for one run of an external program")

    drop_folder: str = Field(default="", description="what `speechmill up` watches; default: drop in the home folder")
    drop_targets: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="languages for films that are dropped without saying: es,pt-BR"
    )
    drop_interval_s: float = Field(default=10, ge=0.1, description="seconds between sweeps of a drop folder")
    drop_schedule_s: float = Field(
        default=0, ge=0, description="seconds between scheduled runs of the deployment ingest; 0: none"
    )
    notices_port: int = Field(
        default=0, ge=0, le=65535, description="where `ingest` is told that something was dropped; 0: off"
    )
    drop_min_age_s: float = Field(default=5, ge=0, description="how long a dropped file must stay the same; not in S3")
    sidecar_grace_s: float = Field(default=10, ge=0, description="how long a dropped film waits for its .job.json")
    drop_lease_s: float = Field(default=60, ge=1, description="a sweeper without a sign of life for this long is gone")
    drop_attempts: int = Field(default=3, ge=1, description="times a drop's job is started before it is given up")
    drop_jobs: int = Field(default=8, ge=1, description="jobs of one drop folder or batch that are under way at a time")

    batch_manifest: str = Field(default="", description="manifest that the deployment batch makes by a schedule")
    batch_cron: str = Field(default="", description="when, in cron's words: 0 2 * * * is two o'clock at night")
    batch_timezone: str = Field(default="UTC", description="whose clock that is: Europe/Madrid")

    source_roots: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="folders and s3:// prefixes that requests from outside may name, with commas between"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="least that is logged")
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="of services' logs; auto: sentences on a terminal, JSON lines elsewhere"
    )
    metrics_port: int = Field(default=0, ge=0, le=65535, description="where a service shows metrics and health; 0: off")
    metrics_host: str = Field(default="127.0.0.1", description="address for them; 0.0.0.0 in a container")

    @field_validator("source_roots", "drop_targets", mode="before")
    @classmethod
    def _listed(cls, given: object) -> object:
        return tuple(part.strip() for part in given.split(",") if part.strip()) if isinstance(given, str) else given

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, FromFiles(settings_cls), TomlConfigSettingsSource(settings_cls)

    def model_post_init(self, _: Any, /) -> None:
        self.home = self.home.expanduser().absolute()
        self.database_url = self.database_url or f"sqlite:///{self.home / 'catalog.db'}"
        self.drop_folder = self.drop_folder or str(self.home / "drop")
        self.results = self.results or str(self.home / "out")
        self.objects_url = self.objects_url or f"file://{self.home / 'objects'}"

    @property
    def drop_schedule_on(self) -> bool:
        """Whether the deployment ``ingest`` runs by a schedule: only for a drop folder that somebody has named."""
        return self.drop_schedule_s > 0 and self.drop_folder != str(self.home / "drop")

    @property
    def scratch(self) -> Path:
        """Where half-made things are; everything in it may be deleted when nothing runs."""
        return self.home / "scratch"

    def secrets(self) -> set[str]:
        """Every value known to this process that gives access to something, to be blotted out of logs and errors."""
        own = (getattr(self, name) for name in type(self).model_fields)
        values = {value.get_secret_value() for value in own if isinstance(value, SecretStr)}
        for url in (self.database_url, self.broker_url, self.llm_base_url, os.environ.get("PREFECT_API_URL", "")):
            with suppress(ValueError):
                password = urlsplit(url).password or ""
                values |= {password, unquote(password)}
        values |= {os.environ.get(name) or in_file(name) or "" for name in OTHERS_SECRETS}
        return values - {""}

    @property
    def cache(self) -> Path:
        """Where copies of what is in S3 are; everything in it may be deleted."""
        return self.home / "cache"

    @property
    def threads(self) -> int:
        """How many lines or parts are worked on at a time."""
        return self.workers or len(os.sched_getaffinity(0))


class FromFiles(PydanticBaseSettingsSource):
    """Values out of the files that ``SPEECHMILL_…_FILE`` name, less the newline at their end."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return in_file(f"SPEECHMILL_{field_name.upper()}"), field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def in_file(variable: str) -> str | None:
    """The value of a variable out of the file that ``…_FILE`` names, if that is set; raises ``BadInput`` naming it."""
    named = os.environ.get(f"{variable}_FILE")
    if not named:
        return None
    try:
        return Path(named).read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"the file that {variable}_FILE names cannot be read ({error})", hint="correct it") from None


@cache
def settings() -> Settings:
    """The settings of this process; raises ``BadInput`` naming the variable that is wrong."""
    _refuse_strangers()
    try:
        return Settings()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{Path(TOML).absolute()} is not TOML: {error}", hint="correct the file") from None
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "extra_forbidden":
            raise BadInput(
                f"{Path(TOML).absolute()} has “{first['loc'][0]}”, which is no setting",
                hint='write names as in docs/operations.md, in small letters: engine = "mimo"',
            ) from None
        name = "SPEECHMILL_" + "_".join(str(part) for part in first["loc"]).upper()
        raise BadInput(f"the setting {name} is wrong: {first['msg']}", hint="correct it and run again") from None


def _refuse_strangers() -> None:
    """Raise ``BadInput`` for a variable with our prefix that is no setting: it would be of no effect, unnoticed."""
    known = {f"SPEECHMILL_{name.upper()}" for name in Settings.model_fields}
    for variable in sorted(os.environ):
        if not variable.startswith("SPEECHMILL_") or LINK.search(variable):
            continue
        if variable.removesuffix("_FILE") not in known | COMPOSE:
            meant = get_close_matches(variable, known, 1)
            raise BadInput(
                f"the variable {variable} is no setting",
                hint=f"do you mean {meant[0]}?" if meant else "see docs/operations.md for those there are",
            )
