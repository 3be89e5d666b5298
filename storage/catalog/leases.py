"""Leases: who works on an order. However often its message is delivered, one worker works and one result is written.

A lease is gained by one UPDATE that finds the order free, and raises the order's fence. What came of the work is
written only where the fence is unchanged: whoever was too slow, or whose line was changed meanwhile, writes nothing.
Clocks do not matter: leases run out by the database's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from speechmill.errors import LeaseLost
from speechmill.recipes import Digest, Json
from speechmill.takes import Take
from storage.catalog.database import Database, now_s
from storage.catalog.jobs import JobTables
from storage.catalog.models import ArtifactRow, Base, OrderRow, TakeRow
from storage.catalog.products import Product
from storage.catalog.results import artifact_values, remember, use, use_of
from storage.catalog.states import OrderState
from storage.catalog.takes import put_take, values_of

MOST_ATTEMPTS = 3  # an order that costs three workers their lives is not tried on a fourth
PAUSE_S = 1.0  # before the second attempt; four times that before the third


@dataclass(frozen=True, slots=True)
class OrderKey:
    """Which work: of a job, of one kind, on one item (a line, a chunk), its first, second … try, by one recipe."""

    job_id: str
    kind: str
    item: str
    number: int
    recipe: Digest


@dataclass(frozen=True, slots=True)
class Order:
    """Work that somebody should do, with all that whoever does it needs to know."""

    key: OrderKey
    language: str
    payload: Mapping[str, Json]


class Leases(JobTables):
    """The catalog's leases."""

    def lease(self, key: OrderKey, owner: str, seconds: float) -> Lease | None:
        """Take on an order for some seconds. ``None``: it is done, given up, no longer wanted so, or somebody else is
        at it. An order whose lease ran out too often is given up here."""
        named = _named(key)
        gained = self._database.tell(_LEASE, named | {"a_owner": owner, "a_seconds": seconds})
        if gained is None:
            self._database.tell(_BURY, named)
            return None
        order = Order(key, gained.language, gained.payload)
        return Lease(self._database, order, gained.attempts, gained.fence, is_made=gained.is_made)


class Lease:
    """The right to work on one order and to write what came of it, while nobody else has it.

    As a context it gives the order back where the work ends in an exception, or without ``finish``.
    """

    def __init__(self, database: Database, order: Order, attempt: int, fence: int, *, is_made: bool) -> None:
        self.order = order
        self.attempt = attempt
        self.is_made = is_made  # whether its recipe had made something when it was taken on
        self._database = database
        self._held = _named(order.key) | {"a_fence": fence}
        self._over = False

    def finish(
        self, take: Take | None = None, tally: Mapping[str, int] | None = None, made: Product | None = None
    ) -> None:
        """The order is done. The take that came of it, where it is one, and what its recipe has ``made``, where that is
        not written down yet, are written in the same transaction.

        ``tally`` counts what was ``made`` and ``reused``. Raises ``LeaseLost`` where somebody else has the order now,
        or it is wanted otherwise.
        """
        key = self.order.key
        if take is not None and (take.line_id, take.number, take.recipe) != (key.item, key.number, key.recipe):
            raise ValueError(f"this is not the take that was leased: {take.line_id} {take.number}")
        done = self._held | {"new_tally": dict(tally or {})}
        written = {} if take is None else values_of(key.job_id, self.order.language, take)
        product = {} if made is None else artifact_values(key.recipe, made.operation, made.artifact)
        try:
            if not self._database.is_sqlite:
                # A value that had a column's own name would be taken for one that the UPDATE is to write.
                new = {f"new_{name}": value for name, value in (written | product).items()}
                found = self._database.tell(_finish(take=bool(written), product=bool(product)), done | new)
            else:
                with self._database.changing() as connection:
                    found = connection.execute(_FINISH, done).one_or_none()
                    compiled = self._database.compiled
                    if found is not None and product:
                        connection.execute(compiled(remember(is_sqlite=True)), product)
                        connection.execute(compiled(use(is_sqlite=True)), {"job_id": key.job_id, "recipe": key.recipe})
                    if found is not None and written:
                        connection.execute(compiled(put_take(is_sqlite=True)), written)
        except sa.exc.IntegrityError:
            raise self._lost() from None  # the take's line is gone
        if found is None:
            raise self._lost()
        self._over = True

    def renew(self, seconds: float) -> None:
        """Keep it for some seconds from now; raises ``LeaseLost``."""
        if self._database.tell(_RENEW, self._held | {"a_seconds": seconds}) is None:
            raise self._lost()

    def give_up(self, error: str, *, pause_s: float = PAUSE_S) -> None:
        """Let others try after a pause, unless it was tried often enough; who has it by now is left alone."""
        self._over = True
        if self.attempt >= MOST_ATTEMPTS:
            self._database.tell(_FAIL, self._held | {"new_error": error})
        else:
            pause = {"a_pause": pause_s * 4 ** (self.attempt - 1)}
            self._database.tell(_GIVE_UP, self._held | {"new_error": error} | pause)

    def give_back(self) -> None:
        """Let others do it at once, as if this attempt had not been: the order is not to blame."""
        self._over = True
        self._database.tell(_GIVE_BACK, self._held)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._over:
            self.give_up(f"{type(error).__name__}: {error}" if error else "the work ended without a result")

    def _lost(self) -> LeaseLost:
        self._over = True
        return LeaseLost(
            f"{self.order.key.kind} {self.order.key.item} is no longer ours",
            hint="somebody else does it, or it is wanted otherwise; nothing was written",
        )


def _named(key: OrderKey) -> dict[str, Any]:
    return {
        "a_job": key.job_id,
        "a_kind": key.kind,
        "an_item": key.item,
        "a_number": key.number,
        "a_recipe": key.recipe,
    }


# Statements that run for every order are built once: building one takes longer than running it.
RUN_OUT = (OrderRow.state == OrderState.LEASED) & (OrderRow.lease_until_s < now_s())
FREE: dict[str, Any] = {"owner": None, "lease_until_s": None}
TOO_OFTEN = "whoever worked on it was gone before it was done, too often"
_THIS = (
    OrderRow.job_id == sa.bindparam("a_job"),
    OrderRow.kind == sa.bindparam("a_kind"),
    OrderRow.item == sa.bindparam("an_item"),
    OrderRow.number == sa.bindparam("a_number"),
    OrderRow.recipe == sa.bindparam("a_recipe"),
)
_HELD = (*_THIS, OrderRow.fence == sa.bindparam("a_fence"), OrderRow.state == OrderState.LEASED)
_UNTIL = now_s() + sa.bindparam("a_seconds", type_=sa.Double())
_LEASE = (
    sa.update(OrderRow)
    .where(*_THIS, sa.or_(OrderRow.state == OrderState.ORDERED, RUN_OUT), OrderRow.attempts < MOST_ATTEMPTS)
    .values(
        state=OrderState.LEASED,
        owner=sa.bindparam("a_owner"),
        lease_until_s=_UNTIL,
        attempts=OrderRow.attempts + 1,
        fence=OrderRow.fence + 1,
    )
    .returning(
        OrderRow.language,
        OrderRow.payload,
        OrderRow.attempts,
        OrderRow.fence,
        sa.exists().where(ArtifactRow.recipe == OrderRow.recipe).label("is_made"),
    )
)
_FINISH = (
    sa.update(OrderRow)
    .where(*_HELD)
    .values(FREE | {"state": OrderState.DONE, "tally": sa.bindparam("new_tally"), "error": None})
    .returning(OrderRow.number)
)


@cache
def _finish(take: bool, product: bool) -> sa.Executable:
    """For PostgreSQL: the order is done, its take and its product are written, by one statement and so one way to the
    server."""
    done = _FINISH.cte("done")

    def new(table: type[Base]) -> tuple[list[str], sa.Select[Any]]:
        columns = table.__table__.c
        names = list(columns.keys())
        told = (sa.bindparam(f"new_{name}", type_=columns[name].type) for name in names)
        return names, sa.select(*told).select_from(done)

    statement: Any = sa.select(done.c.number)
    if take:
        statement = put_take(is_sqlite=False).from_select(*new(TakeRow)).returning(TakeRow.number)
    if product:
        kept = remember(is_sqlite=False).from_select(*new(ArtifactRow)).returning(ArtifactRow.recipe).cte("kept")
        statement = statement.add_cte(use_of(kept).cte("used"))
    found: sa.Executable = statement
    return found


_RENEW = sa.update(OrderRow).where(*_HELD).values(lease_until_s=_UNTIL).returning(OrderRow.number)
_FAIL = (
    sa.update(OrderRow).where(*_HELD).values(FREE | {"state": OrderState.FAILED, "error": sa.bindparam("new_error")})
)
_GIVE_UP = (
    sa.update(OrderRow)
    .where(*_HELD)
    .values(
        FREE
        | {
            "state": OrderState.ORDERED,
            "error": sa.bindparam("new_error"),
            "send_at_s": now_s() + sa.bindparam("a_pause", type_=sa.Double()),
        }
    )
)
_GIVE_BACK = (
    sa.update(OrderRow)
    .where(*_HELD)
    .values(FREE | {"state": OrderState.ORDERED, "send_at_s": now_s(), "attempts": OrderRow.attempts - 1})
)
_BURY = (
    sa.update(OrderRow)
    .where(*_THIS, RUN_OUT, OrderRow.attempts >= MOST_ATTEMPTS)
    .values(FREE | {"state": OrderState.FAILED, "error": TOO_OFTEN})
)
