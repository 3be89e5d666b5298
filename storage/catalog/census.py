"""A census: how many jobs, orders and dropped files there are, and how long the oldest has waited. For those who watch
the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from storage.catalog.database import now_s
from storage.catalog.jobs import JobTables
from storage.catalog.models import DropRow, JobRow, OrderRow, OutboxRow
from storage.catalog.states import DropState, JobState, OrderState


@dataclass(frozen=True, slots=True)
class Census:
    """What there is at one moment."""

    jobs: Mapping[JobState, int]
    orders: Mapping[OrderState, int]
    drops: Mapping[DropState, int]
    outbox_lag_s: float  # how long the oldest accepted job has waited to be handed on, where none of its place is run
    oldest_order_s: Mapping[str, float]  # by engine, how long the oldest order has waited; none where none waits


class Counting(JobTables):
    """Counts over the whole catalog."""

    def check(self) -> None:
        """Raise ``Unavailable`` where the database does not answer."""
        with self._database.reading() as session:
            session.execute(sa.select(1))

    def census(self) -> Census:
        """Count everything; every state is there, also where nothing is in it."""
        with self._database.reading() as session:
            jobs = dict(session.execute(_JOBS).tuples().all())
            orders = dict(session.execute(_ORDERS).tuples().all())
            drops = dict(session.execute(_DROPS).tuples().all())
            lag_s = session.scalar(_LAG)
            oldest = session.execute(_OLDEST).all()
        return Census(
            {state: jobs.get(state, 0) for state in JobState},
            {state: orders.get(state, 0) for state in OrderState},
            {state: drops.get(state, 0) for state in DropState},
            max(0.0, lag_s or 0.0),
            {row.engine or "": max(0.0, row.oldest_s) for row in oldest},
        )


_JOBS = sa.select(JobRow.state, sa.func.count()).group_by(JobRow.state)
_ORDERS = sa.select(OrderRow.state, sa.func.count()).group_by(OrderRow.state)
_DROPS = sa.select(DropRow.state, sa.func.count()).group_by(DropRow.state)
_HANDED = OutboxRow.handed_at_s.is_not(None)
# Of one place only so many jobs are under way at a time: those that wait for others to end are not forgotten.
_BUSY = (
    sa.select(OutboxRow.place)
    .join(JobRow, JobRow.id == OutboxRow.job_id)
    .where(sa.or_(JobRow.state == JobState.RUNNING, sa.and_(JobRow.state == JobState.QUEUED, _HANDED)))
)
_LAG = sa.select(now_s() - sa.func.min(OutboxRow.since_s)).where(~_HANDED, OutboxRow.place.not_in(_BUSY))
_ENGINE = OrderRow.payload["engine"].as_string().label("engine")
_OLDEST = (
    sa.select(_ENGINE, (now_s() - sa.func.min(OrderRow.ordered_s)).label("oldest_s"))
    .where(OrderRow.state == OrderState.ORDERED)
    .group_by(_ENGINE)
)
