"""Takes: what came of speaking a line. Whoever made it, in this process (``put_takes``) or with a lease on a queue
(``Lease.finish``), a line has one take of each number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from speechmill.abilities import Ability
from speechmill.errors import UnknownName
from speechmill.recipes import Digest
from speechmill.takes import Measurements, Reason, Take, Verdict
from storage.catalog.jobs import JobTables
from storage.catalog.models import LineRow, OrderRow, TakeRow
from storage.catalog.states import OrderState

_KEY = ("job_id", "language", "line_id", "number")
_VALUES = ("recipe", "audio", "measured", "verdict", "reasons")


class Takes(JobTables):
    """The catalog's takes."""

    def put_takes(self, job_id: str, language: str, takes: Sequence[Take]) -> None:
        """Write takes that were made in this process, all or none. Where one has another recipe than before, the
        line's later takes are forgotten; whoever works on one elsewhere has lost the lease."""
        if not takes:
            return
        # Always in one order: so writers of the same lines wait for each other in a row.
        ordered = sorted(takes, key=lambda take: (take.line_id, take.number))
        lines = sorted({take.line_id for take in takes})
        query = sa.select(TakeRow.line_id, TakeRow.number, TakeRow.recipe)
        mine = (*_of(job_id, language), TakeRow.line_id.in_(lines))
        with self._database.writing() as session:
            connection = session.connection()
            connection.execute(_WITHDRAW, {"a_job": job_id, "a_language": language})
            old = {(row.line_id, row.number): row.recipe for row in connection.execute(query.where(*mine))}
            changed = [take for take in ordered if old.get((take.line_id, take.number)) not in (None, take.recipe)]
            if changed:
                connection.execute(
                    _FORGET_LATER,
                    [
                        {"a_job": job_id, "a_language": language, "a_line": take.line_id, "a_number": take.number}
                        for take in changed
                    ],
                )
            try:
                written = [values_of(job_id, language, take) for take in ordered]
                connection.execute(put_take(is_sqlite=self._database.is_sqlite), written)
            except sa.exc.IntegrityError:
                raise UnknownName(
                    f"a take was made of a line that job {job_id} does not have in {language}",
                    hint=f"`speechmill lines {job_id}` lists them",
                ) from None

    def takes(self, job_id: str, language: str) -> list[Take]:
        """The takes of a job in a language, in the order of lines and tries."""
        same_line = (
            (LineRow.job_id == TakeRow.job_id)
            & (LineRow.language == TakeRow.language)
            & (LineRow.line_id == TakeRow.line_id)
        )
        query = sa.select(TakeRow).join(LineRow, same_line).where(*_of(job_id, language))
        with self._database.reading() as session:
            return [_take(row) for row in session.scalars(query.order_by(LineRow.position, TakeRow.number))]


@cache
def put_take(*, is_sqlite: bool) -> sa.Insert:
    """The statement that writes a take over whatever was there under its number."""
    insert = sqlite.insert(TakeRow) if is_sqlite else postgresql.insert(TakeRow)
    return insert.on_conflict_do_update(index_elements=_KEY, set_={name: insert.excluded[name] for name in _VALUES})


def values_of(job_id: str, language: str, take: Take) -> dict[str, Any]:
    """The columns of a take."""
    return {
        "job_id": job_id,
        "language": language,
        "line_id": take.line_id,
        "number": take.number,
        "recipe": take.recipe,
        "audio": take.audio,
        "measured": asdict(take.measured) if take.measured else None,
        "verdict": take.verdict,
        "reasons": [str(reason) for reason in take.reasons],
    }


_FORGET_LATER = sa.delete(TakeRow).where(
    TakeRow.job_id == sa.bindparam("a_job"),
    TakeRow.language == sa.bindparam("a_language"),
    TakeRow.line_id == sa.bindparam("a_line"),
    TakeRow.number > sa.bindparam("a_number"),
)
_WITHDRAW = (
    sa.update(OrderRow)
    .where(
        OrderRow.job_id == sa.bindparam("a_job"),
        OrderRow.kind == Ability.SPEAK,
        OrderRow.language == sa.bindparam("a_language"),
        OrderRow.state.in_([OrderState.ORDERED, OrderState.LEASED]),
    )
    .values(state=OrderState.WITHDRAWN, owner=None, lease_until_s=None, fence=OrderRow.fence + 1)
)


def _of(job_id: str, language: str) -> tuple[sa.ColumnElement[bool], ...]:
    return TakeRow.job_id == job_id, TakeRow.language == language


def _take(row: TakeRow) -> Take:
    return Take(
        line_id=row.line_id,
        number=row.number,
        recipe=Digest(row.recipe),
        audio=Digest(row.audio) if row.audio else None,
        measured=Measurements(**row.measured) if row.measured else None,
        verdict=Verdict(row.verdict),
        reasons=tuple(Reason(reason) for reason in row.reasons),
    )
