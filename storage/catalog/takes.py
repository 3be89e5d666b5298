"""Takes: what is ordered and what came of it.

Work on a queue: ``order_takes``, then each worker ``lease``s a take, makes it and ``finish``es it. Work in this
process: ``order_takes``, make them, ``put_takes``. Whoever waits asks ``counts``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from speechmill.errors import LeaseLost, UnknownName
from speechmill.recipes import Digest
from speechmill.takes import Measurements, Reason, Take, Verdict
from storage.catalog.leases import RUN_OUT, Leases, Order, TakeKey, done
from storage.catalog.models import LineRow, TakeRow
from storage.catalog.states import TakeState


class Takes(Leases):
    """The catalog's takes."""

    def order_takes(self, job_id: str, language: str, orders: Sequence[tuple[str, int, Digest]]) -> None:
        """Order takes: (line id, number, recipe). Ordering the same again changes nothing, but gives one that was
        given up another chance. Another recipe begins anew: what was made by the old one and the line's later takes
        are forgotten, and whoever still makes it has lost the lease."""
        with self._database.writing() as session:
            self._job_row(session, job_id)
            query = sa.select(TakeRow.line_id, TakeRow.number, TakeRow.recipe, TakeRow.state)
            found = session.execute(query.where(*_of(job_id, language)))
            old = {(line_id, number): (recipe, state) for line_id, number, recipe, state in found}
            begin: list[dict[str, Any]] = []
            changed = []
            for line_id, number, recipe in orders:
                was, state = old.get((line_id, number), (None, None))
                if was != recipe or state == TakeState.FAILED:
                    begin.append(_ordered(job_id, language, line_id, number, recipe))
                if was not in (None, recipe):
                    changed.append({"a_job": job_id, "a_language": language, "a_line": line_id, "a_number": number})
            connection = session.connection()
            if changed:
                connection.execute(_FORGET_LATER, changed)
            if begin:
                insert = self._database.insert(TakeRow)
                fresh: dict[str, Any] = {name: insert.excluded[name] for name in begin[0] if name not in _KEY}
                fresh["fence"] = TakeRow.fence + 1
                try:
                    connection.execute(insert.on_conflict_do_update(index_elements=_KEY, set_=fresh), begin)
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
        # Only the rows of these lines are locked, and always in one order: so writers wait for each other in a row.
        lines = sorted({take.line_id for take in takes})
        query = (
            sa.select(TakeRow.line_id, TakeRow.number, TakeRow.recipe)
            .where(*_of(job_id, language), TakeRow.line_id.in_(lines))
            .order_by(TakeRow.line_id, TakeRow.number)
        )
        with self._database.writing() as session:
            ordered = set(session.execute(query.with_for_update()))
            for take in takes:
                if (take.line_id, take.number, take.recipe) not in ordered:
                    raise LeaseLost(
                        f"take {take.number} of line {take.line_id} is no longer wanted as it was made",
                        hint="the line was changed meanwhile; run the job again",
                    )
            session.connection().execute(
                _PUT,
                [
                    {"a_job": job_id, "a_language": language, "a_line": take.line_id, "a_number": take.number}
                    | {f"new_{name}": value for name, value in done(take).items()}
                    for take in takes
                ],
            )

    def waiting(self, job_id: str, language: str) -> list[Order]:
        """Takes that somebody should make now: ordered, or left by a lease that ran out; in the order of lines."""
        query = _in_order(job_id, language).where(sa.or_(TakeRow.state == TakeState.ORDERED, RUN_OUT))
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
        query = sa.select(TakeRow.state, sa.func.count()).where(*_of(job_id, language)).group_by(TakeRow.state)
        with self._database.reading() as session:
            found = dict(session.execute(query).all())
        return {state: found.get(state, 0) for state in TakeState}


_KEY = ("job_id", "language", "line_id", "number")
_LINE = (
    TakeRow.job_id == sa.bindparam("a_job"),
    TakeRow.language == sa.bindparam("a_language"),
    TakeRow.line_id == sa.bindparam("a_line"),
)
_FORGET_LATER = sa.delete(TakeRow).where(*_LINE, TakeRow.number > sa.bindparam("a_number"))
_PUT = (
    sa.update(TakeRow)
    .where(*_LINE, TakeRow.number == sa.bindparam("a_number"))
    .values(
        {name: sa.bindparam(f"new_{name}") for name in ("state", "audio", "measured", "verdict", "reasons", "error")}
        | {"owner": None, "lease_until_s": None, "fence": TakeRow.fence + 1}
    )
)


def _of(job_id: str, language: str) -> tuple[sa.ColumnElement[bool], ...]:
    return TakeRow.job_id == job_id, TakeRow.language == language


def _in_order(job_id: str, language: str) -> sa.Select[TakeRow]:
    same_line = (
        (LineRow.job_id == TakeRow.job_id)
        & (LineRow.language == TakeRow.language)
        & (LineRow.line_id == TakeRow.line_id)
    )
    query = sa.select(TakeRow).join(LineRow, same_line).where(*_of(job_id, language))
    return query.order_by(LineRow.position, TakeRow.number)


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
