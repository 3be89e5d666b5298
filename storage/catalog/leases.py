"""Leases: who is making a take. However often a message is delivered, one worker makes it and one result is written.

A lease is gained by one UPDATE that finds the take free, and raises the take's fence. What came of the work is
written by one UPDATE that finds the fence unchanged: whoever was too slow, or whose line was changed meanwhile, writes
nothing. Clocks do not matter: leases run out by the database's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from speechmill.errors import LeaseLost
from speechmill.recipes import Digest
from speechmill.takes import Take
from storage.catalog.database import Database, now_s
from storage.catalog.jobs import JobTables
from storage.catalog.models import TakeRow
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


class Leases(JobTables):
    """The catalog's leases."""

    def lease(self, key: TakeKey, owner: str, seconds: float) -> Lease | None:
        """Take on the making of a take for some seconds. ``None``: it is done, given up, not ordered, or somebody else
        is at it. A take whose lease ran out too often is given up here."""
        named = _named(key)
        gained = self._database.tell(_LEASE, named | {"a_owner": owner, "a_seconds": seconds})
        if gained is None:
            if self._database.ask(_SPENT, named) is not None:
                self._database.tell(_BURY, named)
            return None
        return Lease(self._database, Order(key, Digest(gained.recipe), gained.attempts), gained.fence)


class Lease:
    """The right to make one take and to write what came of it, while nobody else has it.

    As a context it gives the take back where the work ends in an exception, or without ``finish``.
    """

    def __init__(self, database: Database, order: Order, fence: int) -> None:
        self.key = order.key
        self.recipe = order.recipe
        self.attempt = order.attempts
        self._database = database
        self._held = _named(order.key) | {"a_fence": fence}
        self._over = False

    def finish(self, take: Take) -> None:
        """Write the take; raises ``LeaseLost`` where somebody else has it now, or it is wanted otherwise."""
        if (take.line_id, take.number, take.recipe) != (self.key.line_id, self.key.number, self.recipe):
            raise ValueError(f"this is not the take that was leased: {take.line_id} {take.number}")
        self._write(_FINISH, {f"new_{name}": value for name, value in done(take).items()})
        self._over = True

    def renew(self, seconds: float) -> None:
        """Keep it for some seconds from now; raises ``LeaseLost``."""
        self._write(_RENEW, {"a_seconds": seconds})

    def give_up(self, error: str) -> None:
        """Let others try, unless it was tried often enough; somebody who has it by now is left alone."""
        self._over = True
        state = TakeState.FAILED if self.attempt >= MOST_ATTEMPTS else TakeState.ORDERED
        self._database.tell(_GIVE_UP, self._held | {"new_state": state, "new_error": error})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._over:
            self.give_up(f"{type(error).__name__}: {error}" if error else "the work ended without a take")

    def _write(self, change: sa.Executable, values: dict[str, Any]) -> None:
        if self._database.tell(change, self._held | values) is None:
            self._over = True
            raise LeaseLost(
                f"take {self.key.number} of line {self.key.line_id} is no longer ours",
                hint="somebody else makes it, or the line was changed; nothing was written",
            )


def done(take: Take) -> dict[str, Any]:
    """The columns of a take that is done."""
    return {
        "state": TakeState.DONE,
        "audio": take.audio,
        "measured": asdict(take.measured) if take.measured else None,
        "verdict": take.verdict,
        "reasons": [str(reason) for reason in take.reasons],
        "error": None,
    }


def _named(key: TakeKey) -> dict[str, Any]:
    return {"a_job": key.job_id, "a_language": key.language, "a_line": key.line_id, "a_number": key.number}


# Statements that run for every take are built once: building one takes longer than running it.
RUN_OUT = (TakeRow.state == TakeState.LEASED) & (TakeRow.lease_until_s < now_s())
_THIS = (
    TakeRow.job_id == sa.bindparam("a_job"),
    TakeRow.language == sa.bindparam("a_language"),
    TakeRow.line_id == sa.bindparam("a_line"),
    TakeRow.number == sa.bindparam("a_number"),
)
_HELD = (*_THIS, TakeRow.fence == sa.bindparam("a_fence"), TakeRow.state == TakeState.LEASED)
_UNTIL = now_s() + sa.bindparam("a_seconds", type_=sa.Double())
_LEASE = (
    sa.update(TakeRow)
    .where(*_THIS, sa.or_(TakeRow.state == TakeState.ORDERED, RUN_OUT), TakeRow.attempts < MOST_ATTEMPTS)
    .values(
        state=TakeState.LEASED,
        owner=sa.bindparam("a_owner"),
        lease_until_s=_UNTIL,
        attempts=TakeRow.attempts + 1,
        fence=TakeRow.fence + 1,
    )
    .returning(TakeRow.recipe, TakeRow.attempts, TakeRow.fence)
)
_FINISH = (
    sa.update(TakeRow)
    .where(*_HELD)
    .values(
        {name: sa.bindparam(f"new_{name}") for name in ("state", "audio", "measured", "verdict", "reasons", "error")}
        | {"owner": None, "lease_until_s": None}
    )
    .returning(TakeRow.number)
)
_RENEW = sa.update(TakeRow).where(*_HELD).values(lease_until_s=_UNTIL).returning(TakeRow.number)
_GIVE_UP = (
    sa.update(TakeRow)
    .where(*_HELD)
    .values(state=sa.bindparam("new_state"), error=sa.bindparam("new_error"), owner=None, lease_until_s=None)
)
_SPENT = sa.select(TakeRow.number).where(*_THIS, RUN_OUT, TakeRow.attempts >= MOST_ATTEMPTS)
_BURY = (
    sa.update(TakeRow)
    .where(*_THIS, RUN_OUT, TakeRow.attempts >= MOST_ATTEMPTS)
    .values(
        state=TakeState.FAILED,
        error="whoever made it was gone before it was done, too often",
        owner=None,
        lease_until_s=None,
    )
)
