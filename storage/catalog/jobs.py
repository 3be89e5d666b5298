"""Jobs: what was asked, where it stands, and the events on the way."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from speechmill.errors import Conflict, UnknownName
from speechmill.recipes import Json
from storage.catalog.database import Database, now_s
from storage.catalog.models import EventRow, JobRow
from storage.catalog.states import CANCELLABLE, JobState, check_move

RECENT = 5  # jobs that a hint names
BATCHES = "batch:"  # begins the places of rows of batches, and the names of their errands
BATCH = "batch"  # fact of a job that is one of many: the batch; its work waits behind what a person asked for alone
RUN = "run"  # fact of a job that is run, or was given back by who ran it: the id of Prefect's flow run
WAITS_FOR = "waits_for"  # fact of a running job that waits for a person: what is to be approved, and where it is seen
PUBLISHED_TO = "published_to"  # fact of a job whose results go to a bucket: where
WITHIN = "within"  # fact of a job that somebody outside asked for: the roots of what its files may name
_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"  # base 32 without letters that are taken for digits


@dataclass(frozen=True, slots=True)
class Job:
    """What a user asked for."""

    id: str
    kind: str
    state: JobState
    fingerprint: str
    request: dict[str, Any]
    facts: dict[str, Any]
    out: str
    created_at: datetime
    updated_at: datetime
    cancel_requested: bool


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job."""

    at: datetime
    kind: str
    detail: dict[str, Any]


def new_job_id() -> str:
    """Short, safe in file names, sortable by time to the millisecond: ``20261122-143705-f3k9q``."""
    now = datetime.now(UTC)
    tick = now.microsecond * 1024 // 1_000_000
    tail = secrets.randbelow(32**3)
    digits = [_CROCKFORD[(tick >> 5) & 31], _CROCKFORD[tick & 31]]
    digits += [_CROCKFORD[(tail >> shift) & 31] for shift in (10, 5, 0)]
    return f"{now:%Y%m%d-%H%M%S}-{''.join(digits)}"


class JobTables:
    """What every part of the catalog does with jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _job_row(self, session: Session, job_id: str) -> JobRow:
        """A job's row, locked where the transaction writes (SQLite has locked everything already)."""
        query = sa.select(JobRow).where(JobRow.id == job_id).with_for_update()
        row = session.scalars(query).one_or_none()
        if row is None:
            raise self._unknown(session, job_id)
        return row

    def _unknown(self, session: Session, job_id: str) -> UnknownName:
        recent = session.scalars(sa.select(JobRow.id).order_by(JobRow.created_at.desc()).limit(RECENT)).all()
        hint = f"the latest are {', '.join(recent)}" if recent else "none was started yet"
        return UnknownName(f"there is no job “{job_id}”", hint=hint)

    def _move(self, session: Session, row: JobRow, state: JobState, **detail: Json) -> None:
        """The only way a job changes its state; the event is written with it or not at all."""
        old = JobState(row.state)
        check_move(row.id, old, state)
        row.state, row.updated_at = state, datetime.now(UTC)
        if state in (JobState.RUNNING, JobState.QUEUED):
            given_back = old is JobState.RUNNING and state is JobState.QUEUED  # and its run is to go on with it
            over = (WAITS_FOR,) if given_back else (RUN, WAITS_FOR)
            row.cancel_requested_at = None
            row.facts = {name: fact for name, fact in row.facts.items() if name not in over}
        self._happened(session, row.id, "state", {"from": old, "to": state, **detail})

    def _now_s(self, session: Session) -> float:
        """Seconds since 1970 by the database's clock."""
        now: float | None = session.scalar(sa.select(now_s()))
        assert now is not None
        return now

    def _happened(self, session: Session, job_id: str, kind: str, detail: dict[str, Any]) -> None:
        session.add(EventRow(job_id=job_id, at=datetime.now(UTC), kind=kind, detail=detail))


class Jobs(JobTables):
    """The catalog's jobs and events."""

    def add_job(
        self,
        kind: str,
        request: dict[str, Any],
        fingerprint: str,
        out: str = "",
        *,
        job_id: str | None = None,
        facts: Mapping[str, Json] | None = None,
    ) -> Job:
        """A new job, queued. ``job_id`` is for who needs the name first (``new_job_id()``), to choose ``out`` by it."""
        now = datetime.now(UTC)
        row = JobRow(
            id=job_id or new_job_id(),
            kind=kind,
            state=JobState.QUEUED,
            fingerprint=fingerprint,
            request=request,
            facts=dict(facts or {}),
            out=out,
            created_at=now,
            updated_at=now,
            cancel_requested_at=None,
        )
        with self._database.writing() as session:
            session.add(row)
            session.flush()
            self._happened(session, row.id, "state", {"from": None, "to": JobState.QUEUED})
        return as_job(row)

    def job(self, job_id: str) -> Job:
        """A job; raises ``UnknownName`` whose hint lists the latest."""
        with self._database.reading() as session:
            row = session.get(JobRow, job_id)
            if row is None:
                raise self._unknown(session, job_id)
            return as_job(row)

    def jobs(self, limit: int = 50) -> list[Job]:
        """Jobs, the latest first."""
        query = sa.select(JobRow).order_by(JobRow.created_at.desc(), JobRow.id.desc()).limit(limit)
        with self._database.reading() as session:
            return [as_job(row) for row in session.scalars(query)]

    def jobs_of(self, kind: str, source: str) -> list[Job]:
        """All jobs of a kind whose request names the source, the earliest first."""
        query = (
            sa.select(JobRow)
            .where(JobRow.kind == kind, JobRow.request["source"].as_string() == source)
            .order_by(JobRow.created_at, JobRow.id)
        )
        with self._database.reading() as session:
            return [as_job(row) for row in session.scalars(query)]

    def unfinished_job(self, fingerprint: str) -> Job | None:
        """The latest job that asked for the same, unless it is completed: the one to go on with."""
        query = (
            sa.select(JobRow)
            .where(JobRow.fingerprint == fingerprint)
            .order_by(JobRow.created_at.desc(), JobRow.id.desc())
            .limit(1)
        )
        with self._database.reading() as session:
            row = session.scalars(query).one_or_none()
            return None if row is None or JobState(row.state).is_completed else as_job(row)

    def move_job(self, job_id: str, state: JobState, **detail: Json) -> Job:
        """Change a job's state; ``detail`` goes into the event. Raises ``Conflict`` for a move that the table of
        moves does not have."""
        with self._database.writing() as session:
            row = self._job_row(session, job_id)
            self._move(session, row, state, **detail)
            return as_job(row)

    def set_job_facts(self, job_id: str, **facts: Json) -> Job:
        """Add to what is known of a job; a fact that was known is replaced."""
        with self._database.writing() as session:
            row = self._job_row(session, job_id)
            row.facts = {**row.facts, **facts}
            row.updated_at = datetime.now(UTC)
            return as_job(row)

    def wait_for_approval(self, job_id: str, of: str, folder: str = "") -> None:
        """Note that a running job waits for a person to approve something, which is in ``folder`` where it is a
        delivery. Lines may be edited until ``wait_no_more``."""
        with self._database.writing() as session:
            row = self._job_row(session, job_id)
            row.facts = {**row.facts, WAITS_FOR: {"of": of, "folder": folder}}
            row.updated_at = datetime.now(UTC)
            self._happened(session, job_id, "waits", {"for": f"approval of {of}"})

    def wait_no_more(self, job_id: str) -> None:
        """A running job goes on, or ends; its lines stay as they are now."""
        with self._database.writing() as session:
            row = self._job_row(session, job_id)
            row.facts = {name: fact for name, fact in row.facts.items() if name != WAITS_FOR}
            row.updated_at = datetime.now(UTC)

    def request_cancel(self, job_id: str) -> None:
        """Ask a job to stop. Asking twice is asking once; a job that is not under way raises ``Conflict``."""
        with self._database.writing() as session:
            row = self._job_row(session, job_id)
            if JobState(row.state) not in CANCELLABLE:
                raise Conflict(f"job {job_id} is {row.state} and cannot be stopped", hint="there is nothing to stop")
            if row.cancel_requested_at is None:
                row.cancel_requested_at = datetime.now(UTC)
                self._happened(session, job_id, "cancel-requested", {})

    def cancel_requested(self, job_id: str) -> bool:
        """Whether somebody asked the job to stop since it was last started. Cheap enough to ask before every line."""
        return self._database.ask(_CANCEL_REQUESTED, {"a_job": job_id}) is not None

    def add_event(self, job_id: str, kind: str, **detail: Json) -> None:
        """Note that something happened to a job."""
        with self._database.writing() as session:
            self._job_row(session, job_id)
            self._happened(session, job_id, kind, detail)

    def events(self, job_id: str) -> Sequence[Event]:
        """What happened to a job, in order."""
        query = sa.select(EventRow).where(EventRow.job_id == job_id).order_by(EventRow.id)
        with self._database.reading() as session:
            return [Event(row.at, row.kind, row.detail) for row in session.scalars(query)]


def as_job(row: JobRow) -> Job:
    """What a row says."""
    return Job(
        id=row.id,
        kind=row.kind,
        state=JobState(row.state),
        fingerprint=row.fingerprint,
        request=row.request,
        facts=row.facts,
        out=row.out,
        created_at=row.created_at,
        updated_at=row.updated_at,
        cancel_requested=row.cancel_requested_at is not None,
    )


_CANCEL_REQUESTED = sa.select(JobRow.id).where(
    JobRow.id == sa.bindparam("a_job"), JobRow.cancel_requested_at.is_not(None)
)
