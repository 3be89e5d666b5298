"""Takes: what is ordered, who is making it, what came of it. Leases see to it that each is made and written once.

Work on a queue: ``order_takes``, then each worker ``lease``s a take, makes it and ``finish``es it. Work in this
process: ``order_takes``, make them, ``put_takes``. Whoever waits asks ``counts``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from speechmill.errors import LeaseLost, UnknownName
from speechmill.recipes import Digest
from speechmill.takes import Measurements, Reason, Take, Verdict
from storage.catalog.database import Database, now_s
from storage.catalog.jobs import JobTables
from storage.catalog.models import LineRow, TakeRow
from storage.catalog.states import TakeState

MOST_ATTEMPTS = 3  # a take that costs three workers their lives is not tried on a fourth


@dataclass(frozen=True, slots=True)
class TakeKey:
    """Which take: a line's first, second … try."""

    job_id: str
    language: str
    line_id: str
    number: int = 1


@dataclass(frozen=True, slots=True)
class Order:
    """A take that waits to be made."""

    key: TakeKey
    recipe: Digest
    attempts: int


class Takes(JobTables):
    """The catalog's takes."""

    def order_takes(self, job_id: str, language: str, orders: Sequence[tuple[str, int, Digest]]) -> None:
        """Order takes: (line id, number, recipe). Ordering the same again changes nothing, but gives one that was
        given up another chance. Another recipe begins anew: what was made by the old one and the line's later takes
        are forgotten, and whoever still makes it has lost the lease."""
        with self._database.writing() as session:
            self._job_row(session, job_id)
            mine = (TakeRow.job_id == job_id) & (TakeRow.language == language)
            query = sa.select(TakeRow.line_id, TakeRow.number, TakeRow.recipe, TakeRow.state).where(mine)
            old = {(line_id, number): (recipe, state) for line_id, number, recipe, state in session.execute(query)}
            begin, again = [], []
            for line_id, number, recipe in orders:
                known = old.get((line_id, number))
                if known is None or known[0] != recipe or known[1] == TakeState.FAILED:
                    begin.append(_ordered(job_id, language, line_id, number, recipe))
                if known is not None and known[0] != recipe:
                    again.append((line_id, number))
            for line_id, number in again:
                session.execute(sa.delete(TakeRow).where(mine, TakeRow.line_id == line_id, TakeRow.number > number))
            if begin:
                insert = self._database.insert(TakeRow)
                fresh: dict[str, Any] = {name: insert.excluded[name] for name in begin[0] if name not in _KEY}
                fresh["fence"] = TakeRow.fence + 1
                try:
                    session.execute(insert.on_conflict_do_update(index_elements=_KEY, set_=fresh), begin)
                except sa.exc.IntegrityError:
                    raise UnknownName(
                        f"a take is ordered of a line that job {job_id} does not have in {language}",
                        hint=f"`speechmill lines {job_id}` lists them",
                    ) from None

    def put_takes(self, job_id: str, language: str, takes: Sequence[Take]) -> None:
        """Write takes that were made in this process, all or none. Each must be ordered by the same recipe, else
        ``LeaseLost``: the line was changed meanwhile. A worker that still holds one has lost it."""
        if not takes:
            return
        mine = (TakeRow.job_id == job_id) & (TakeRow.language == language)
        with self._database.writing() as session:
            query = sa.select(TakeRow.line_id, TakeRow.number, TakeRow.recipe).where(mine).with_for_update()
            ordered = set(session.execute(query).tuples())
            for take in takes:
                if (take.line_id, take.number, take.recipe) not in ordered:
                    raise LeaseLost(
                        f"take {take.number} of line {take.line_id} is no longer wanted as it was made",
                        hint="the line was changed meanwhile; run the job again",
                    )
            session.connection().execute(
                sa.update(TakeRow)
                .where(
                    mine,
                    TakeRow.line_id == sa.bindparam("take_line"),
                    TakeRow.number == sa.bindparam("take_number"),
                )
                .values(
                    {name: sa.bindparam(f"take_{name}") for name in _done(takes[0])}
                    | {"owner": None, "lease_until_s": None, "fence": TakeRow.fence + 1}
                ),
                [
                    {"take_line": take.line_id, "take_number": take.number}
                    | {f"take_{name}": value for name, value in _done(take).items()}
                    for take in takes
                ],
            )

    def lease(self, key: TakeKey, owner: str, seconds: float) -> Lease | None:
        """Take on the making of a take for some seconds. ``None``: it is done, given up, not ordered, or somebody else
        is at it. A take whose last lease ran out too often is given up here."""
        with self._database.writing() as session:
            run_out = (TakeRow.state == TakeState.LEASED) & (TakeRow.lease_until_s < now_s())
            free = sa.or_(TakeRow.state == TakeState.ORDERED, run_out)
            gained = session.execute(
                sa.update(TakeRow)
                .where(_is(key), free, TakeRow.attempts < MOST_ATTEMPTS)
                .values(
                    state=TakeState.LEASED,
                    owner=owner,
                    lease_until_s=now_s() + seconds,
                    attempts=TakeRow.attempts + 1,
                    fence=TakeRow.fence + 1,
                )
                .returning(TakeRow.recipe, TakeRow.attempts, TakeRow.fence),
                execution_options=_PLAIN,
            ).one_or_none()
            if gained is None:
                session.execute(
                    sa.update(TakeRow)
                    .where(_is(key), run_out)
                    .values(_freed(TakeState.FAILED, "whoever made it was gone before it was done, too often")),
                    execution_options=_PLAIN,
                )
                return None
        recipe, attempts, fence = gained
        return Lease(self._database, Order(key, Digest(recipe), attempts), fence)

    def waiting(self, job_id: str, language: str) -> list[Order]:
        """Takes that somebody should make now: ordered, or left by a lease that ran out; in the order of lines."""
        run_out = (TakeRow.state == TakeState.LEASED) & (TakeRow.lease_until_s < now_s())
        query = _in_order(job_id, language).where(sa.or_(TakeRow.state == TakeState.ORDERED, run_out))
        with self._database.reading() as session:
            return [
                Order(TakeKey(row.job_id, row.language, row.line_id, row.number), Digest(row.recipe), row.attempts)
                for row in session.scalars(query)
            ]

    def takes(self, job_id: str, language: str) -> list[Take]:
        """Takes that are done, in the order of lines and tries."""
        query = _in_order(job_id, language).where(TakeRow.state == TakeState.DONE)
        with self._database.reading() as session:
            return [_take(row) for row in session.scalars(query)]

    def counts(self, job_id: str, language: str) -> dict[TakeState, int]:
        """How many takes are in each state: the join of work on a queue."""
        query = (
            sa.select(TakeRow.state, sa.func.count())
            .where(TakeRow.job_id == job_id, TakeRow.language == language)
            .group_by(TakeRow.state)
        )
        with self._database.reading() as session:
            found = dict(session.execute(query).tuples().all())
        return {state: found.get(state, 0) for state in TakeState}


class Lease:
    """The right to make one take and to write what came of it, while nobody else has it.

    As a context it gives the take back where the work ends in an exception, or without ``finish``.
    """

    def __init__(self, database: Database, order: Order, fence: int) -> None:
        self.key = order.key
        self.recipe = order.recipe
        self.attempt = order.attempts
        self._database = database
        self._held = _is(order.key) & (TakeRow.fence == fence) & (TakeRow.state == TakeState.LEASED)
        self._over = False

    def finish(self, take: Take) -> None:
        """Write the take; raises ``LeaseLost`` where somebody else has it now, or it is wanted otherwise."""
        if (take.line_id, take.number, take.recipe) != (self.key.line_id, self.key.number, self.recipe):
            raise ValueError(f"this is not the take that was leased: {take.line_id} {take.number}")
        self._write(_done(take) | {"owner": None, "lease_until_s": None})
        self._over = True

    def renew(self, seconds: float) -> None:
        """Keep it for some seconds from now; raises ``LeaseLost``."""
        self._write({"lease_until_s": now_s() + seconds})

    def give_up(self, error: str) -> None:
        """Let others try, unless it was tried often enough; somebody who has it by now is left alone."""
        self._over = True
        with self._database.writing() as session:
            state = TakeState.FAILED if self.attempt >= MOST_ATTEMPTS else TakeState.ORDERED
            change = sa.update(TakeRow).where(self._held).values(_freed(state, error))
            session.execute(change, execution_options=_PLAIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._over:
            self.give_up(f"{type(error).__name__}: {error}" if error else "the work ended without a take")

    def _write(self, values: dict[str, Any]) -> None:
        with self._database.writing() as session:
            change = sa.update(TakeRow).where(self._held).values(values).returning(TakeRow.number)
            if session.execute(change, execution_options=_PLAIN).one_or_none() is None:
                self._over = True
                raise LeaseLost(
                    f"take {self.key.number} of line {self.key.line_id} is no longer ours",
                    hint="somebody else makes it, or the line was changed; nothing was written",
                )


_KEY = ("job_id", "language", "line_id", "number")
_PLAIN = {"synchronize_session": False}  # nothing of these rows is held in memory


def _is(key: TakeKey) -> sa.ColumnElement[bool]:
    return sa.and_(
        TakeRow.job_id == key.job_id,
        TakeRow.language == key.language,
        TakeRow.line_id == key.line_id,
        TakeRow.number == key.number,
    )


def _in_order(job_id: str, language: str) -> sa.Select[TakeRow]:
    same_line = (
        (LineRow.job_id == TakeRow.job_id)
        & (LineRow.language == TakeRow.language)
        & (LineRow.line_id == TakeRow.line_id)
    )
    return (
        sa.select(TakeRow)
        .join(LineRow, same_line)
        .where(TakeRow.job_id == job_id, TakeRow.language == language)
        .order_by(LineRow.position, TakeRow.number)
    )


def _ordered(job_id: str, language: str, line_id: str, number: int, recipe: Digest) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "language": language,
        "line_id": line_id,
        "number": number,
        "recipe": recipe,
        "state": TakeState.ORDERED,
        "attempts": 0,
        "owner": None,
        "lease_until_s": None,
        "fence": 0,
        "audio": None,
        "measured": None,
        "verdict": None,
        "reasons": [],
        "error": None,
    }


def _done(take: Take) -> dict[str, Any]:
    return {
        "state": TakeState.DONE,
        "audio": take.audio,
        "measured": asdict(take.measured) if take.measured else None,
        "verdict": take.verdict,
        "reasons": [str(reason) for reason in take.reasons],
        "error": None,
    }


def _freed(state: TakeState, error: str) -> dict[str, Any]:
    return {"state": state, "owner": None, "lease_until_s": None, "error": error}


def _take(row: TakeRow) -> Take:
    return Take(
        line_id=row.line_id,
        number=row.number,
        recipe=Digest(row.recipe),
        audio=Digest(row.audio) if row.audio else None,
        measured=Measurements(**row.measured) if row.measured else None,
        verdict=Verdict(row.verdict or Verdict.FAILED),
        reasons=tuple(Reason(reason) for reason in row.reasons),
    )
