"""Batches: what the rows of a manifest, which have a place of their own among the drops, are all together."""

from __future__ import annotations

import sqlalchemy as sa

from storage.catalog.drops import OVER
from storage.catalog.jobs import Job, JobTables, as_job
from storage.catalog.models import DropRow, JobRow, OutboxRow
from storage.catalog.states import DropState, JobState


class Batches(JobTables):
    """The catalog's batches, by the places of their rows."""

    def jobs_at(self, place: str) -> dict[str, Job]:
        """The jobs of what was dropped at a place, by their ids."""
        query = sa.select(JobRow).join(DropRow, DropRow.job_id == JobRow.id).where(DropRow.place == place)
        with self._database.reading() as session:
            return {row.id: as_job(row) for row in session.scalars(query)}

    def pulse(self, place: str) -> str:
        """Something that is another whenever a drop of a place or its job has changed: for who looks all the time."""
        query = (
            sa.select(
                DropRow.state, JobRow.state, sa.func.count(), sa.func.max(JobRow.updated_at), sa.func.sum(DropRow.fence)
            )
            .outerjoin(JobRow, JobRow.id == DropRow.job_id)
            .where(DropRow.place == place)
            .group_by(DropRow.state, JobRow.state)
            .order_by(DropRow.state, JobRow.state)
        )
        with self._database.reading() as session:
            return str(session.execute(query).all())

    def batch_goes_on(self, place: str) -> bool:
        """Whether something is still to come of the rows of a batch. Those that a person cancelled are over."""
        cancelled = sa.exists().where(JobRow.id == DropRow.job_id, JobRow.state == JobState.CANCELLED)
        handed = sa.exists().where(OutboxRow.job_id == DropRow.job_id, OutboxRow.handed_at_s.is_not(None))
        over = sa.or_(DropRow.state.in_(OVER), sa.and_(DropRow.state == DropState.ACCEPTED, cancelled, handed))
        query = sa.select(DropRow.id).where(DropRow.place == place, ~over).limit(1)
        with self._database.reading() as session:
            return session.scalar(query) is not None
