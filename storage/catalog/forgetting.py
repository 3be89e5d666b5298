"""Forgetting: jobs that ended long ago, with their lines, takes, orders and events, and the rows of what was dropped.
What was delivered stays where it lies; artifacts that no other job needs are removed by the next clearing up.

Kept for good is what somebody may still go on with (a line that was edited, a file that still lies in ``in/``), and the
digests that were delivered: they alone know which documents were heard.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from storage.catalog.drops import OVER
from storage.catalog.jobs import JobTables
from storage.catalog.models import DeliveryRow, DropEventRow, DropRow, JobRow, OutboxRow
from storage.catalog.states import JobState

ENDED = (JobState.COMPLETED, JobState.COMPLETED_WITH_REVIEW, JobState.FAILED, JobState.CANCELLED)
TOGETHER = 500  # rows of drops that one statement forgets


class Forgetting(JobTables):
    """What the catalog need not know any more."""

    def old_jobs(self, before: datetime) -> list[str]:
        """Jobs that ended before a time, and are nobody's business any more; the oldest first."""
        query = sa.select(JobRow.id).where(*_forgettable(before)).order_by(JobRow.updated_at)
        with self._database.reading() as session:
            return list(session.scalars(query))

    def forget_job(self, job_id: str, before: datetime) -> bool:
        """Forget one, unless somebody has come back to it meanwhile. All that is known of it goes with it."""
        forget = sa.delete(JobRow).where(JobRow.id == job_id, *_forgettable(before)).returning(JobRow.id)
        with self._database.writing() as session:
            return session.scalar(forget) is not None

    def forget_drops(self, before: datetime, *, dry_run: bool = False) -> int:
        """Forget rows of what was dropped that have been over since before a time and have no job (any more); how many.
        Something that lies there again is new then."""
        later = sa.exists().where(DropEventRow.drop_id == DropRow.id, DropEventRow.at >= before)
        old = sa.select(DropRow.id).where(DropRow.state.in_(OVER), DropRow.job_id.is_(None), ~later)
        if dry_run:
            with self._database.reading() as session:
                return session.scalar(sa.select(sa.func.count()).select_from(old.subquery())) or 0
        count = 0
        while True:
            with self._database.writing() as session:
                some = sa.delete(DropRow).where(DropRow.id.in_(old.limit(TOGETHER))).returning(DropRow.id)
                forgotten = len(session.scalars(some).all())
            count += forgotten
            if forgotten < TOGETHER:
                return count


def _forgettable(before: datetime) -> list[sa.ColumnElement[bool]]:
    waits = sa.exists().where(OutboxRow.job_id == JobRow.id, OutboxRow.handed_at_s.is_(None))
    lies_there = sa.exists().where(DropRow.job_id == JobRow.id, DropRow.state.not_in(OVER))
    delivered = sa.exists().where(DeliveryRow.job_id == JobRow.id)
    digest = sa.and_(JobRow.request["collected"].as_string().is_not(None), delivered)
    return [JobRow.state.in_(ENDED), JobRow.updated_at < before, ~waits, ~lies_there, ~digest]
