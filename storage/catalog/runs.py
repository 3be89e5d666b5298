"""Runs: a job is run by one process at a time, whatever machine that is on.

Who runs a job holds it for a time, by the database's clock, and renews that while it lives. Nobody else begins with the
job meanwhile; one whose time has run out may find that somebody has, and then writes nothing any more.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from speechmill.errors import Conflict, LeaseLost
from speechmill.recipes import Json
from storage.catalog.database import now_s
from storage.catalog.drops import publish_again
from storage.catalog.jobs import RUN, Job, JobTables, as_job
from storage.catalog.models import JobRow, OutboxRow, RunRow
from storage.catalog.states import CANCELLABLE, JobState

MOST_UNSURE = 200  # jobs that one look asks about


@dataclass(frozen=True, slots=True)
class Hold:
    """A job that a process runs."""

    job_id: str
    owner: str
    fence: int


@dataclass(frozen=True, slots=True)
class Unsure:
    """A job of which nobody says what becomes of it: it counts as running and there is no sign of life, or it was
    handed on, or given back, and nobody has begun with it."""

    job: Job
    handed_s_ago: float | None  # since it was handed on to be started; none where that was never to be done


class Runs(JobTables):
    """Who runs which of the catalog's jobs."""

    def begin_run(
        self, job_id: str, owner: str, seconds: float, *, dead: Collection[str] = (), run: str | None = None
    ) -> Hold:
        """Begin with a job, or go on with it: it is running, and held for some seconds from now. ``dead`` are owners
        that are known to live no more; ``run`` is Prefect's flow run that runs it.

        Raises ``Conflict`` while somebody else holds it, and for a job that is not to be run.
        """
        with self._database.writing() as session:
            job = self._job_row(session, job_id)
            row = session.get(RunRow, job_id, with_for_update=True)
            if row is None:
                row = RunRow(job_id=job_id, owner=None, lease_until_s=None, fence=0)
                session.add(row)
            now = self._now_s(session)
            if row.owner is not None and (row.lease_until_s or 0.0) >= now and row.owner not in dead:
                raise Conflict(
                    f"job {job_id} is running already, in process {row.owner.rpartition(':')[0]}",
                    hint="wait for it, or stop that process first",
                )
            self._move(session, job, JobState.RUNNING)
            if run is not None:
                job.facts = {**job.facts, RUN: run}
            row.owner, row.lease_until_s, row.fence = owner, now + seconds, row.fence + 1
            return Hold(job_id, owner, row.fence)

    def renew_run(self, hold: Hold, seconds: float) -> None:
        """Hold a job for some seconds from now; raises ``LeaseLost``."""
        with self._database.writing() as session:
            self._run_row(session, hold).lease_until_s = self._now_s(session) + seconds

    def end_run(self, hold: Hold, state: JobState, **detail: Json) -> None:
        """What became of a job that is run; ``detail`` goes into the event. It is held on, for who ran it to publish
        what came of it. Telling it twice is telling it once; raises ``LeaseLost`` where somebody else runs the job."""
        with self._database.writing() as session:
            job = self._job_row(session, hold.job_id)
            self._run_row(session, hold)
            if job.state != state:
                self._move(session, job, state, **detail)
                if state.is_completed:
                    publish_again(session, job.id)

    def leave_run(self, hold: Hold) -> None:
        """Let go of a job; where somebody else holds it by now nothing changes."""
        change = sa.update(RunRow).where(RunRow.job_id == hold.job_id, RunRow.fence == hold.fence)
        with self._database.writing() as session:
            session.execute(change.values(owner=None, lease_until_s=None))

    def run_was_lost(self, job_id: str, run: str, state: JobState, *, dead: bool, **detail: Json) -> bool:
        """What becomes of a job that this flow run of Prefect's has, or was to begin with, since the run has ended;
        whether it did. ``dead`` says that its process is known to be gone; else it must give no sign of life."""
        with self._database.writing() as session:
            job = self._job_row(session, job_id)
            if job.state not in CANCELLABLE or job.facts.get(RUN) != run:
                return False
            row = session.get(RunRow, job_id, with_for_update=True)
            if job.state == JobState.RUNNING and row is not None:
                if not dead and (row.lease_until_s or 0.0) >= self._now_s(session):
                    return False
                row.owner, row.lease_until_s, row.fence = None, None, row.fence + 1  # it may not write any more
            if state is JobState.CANCELLED:
                job.cancel_requested_at = job.cancel_requested_at or datetime.now(UTC)  # workers look for this
            self._move(session, job, state, **detail)
            return True

    def handed_in_vain(self, job_id: str, **detail: Json) -> bool:
        """A job that was handed on, and that nobody has begun with, has failed; whether that was so."""
        with self._database.writing() as session:
            job, row = self._job_row(session, job_id), session.get(OutboxRow, job_id)
            if job.state != JobState.QUEUED or row is None or row.handed_at_s is None:
                return False
            self._move(session, job, JobState.FAILED, **detail)
            return True

    def unsure(self) -> list[Unsure]:
        """Jobs of which somebody else must say what becomes of them, the latest first."""
        handed, has_run = OutboxRow.handed_at_s.is_not(None), JobRow.facts[RUN].as_string().is_not(None)
        silent = sa.or_(RunRow.lease_until_s.is_(None), RunRow.lease_until_s < now_s())
        running = sa.and_(JobRow.state == JobState.RUNNING, silent)
        queued = sa.and_(JobRow.state == JobState.QUEUED, sa.or_(handed, has_run))
        query = (
            sa.select(JobRow, (now_s() - OutboxRow.handed_at_s).label("handed_s_ago"))
            .outerjoin(RunRow, RunRow.job_id == JobRow.id)
            .outerjoin(OutboxRow, OutboxRow.job_id == JobRow.id)
            .where(sa.or_(running, queued))
            .order_by(JobRow.created_at.desc(), JobRow.id.desc())
            .limit(MOST_UNSURE)
        )
        with self._database.reading() as session:
            return [Unsure(as_job(row.JobRow), row.handed_s_ago) for row in session.execute(query)]

    def is_held(self, job_id: str) -> bool:
        """Whether somebody holds a job, and gives signs of life."""
        query = sa.select(RunRow.job_id).where(RunRow.job_id == job_id, RunRow.lease_until_s >= now_s())
        with self._database.reading() as session:
            return session.scalar(query) is not None

    def _run_row(self, session: Session, hold: Hold) -> RunRow:
        query = sa.select(RunRow).where(RunRow.job_id == hold.job_id, RunRow.fence == hold.fence)
        row = session.scalars(query.with_for_update()).one_or_none()
        if row is None or row.owner != hold.owner:
            raise LeaseLost(
                f"job {hold.job_id} was given to somebody else, since no sign of life came from here",
                hint="they go on with it; nothing was written",
            )
        return row
