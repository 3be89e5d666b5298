"""Orders: work that others do. Who needs it orders a round of it and waits; workers lease, work and finish.

An order is found again by what it is about, so ordering the same again costs nothing. What came of it is where it
belongs: a take, an artifact. ``send_at_s`` says when a message should go out for an order; while one is out it is
empty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from speechmill.abilities import Ability
from speechmill.recipes import Digest
from storage.catalog.database import now_s
from storage.catalog.leases import FREE, MOST_ATTEMPTS, RUN_OUT, TOO_OFTEN, Leases, Order, OrderKey
from storage.catalog.models import OrderRow, TakeRow
from storage.catalog.states import OrderState

_IDENTITY = ("job_id", "kind", "item", "number", "language")


@dataclass(frozen=True, slots=True)
class Due:
    """Orders that a message should go out for, and the moment this was true."""

    keys: tuple[OrderKey, ...]
    at_s: float


class Orders(Leases):
    """The catalog's orders."""

    def order(
        self, round_id: str, job_id: str, kind: str, language: str, orders: Sequence[Order], *, anew: bool = False
    ) -> list[OrderKey]:
        """Order work, to be waited for as a round; returns what is done already and is not waited for.

        What is under way joins the round. What was given up gets another chance. Another recipe begins anew: what
        came of the old one, and of the later tries, is forgotten, and whoever still works on it has lost the lease.
        ``anew`` begins everything anew.
        """
        with self._database.writing() as session:
            self._job_row(session, job_id)
            old = self._known(session, job_id, kind, language)
            takes = _takes(session, job_id, language) if kind == Ability.SPEAK else None
            begin, join, done = [], [], []
            for order in orders:
                key = order.key
                recipe, state = old.get((key.item, key.number), (None, None))
                lost = state == OrderState.DONE and takes is not None and takes.get((key.item, key.number)) != recipe
                if anew or recipe != key.recipe or lost or state in (OrderState.FAILED, OrderState.WITHDRAWN):
                    begin.append(_fresh(order, round_id))
                elif state == OrderState.DONE:
                    done.append(key)
                else:
                    join.append(_named(key, language) | {"a_round": round_id})
            connection = session.connection()
            if takes and begin:
                connection.execute(_FORGET, [_line(row) for row in begin])
            if begin:
                insert = self._database.insert(OrderRow)
                fresh: dict[str, Any] = {name: insert.excluded[name] for name in begin[0] if name not in _IDENTITY}
                fresh |= {"fence": OrderRow.fence + 1, "ordered_s": now_s(), "send_at_s": now_s()}
                first = insert.values(ordered_s=now_s(), send_at_s=now_s())
                connection.execute(first.on_conflict_do_update(index_elements=_IDENTITY, set_=fresh), begin)
            if join:
                connection.execute(_JOIN, join)
            return done

    def due(self, round_id: str) -> Due:
        """Orders of a round that a message should go out for now. A lease that ran out is taken back here, and the
        order given up where that was once too often. Rows that a worker is just writing are left for the next look."""
        named = {"a_round": round_id}
        with self._database.writing() as session:
            dead = session.execute(_DEAD, named).all()
            if dead:
                session.connection().execute(
                    _TAKE_BACK,
                    [
                        _named(_key(row), row.language)
                        | {"new_state": OrderState.FAILED if row.attempts >= MOST_ATTEMPTS else OrderState.ORDERED}
                        for row in dead
                    ],
                )
            at_s = session.scalar(sa.select(now_s()))
            assert at_s is not None
            rows = session.execute(_DUE, named | {"a_moment": at_s})
            return Due(tuple(_key(row) for row in rows), at_s)

    def sent(self, round_id: str, due: Due) -> None:
        """Messages went out for these."""
        self._database.tell(_SENT, {"a_round": round_id, "a_moment": due.at_s})

    def resend(self, round_id: str) -> None:
        """The messages that were out are lost: others are due at once."""
        self._database.tell(_RESEND, {"a_round": round_id})

    def withdraw(self, round_id: str) -> None:
        """Nobody waits for a round any more: what was not begun is not begun."""
        self._database.tell(_WITHDRAW, {"a_round": round_id})

    def counts(self, round_id: str) -> dict[OrderState, int]:
        """How many orders of a round are in each state: the join of work on a queue."""
        with self._database.reading() as session:
            found = dict(session.execute(_COUNT, {"a_round": round_id}).tuples().all())
        return {state: found.get(state, 0) for state in OrderState}

    def given_up(self, round_id: str) -> dict[OrderKey, str]:
        """Orders of a round that were given up, each with its last error."""
        with self._database.reading() as session:
            return {_key(row): row.error or "" for row in session.execute(_GIVEN_UP, {"a_round": round_id})}

    def tally(self, round_id: str) -> Counter[str]:
        """What the workers made and reused for a round."""
        total: Counter[str] = Counter()
        with self._database.reading() as session:
            for tally in session.scalars(_TALLY, {"a_round": round_id}):
                total.update(tally)
        return total

    def _known(self, session: Session, job_id: str, kind: str, language: str) -> dict[tuple[str, int], tuple[str, str]]:
        query = sa.select(OrderRow.item, OrderRow.number, OrderRow.recipe, OrderRow.state)
        mine = (OrderRow.job_id == job_id, OrderRow.kind == kind, OrderRow.language == language)
        return {(row.item, row.number): (row.recipe, row.state) for row in session.execute(query.where(*mine))}


def _takes(session: Session, job_id: str, language: str) -> dict[tuple[str, int], str]:
    query = sa.select(TakeRow.line_id, TakeRow.number, TakeRow.recipe)
    found = session.execute(query.where(TakeRow.job_id == job_id, TakeRow.language == language))
    return {(row.line_id, row.number): row.recipe for row in found}


def _fresh(order: Order, round_id: str) -> dict[str, Any]:
    key = order.key
    return {
        "job_id": key.job_id,
        "kind": key.kind,
        "item": key.item,
        "number": key.number,
        "language": order.language,
        "recipe": key.recipe,
        "payload": dict(order.payload),
        "round": round_id,
        "state": OrderState.ORDERED,
        "attempts": 0,
        "owner": None,
        "lease_until_s": None,
        "fence": 0,
        "tally": {},
        "error": None,
    }


def _key(row: Any) -> OrderKey:
    return OrderKey(row.job_id, row.kind, row.item, row.number, Digest(row.recipe))


def _named(key: OrderKey, language: str) -> dict[str, Any]:
    named = {"a_job": key.job_id, "a_kind": key.kind, "an_item": key.item, "a_number": key.number}
    return named | {"a_language": language}


def _line(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "a_job": row["job_id"],
        "a_language": row["language"],
        "a_line": row["item"],
        "a_number": row["number"],
    }


# Asked again and again while a job waits, so built once.
_THIS = (
    OrderRow.job_id == sa.bindparam("a_job"),
    OrderRow.kind == sa.bindparam("a_kind"),
    OrderRow.item == sa.bindparam("an_item"),
    OrderRow.number == sa.bindparam("a_number"),
    OrderRow.language == sa.bindparam("a_language"),
)
_OF_ROUND = OrderRow.round == sa.bindparam("a_round")
_WAITS = OrderRow.state == OrderState.ORDERED
_COLUMNS = (OrderRow.job_id, OrderRow.kind, OrderRow.item, OrderRow.number, OrderRow.recipe)
_BEFORE = OrderRow.send_at_s <= sa.bindparam("a_moment", type_=sa.Double())
_JOIN = (
    sa.update(OrderRow)
    .where(*_THIS)
    .values(round=sa.bindparam("a_round"), send_at_s=now_s())  # whether its message is still there, nobody knows
)
_FORGET = sa.delete(TakeRow).where(
    TakeRow.job_id == sa.bindparam("a_job"),
    TakeRow.language == sa.bindparam("a_language"),
    TakeRow.line_id == sa.bindparam("a_line"),
    TakeRow.number >= sa.bindparam("a_number"),
)
_DEAD = (
    sa.select(*_COLUMNS, OrderRow.language, OrderRow.attempts)
    .where(_OF_ROUND, RUN_OUT)
    .with_for_update(skip_locked=True)
)
_TAKE_BACK = (
    sa.update(OrderRow)
    .where(*_THIS)
    .values(
        FREE
        | {
            "state": sa.bindparam("new_state"),
            "error": TOO_OFTEN,
            "send_at_s": now_s(),
            "fence": OrderRow.fence + 1,
        }
    )
)
_DUE = sa.select(*_COLUMNS).where(_OF_ROUND, _WAITS, _BEFORE)
_SENT = sa.update(OrderRow).where(_OF_ROUND, _WAITS, _BEFORE).values(send_at_s=None)
_RESEND = sa.update(OrderRow).where(_OF_ROUND, _WAITS, OrderRow.send_at_s.is_(None)).values(send_at_s=now_s())
_WITHDRAW = sa.update(OrderRow).where(_OF_ROUND, _WAITS).values(state=OrderState.WITHDRAWN)
_COUNT = sa.select(OrderRow.state, sa.func.count()).where(_OF_ROUND).group_by(OrderRow.state)
_GIVEN_UP = sa.select(*_COLUMNS, OrderRow.error).where(_OF_ROUND, OrderRow.state == OrderState.FAILED)
_TALLY = sa.select(OrderRow.tally).where(_OF_ROUND, OrderRow.state == OrderState.DONE)
