"""The outbox: jobs that are still to be started. A row is written with its job; a relay claims it, has the job started
and says so. A relay that is killed in between leaves a claim that runs out, and the job is started again by the same
name: at least once, so what starts it must take a second time for the first.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from speechmill.errors import LeaseLost
from speechmill.recipes import Json
from storage.catalog.database import now_s
from storage.catalog.jobs import BATCHES, RUN, JobTables
from storage.catalog.models import JobRow, OutboxRow
from storage.catalog.states import JobState

ADVISORY_LOCK = 0x5BEEC5  # any number that nobody else locks in this database
UNDER_WAY = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class Errand:
    """A job to start, claimed."""

    job_id: str
    name: str  # for who can tell by it that the job was started already
    attempt: int
    fence: int


class Outbox(JobTables):
    """The catalog's jobs that are still to be started."""

    def claim_errand(self, owner: str, seconds: float, place: str | None = None, at_once: int = 0) -> Errand | None:
        """The next job to start, the oldest first, those of batches last; of one place, or of any. ``None``: there is
        none that is due and free, or ``at_once`` jobs of the place are under way."""
        of_place = [OutboxRow.place == place] if place is not None else []
        free = sa.or_(OutboxRow.lease_until_s.is_(None), OutboxRow.lease_until_s < now_s())
        due = (
            sa.select(OutboxRow.job_id)
            .where(*of_place, OutboxRow.handed_at_s.is_(None), OutboxRow.not_before_s <= now_s(), free)
            .order_by(OutboxRow.name.startswith(BATCHES), OutboxRow.job_id)  # those of batches after the others
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with self._database.writing() as session:
            if at_once:
                if not self._database.is_sqlite:  # who counts and claims does it alone
                    session.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
                handed = sa.or_(OutboxRow.handed_at_s.is_not(None), OutboxRow.lease_until_s >= now_s())
                under_way = (
                    sa.select(sa.func.count())
                    .select_from(OutboxRow)
                    .join(JobRow, JobRow.id == OutboxRow.job_id)
                    .where(*of_place, handed, JobRow.state.in_(UNDER_WAY))
                )
                if (session.scalar(under_way) or 0) >= at_once:
                    return None
            job_id = session.scalar(due)
            claim = sa.update(OutboxRow).where(OutboxRow.job_id == job_id)
            claim = claim.values(owner=owner, lease_until_s=now_s() + seconds, fence=OutboxRow.fence + 1)
            gained = claim.returning(OutboxRow.job_id, OutboxRow.name, OutboxRow.attempts, OutboxRow.fence)
            row = None if job_id is None else session.execute(gained).one()
        return None if row is None else Errand(row.job_id, row.name, row.attempts, row.fence)

    def renew_errand(self, errand: Errand, seconds: float) -> None:
        """Keep a claim for some seconds from now; raises ``LeaseLost``."""
        with self._database.writing() as session:
            self._change_errand(session, errand, lease_until_s=now_s() + seconds)

    def errand_done(self, errand: Errand, run: str | None = None) -> None:
        """The job was started, or handed to Prefect, whose flow run is to do it; raises ``LeaseLost`` where somebody
        else is at it by now."""
        with self._database.writing() as session:
            job = self._job_row(session, errand.job_id)
            self._change_errand(session, errand, handed_at_s=now_s(), owner=None, lease_until_s=None)
            if run is not None and job.state == JobState.QUEUED:
                job.facts = {**job.facts, RUN: run}

    def errand_left(self, errand: Errand, wait_s: float = 0.0) -> None:
        """The job was not started; somebody is to try again, after some seconds."""
        with self._database.writing() as session:
            self._change_errand(session, errand, not_before_s=now_s() + wait_s, owner=None, lease_until_s=None)

    def send_again(self, job_id: str, wait_s: float, **detail: Json) -> None:
        """A job that has ended, in whatever way, is to be started once more, after some seconds; ``detail`` goes into
        the event. One that nobody has started yet stays as it is."""
        handed = sa.select(OutboxRow).where(OutboxRow.job_id == job_id, OutboxRow.handed_at_s.is_not(None))
        with self._database.writing() as session:
            job = self._job_row(session, job_id)
            row = session.scalars(handed.with_for_update()).one_or_none()
            if row is None:
                return
            self._move(session, job, JobState.QUEUED, **detail)
            row.handed_at_s, row.owner, row.lease_until_s = None, None, None
            row.attempts += 1
            row.since_s = row.not_before_s = self._now_s(session) + wait_s

    def attempts(self, job_id: str) -> int:
        """How often a job was to be started; 0 for one that is not of the outbox."""
        query = sa.select(OutboxRow.attempts).where(OutboxRow.job_id == job_id)
        with self._database.reading() as session:
            return session.scalar(query) or 0

    def errands_waiting(self, place: str) -> int:
        """How many jobs of a place are still to be started."""
        query = sa.select(sa.func.count()).where(OutboxRow.place == place, OutboxRow.handed_at_s.is_(None))
        with self._database.reading() as session:
            return session.scalar(query) or 0

    def _change_errand(self, session: Session, errand: Errand, **values: object) -> None:
        change = (
            sa.update(OutboxRow)
            .where(OutboxRow.job_id == errand.job_id, OutboxRow.fence == errand.fence, OutboxRow.handed_at_s.is_(None))
            .values(values)
            .returning(OutboxRow.job_id)
        )
        if session.scalar(change) is None:
            raise LeaseLost(f"job {errand.job_id} is started by another relay", hint="nothing was written")
