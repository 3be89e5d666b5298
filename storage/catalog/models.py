"""The tables. Times of day are UTC, times in a programme whole samples at 48 kHz, states words with a CHECK."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from storage.catalog.states import DropState, JobState, OrderState

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Every constraint has a name, since SQLite can only be migrated by rebuilding tables from named parts."""


class Utc(TypeDecorator[datetime]):
    """A time of day in UTC, on databases that keep the time zone and on SQLite, which drops it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Document = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {datetime: Utc(), dict[str, Any]: Document, list[Any]: Document, float: Double()}  # noqa: RUF012


def _one_of(column: str, words: Iterable[str]) -> CheckConstraint:
    choices = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({choices})", name=column)


class JobRow(Base):
    __tablename__ = "jobs"
    __table_args__ = (_one_of("state", JobState), Index(None, "fingerprint", "created_at"), Index(None, "created_at"))

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    state: Mapped[str]
    fingerprint: Mapped[str]  # equal for requests that ask for the same
    request: Mapped[dict[str, Any]]
    facts: Mapped[dict[str, Any]]  # what was found out on the way
    out: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    cancel_requested_at: Mapped[datetime | None]


class RunRow(Base):
    """Who runs a job; a row of a job that nobody runs has no owner."""

    __tablename__ = "runs"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    owner: Mapped[str | None]
    lease_until_s: Mapped[float | None]  # seconds since 1970 on the database's clock
    fence: Mapped[int]  # one more with each run: who holds an older number has lost


class LineRow(Base):
    __tablename__ = "lines"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    language: Mapped[str] = mapped_column(primary_key=True)
    line_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    speaker: Mapped[str]
    text: Mapped[str]
    spoken: Mapped[str]
    style: Mapped[str]
    start_samples: Mapped[int | None] = mapped_column(BigInteger)  # the anchor
    end_samples: Mapped[int | None] = mapped_column(BigInteger)
    words: Mapped[list[Any]]  # [text, start_samples, end_samples, confidence] of each
    doubts: Mapped[list[Any]]
    source: Mapped[str]  # digest of what the text was made from: an edit holds until it changes
    revision: Mapped[int]
    edited: Mapped[bool]
    seed: Mapped[int]  # one more each time a person asks for another take of the same words


class VoiceRow(Base):
    __tablename__ = "voices"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    language: Mapped[str] = mapped_column(primary_key=True)
    speaker: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    engine: Mapped[str]
    settings: Mapped[dict[str, Any]]
    reference: Mapped[str | None]  # digest of the recording
    consent: Mapped[dict[str, Any] | None]


class TakeRow(Base):
    __tablename__ = "takes"
    __table_args__ = (
        ForeignKeyConstraint(
            ["job_id", "language", "line_id"],
            ["lines.job_id", "lines.language", "lines.line_id"],
            ondelete="CASCADE",
        ),
    )

    job_id: Mapped[str] = mapped_column(primary_key=True)
    language: Mapped[str] = mapped_column(primary_key=True)
    line_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    recipe: Mapped[str]
    audio: Mapped[str | None]  # digest
    measured: Mapped[dict[str, Any] | None]
    verdict: Mapped[str]
    reasons: Mapped[list[Any]]


class OrderRow(Base):
    __tablename__ = "orders"
    __table_args__ = (_one_of("state", OrderState), Index(None, "round", "state"))

    # The language comes last: a message, which does not name it, finds its order by what stands before.
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    item: Mapped[str] = mapped_column(primary_key=True)  # a line, or a chunk of the source
    number: Mapped[int] = mapped_column(primary_key=True)
    language: Mapped[str] = mapped_column(primary_key=True)
    recipe: Mapped[str]
    payload: Mapped[dict[str, Any]]  # what whoever does it needs to know
    round: Mapped[str]  # orders that are waited for together
    state: Mapped[str]
    attempts: Mapped[int]
    owner: Mapped[str | None]
    # Seconds since 1970 on the database's clock, so that workers' clocks may differ.
    lease_until_s: Mapped[float | None]
    ordered_s: Mapped[float]
    send_at_s: Mapped[float | None]  # when a message should go out; none while one is out
    fence: Mapped[int]  # one more with each lease: who holds an older number has lost
    tally: Mapped[dict[str, Any]]  # what was made and reused
    error: Mapped[str | None]


class ArtifactRow(Base):
    __tablename__ = "artifacts"

    recipe: Mapped[str] = mapped_column(primary_key=True)
    operation: Mapped[str]
    sha256: Mapped[str] = mapped_column(index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    made_at: Mapped[datetime]


class UseRow(Base):
    __tablename__ = "uses"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    recipe: Mapped[str] = mapped_column(ForeignKey("artifacts.recipe"), primary_key=True, index=True)
    used_at_s: Mapped[float]  # seconds since 1970 on the database's clock
    let_go_at_s: Mapped[float | None]  # when a complete run of the job did without it


class AnnouncementRow(Base):
    __tablename__ = "announcements"

    engine: Mapped[str] = mapped_column(primary_key=True)
    told: Mapped[dict[str, Any]]  # of each ability, what a flow must know of it
    announced_at: Mapped[datetime]


class DeliveryRow(Base):
    __tablename__ = "deliveries"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    language: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    outputs: Mapped[dict[str, Any]]
    checks: Mapped[list[Any]]
    updated_at: Mapped[datetime]


class EventRow(Base):
    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime]
    kind: Mapped[str]
    detail: Mapped[dict[str, Any]]


class DropRow(Base):
    __tablename__ = "drops"
    __table_args__ = (
        UniqueConstraint("place", "key", "etag"),
        _one_of("state", DropState),
        Index(None, "place", "state"),
        Index(None, "job_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    place: Mapped[str]
    key: Mapped[str]
    etag: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    modified_at: Mapped[datetime]
    first_seen_s: Mapped[float]  # seconds since 1970 on the database's clock
    state: Mapped[str]
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    facts: Mapped[dict[str, Any]]  # what lies beside it and belongs to it
    reason: Mapped[dict[str, Any] | None]
    owner: Mapped[str | None]
    lease_until_s: Mapped[float | None]
    fence: Mapped[int]  # one more with each claim: who holds an older number has lost


class DropEventRow(Base):
    __tablename__ = "drop_events"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    drop_id: Mapped[int] = mapped_column(ForeignKey("drops.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime]
    kind: Mapped[str]
    detail: Mapped[dict[str, Any]]


class OutboxRow(Base):
    __tablename__ = "outbox"
    __table_args__ = (Index(None, "place", "handed_at_s"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    place: Mapped[str]
    name: Mapped[str]  # whoever starts the job twice by this name starts it once
    attempts: Mapped[int]
    since_s: Mapped[float]  # since when it waits to be handed on: seconds since 1970 on the database's clock
    not_before_s: Mapped[float]  # seconds since 1970 on the database's clock
    handed_at_s: Mapped[float | None]
    owner: Mapped[str | None]
    lease_until_s: Mapped[float | None]
    fence: Mapped[int]
