"""Drops: the ledger of what was put into drop folders, one row for each object as it was at one time.

Of any number of sweepers that see the same object one writes its row, and one gives it a job: a claim is gained by one
statement and runs out by the database's clock, and every change after it is made by who still holds it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from speechmill.errors import Conflict, LeaseLost
from speechmill.recipes import Json
from storage.catalog.database import now_s
from storage.catalog.jobs import WITHIN, JobTables, new_job_id
from storage.catalog.models import DropEventRow, DropRow, EventRow, JobRow, OutboxRow
from storage.catalog.states import DROP_MOVES, DropState, JobState

KEYS_A_QUERY = 500  # keys looked up by one statement
TRIES = 5  # ids of jobs are drawn by chance; so often another one is drawn
PUBLISHED_IN = "published_in"  # fact of a row of a batch: the drop folder that its delivery goes to
AGAIN = "again"  # fact of a drop: how often the same object was dropped once more
OVER = (DropState.DONE, DropState.QUARANTINED, DropState.GONE)
ENDED = (JobState.COMPLETED, JobState.COMPLETED_WITH_REVIEW, JobState.STALE, JobState.FAILED)


@dataclass(frozen=True, slots=True)
class Sighting:
    """An object as a listing has it."""

    key: str
    etag: str
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Drop:
    """A row of the ledger."""

    id: int
    place: str
    key: str
    etag: str
    size_bytes: int
    state: DropState
    job_id: str | None
    facts: dict[str, Any]
    reason: dict[str, Any] | None
    age_s: float  # since it was first seen like this, by the database's clock
    free: bool  # nobody has claimed it
    owner: str = ""
    fence: int = 0

    @property
    def name(self) -> str:
        """What it is called where a thing may be started once."""
        again = self.facts.get(AGAIN, 0)
        return f"{self.place}/{self.key}@{self.etag}" + (f"+{again}" if again else "")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job that a drop asks for."""

    drop: Drop
    kind: str
    request: dict[str, Any]
    fingerprint: str
    out_folder: str  # the job's results go to a folder in there
    facts: dict[str, Any] = field(default_factory=dict)
    job_facts: dict[str, Any] = field(default_factory=dict)
    started_by: str = ""  # the place whose relays start it, where that is not the drop's own
    called: str = ""  # the folder for the results; empty: by the job's id


class Drops(JobTables):
    """The catalog's drops."""

    def see(self, place: str, found: Sequence[Sighting]) -> list[Drop]:
        """The rows of what a listing has, new ones written for what is new. Rows of objects that had no job yet and
        have changed since are forgotten: only what stays the same counts."""
        wanted = {(each.key, each.etag) for each in found}
        rows = self._rows_of(place, [each.key for each in found])
        known = {(row.key, row.etag) for row in rows}
        new = [each for each in found if (each.key, each.etag) not in known]
        changed = [row.id for row in rows if row.state == DropState.SEEN and (row.key, row.etag) not in wanted]
        if new or changed:
            with self._database.writing() as session:
                for some in _parts(changed):
                    session.execute(sa.delete(DropRow).where(DropRow.id.in_(some), DropRow.state == DropState.SEEN))
                for part in _parts(new):
                    self._insert(session, place, part)
            rows = self._rows_of(place, [each.key for each in found])
        return [row for row in rows if (row.key, row.etag) in wanted]

    def forget_unseen(self, place: str, keys: Collection[str]) -> None:
        """Forget rows that had no job yet, of objects that are no longer there; ``keys`` are those that are."""
        query = sa.select(DropRow.id, DropRow.key).where(DropRow.place == place, DropRow.state == DropState.SEEN)
        with self._database.reading() as session:
            lost = [row.id for row in session.execute(query) if row.key not in keys]
        for some in _parts(lost):
            with self._database.writing() as session:
                session.execute(sa.delete(DropRow).where(DropRow.id.in_(some), DropRow.state == DropState.SEEN))

    def reopen(self, drop: Drop) -> None:
        """What was dealt with lies there again; of several who notice one reopens its row."""
        with self._database.writing() as session:
            query = sa.select(DropRow).where(
                DropRow.id == drop.id, DropRow.state.in_(OVER), DropRow.fence == drop.fence
            )
            row = session.scalars(query.with_for_update()).one_or_none()
            if row is None:
                return
            _change(session, row, DropState.SEEN, {"job": row.job_id})
            row.facts = {AGAIN: row.facts.get(AGAIN, 0) + 1}
            row.job_id, row.reason, row.fence = None, None, row.fence + 1
            row.first_seen_s = self._now_s(session)

    def claim_drops(self, ids: Sequence[int], state: DropState, owner: str, seconds: float, most: int) -> list[Drop]:
        """Claim up to ``most`` of these rows that are in a state and that nobody else has claimed. Rows that somebody
        is just claiming are passed over."""
        if not ids:
            return []
        free = (
            sa.select(DropRow.id)
            .where(DropRow.id.in_(ids), DropRow.state == state, _FREE)
            .order_by(DropRow.id)
            .limit(most)
            .with_for_update(skip_locked=True)
        )
        with self._database.writing() as session:
            gained = list(session.scalars(free))
            claim = sa.update(DropRow).where(DropRow.id.in_(gained))
            session.execute(claim.values(owner=owner, lease_until_s=now_s() + seconds, fence=DropRow.fence + 1))
            query = _SELECT.where(DropRow.id.in_(gained)).order_by(DropRow.id)
            return [_drop(row) for row in session.execute(query)]

    def renew_drop(self, drop: Drop, seconds: float) -> None:
        """Keep a claim for some seconds from now; raises ``LeaseLost``."""
        with self._database.writing() as session:
            self._held(session, drop).lease_until_s = self._now_s(session) + seconds

    def release_drop(self, drop: Drop) -> None:
        """Give a claim back; where somebody else has it by now nothing changes."""
        change = sa.update(DropRow).where(DropRow.id == drop.id, DropRow.fence == drop.fence)
        with self._database.writing() as session:
            session.execute(change.values(owner=None, lease_until_s=None))

    def accept(self, wanted: Sequence[Wanted]) -> list[str]:
        """Give claimed drops their jobs: the jobs, what is to be started and the rows are written together or not at
        all. The ids of the jobs, in order; raises ``LeaseLost``."""
        for _ in range(TRIES - 1):
            try:
                return self._accept(wanted)
            except sa.exc.IntegrityError:  # an id that was drawn twice
                continue
        return self._accept(wanted)

    def move_drop(
        self,
        drop: Drop,
        state: DropState,
        reason: dict[str, Any] | None = None,
        facts: dict[str, Any] | None = None,
        **detail: Json,
    ) -> None:
        """Change the state of a claimed drop and let go of it; ``reason`` and ``detail`` go into the event, ``facts``
        to what is known of it. Raises ``LeaseLost``, or ``Conflict`` for a move that is not in the table of moves."""
        with self._database.writing() as session:
            row = self._held(session, drop)
            _change(session, row, state, detail | ({"reason": reason} if reason else {}))
            row.reason, row.facts = reason or row.reason, {**row.facts, **(facts or {})}

    def moved_source(self, job_id: str, request: dict[str, Any], root: str) -> None:
        """A job's source lies elsewhere now, under ``root``, with what was dropped beside it; ``request`` has it."""
        with self._database.writing() as session:
            job = self._job_row(session, job_id)
            job.request = request
            if WITHIN in job.facts:
                job.facts = {**job.facts, WITHIN: list(dict.fromkeys((*job.facts[WITHIN], root)))}

    def drops(self, place: str, *states: DropState) -> list[Drop]:
        """Rows of a place, in the order they were first seen; of some states, or all."""
        query = _SELECT.where(DropRow.place == place).order_by(DropRow.id)
        if states:
            query = query.where(DropRow.state.in_(states))
        with self._database.reading() as session:
            return [_drop(row) for row in session.execute(query)]

    def drop(self, drop_id: int) -> Drop:
        """A row that there is."""
        with self._database.reading() as session:
            return _drop(session.execute(_SELECT.where(DropRow.id == drop_id)).one())

    def drop_of(self, job_id: str) -> Drop | None:
        """The drop that a job was made for."""
        with self._database.reading() as session:
            row = session.execute(_SELECT.where(DropRow.job_id == job_id).limit(1)).one_or_none()
        return None if row is None else _drop(row)

    def due_drops(self, place: str | None = None) -> list[int]:
        """Rows, of a place or of any, with which something is to be done: those that are rejected, and those whose job
        has ended and is not about to be started again."""
        handed = sa.exists().where(OutboxRow.job_id == DropRow.job_id, OutboxRow.handed_at_s.is_(None))
        ended = sa.exists().where(JobRow.id == DropRow.job_id, JobRow.state.in_(ENDED))
        accepted = sa.and_(DropRow.state == DropState.ACCEPTED, ended, ~handed)
        query = sa.select(DropRow.id).where(sa.or_(DropRow.state == DropState.REJECTED, accepted), _FREE)
        if place is not None:
            query = query.where(DropRow.place == place)
        with self._database.reading() as session:
            return list(session.scalars(query.order_by(DropRow.id)))

    def manifests(self, place: str) -> list[Drop]:
        """Manifests of a place whose batches are under way."""
        query = _SELECT.where(
            DropRow.place == place, DropRow.state == DropState.ACCEPTED, DropRow.job_id.is_(None)
        ).order_by(DropRow.id)
        with self._database.reading() as session:
            return [_drop(row) for row in session.execute(query)]

    def _rows_of(self, place: str, keys: Sequence[str]) -> list[Drop]:
        rows: list[Drop] = []
        with self._database.reading() as session:
            for some in _parts(list(dict.fromkeys(keys))):
                query = _SELECT.where(DropRow.place == place, DropRow.key.in_(some))
                rows.extend(_drop(row) for row in session.execute(query))
        return rows

    def _insert(self, session: Session, place: str, found: Sequence[Sighting]) -> None:
        insert = self._database.insert(DropRow).values(
            [
                {
                    "place": place,
                    "key": each.key,
                    "etag": each.etag,
                    "size_bytes": each.size_bytes,
                    "modified_at": each.modified_at,
                    "first_seen_s": now_s(),
                    "state": DropState.SEEN,
                    "facts": {},
                    "fence": 0,
                }
                for each in found
            ]
        )
        statement = insert.on_conflict_do_nothing(index_elements=["place", "key", "etag"]).returning(DropRow.id)
        for drop_id in session.scalars(statement):
            _note(session, drop_id, {"from": None, "to": DropState.SEEN})

    def _accept(self, wanted: Sequence[Wanted]) -> list[str]:
        now, ids = datetime.now(UTC), []
        with self._database.writing() as session:
            for each in wanted:
                row = self._held(session, each.drop)
                job_id = new_job_id()
                while job_id in ids:
                    job_id = new_job_id()
                ids.append(job_id)
                session.add(
                    JobRow(
                        id=job_id,
                        kind=each.kind,
                        state=JobState.QUEUED,
                        fingerprint=each.fingerprint,
                        request=each.request,
                        facts={**each.job_facts, "dropped": each.drop.name},
                        out=f"{each.out_folder}/{each.called or job_id}",
                        created_at=now,
                        updated_at=now,
                        cancel_requested_at=None,
                    )
                )
                session.flush()
                session.add(
                    EventRow(
                        job_id=job_id,
                        at=now,
                        kind="state",
                        detail={"from": None, "to": JobState.QUEUED, "dropped": each.drop.name},
                    )
                )
                session.add(
                    OutboxRow(
                        job_id=job_id,
                        place=each.started_by or each.drop.place,
                        name=each.drop.name,
                        attempts=1,
                        since_s=now_s(),
                        not_before_s=0.0,
                        handed_at_s=None,
                        owner=None,
                        lease_until_s=None,
                        fence=0,
                    )
                )
                row.job_id, row.facts = job_id, {**row.facts, **each.facts}
                _change(session, row, DropState.ACCEPTED, {"job": job_id})
        return ids

    def _held(self, session: Session, drop: Drop) -> DropRow:
        """The row of a claim that still holds."""
        query = sa.select(DropRow).where(
            DropRow.id == drop.id, DropRow.fence == drop.fence, DropRow.owner == drop.owner
        )
        row = session.scalars(query.with_for_update()).one_or_none()
        if row is None:
            raise LeaseLost(f"{drop.key} is no longer ours", hint="another sweeper has it; nothing was written")
        return row


def publish_again(session: Session, job_id: str) -> None:
    """A job has made again what a drop folder has of it: its drop is as it was before that was published."""
    row = session.scalars(sa.select(DropRow).where(DropRow.job_id == job_id).with_for_update()).one_or_none()
    if row is not None and row.state == DropState.DONE and "://" in str(row.facts.get(PUBLISHED_IN, row.place)):
        _change(session, row, DropState.ACCEPTED, {"job": job_id, "reason": "it was made again"})


def _change(session: Session, row: DropRow, state: DropState, detail: dict[str, Any]) -> None:
    """The only way a drop changes its state; the event is written with it or not at all."""
    old = DropState(row.state)
    if state not in DROP_MOVES[old]:
        possible = ", ".join(sorted(DROP_MOVES[old])) or "nothing else"
        raise Conflict(f"{row.key} is {old} and cannot become {state}", hint=f"it can become {possible}")
    row.state, row.owner, row.lease_until_s = state, None, None
    _note(session, row.id, {"from": old, "to": state, **detail})


def _note(session: Session, drop_id: int, detail: dict[str, Any]) -> None:
    session.add(DropEventRow(drop_id=drop_id, at=datetime.now(UTC), kind="state", detail=detail))


def _parts(whole: Sequence[Any]) -> list[Sequence[Any]]:
    return [whole[at : at + KEYS_A_QUERY] for at in range(0, len(whole), KEYS_A_QUERY)]


def _drop(row: sa.Row[Any]) -> Drop:
    return Drop(
        id=row.id,
        place=row.place,
        key=row.key,
        etag=row.etag,
        size_bytes=row.size_bytes,
        state=DropState(row.state),
        job_id=row.job_id,
        facts=row.facts,
        reason=row.reason,
        age_s=row.age_s,
        free=row.free,
        owner=row.owner or "",
        fence=row.fence,
    )


_FREE = sa.or_(DropRow.lease_until_s.is_(None), DropRow.lease_until_s < now_s())
_SELECT = sa.select(
    DropRow.id,
    DropRow.place,
    DropRow.key,
    DropRow.etag,
    DropRow.size_bytes,
    DropRow.state,
    DropRow.job_id,
    DropRow.facts,
    DropRow.reason,
    DropRow.owner,
    DropRow.fence,
    (now_s() - DropRow.first_seen_s).label("age_s"),
    _FREE.label("free"),
)
