"""What a line costs on the queue, counted: ways to the database, and clients of Redis."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from sqlalchemy.sql.compiler import SQLCompiler

from model_worker import broker as module
from model_worker.app import Sender, make_app
from model_worker.broker import Broker, Waker
from model_worker.engines import registry
from model_worker.messages import Message, Priority, Queue
from model_worker.worker import unanswered
from speechmill.abilities import Ability
from storage.catalog import OrderState
from tasks.queue import OPERATIONS, work
from tasks.speaking import Speaking
from tests.queueing import engine as test_engine
from tests.queueing.conftest import Studio
from tests.queueing.test_twice import ORDER, ROUND, here, message

__all__ = ["here"]
OF_A_LINE = ["lease, and look for the artifact", "finish, with the artifact, its use, and the take"]


def test_a_line_asks_postgres_two_things(studio: Studio, here: Any, statements: list[str]) -> None:
    order = ORDER[Ability.SPEAK](studio)
    studio.catalog.order(ROUND, studio.job.id, Ability.SPEAK, order.language, [order])
    statements.clear()
    work(here, Ability.SPEAK, OPERATIONS[Ability.SPEAK], message(order))
    assert len(statements) == len(OF_A_LINE), "\n\n".join(statements)


def test_a_line_has_nothing_compiled_that_was_compiled_for_another(
    studio: Studio, here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLAlchemy compiles an INSERT … ON CONFLICT each time, unless it is given one that is compiled."""
    chosen = registry.engine(test_engine.NAME, studio.settings)
    speaking = Speaking(studio.place(), "es", chosen, None)
    orders = [speaking.order(given) for given in studio.assignments(["Buenos días.", "Buenas noches."])]
    studio.catalog.order(ROUND, studio.job.id, Ability.SPEAK, "es", orders)
    compiled: list[object] = []
    compile_ = SQLCompiler.__init__

    def counting(self: SQLCompiler, dialect: Any, statement: Any, *given: Any, **named: Any) -> None:
        compiled.append(statement)
        compile_(self, dialect, statement, *given, **named)

    monkeypatch.setattr(SQLCompiler, "__init__", counting)
    work(here, Ability.SPEAK, OPERATIONS[Ability.SPEAK], message(orders[0]))
    assert compiled
    compiled.clear()
    work(here, Ability.SPEAK, OPERATIONS[Ability.SPEAK], message(orders[1]))
    assert compiled == []
    assert studio.catalog.counts(ROUND)[OrderState.DONE] == 2


def test_lines_that_end_in_one_moment_wake_the_flow_once(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOMENT_S", 1.0)
    broker = Broker(studio.settings)
    waker = Waker(broker)
    for _ in range(20):
        waker.wake("film")
    waker.wake("talk")
    waker.close()
    with redis.Redis.from_url(studio.settings.broker_url) as client:
        assert (client.llen("speechmill:done:talk"), client.llen("speechmill:done:film")) == (1, 1)
        waker.wake("film")  # the next moment
        waker.close()
        assert client.llen("speechmill:done:film") == 2
        client.delete("speechmill:done:film", "speechmill:done:talk")
    broker.close()


def test_a_message_that_is_acknowledged_is_not_taken_for_lost(studio: Studio) -> None:
    """kombu forgets what was acknowledged when it next takes something: until then it is among what was taken."""
    with make_app(studio.settings).connection_for_read() as connection:
        taken = connection.default_channel.qos
        for tag in ("one", "two"):
            taken._quick_append(tag, object())
        assert unanswered(taken) == 2
        taken._quick_ack("one")
        assert unanswered(taken) == 1
        taken._quick_ack("two")
        assert unanswered(taken) == 0


def test_many_messages_are_sent_by_one_client(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    real = redis.Redis.__init__

    def counted(self: redis.Redis, *args: Any, **named: Any) -> None:
        made.append(self)
        real(self, *args, **named)

    app = make_app(studio.settings)
    sender = Sender(app)
    messages = [Message(job="j", line=str(number), take=1, recipe="0" * 64) for number in range(20)]
    sender.send(Ability.SPEAK, messages[:1], Queue.CPU_SPEECH, Priority.NORMAL)
    monkeypatch.setattr(redis.Redis, "__init__", counted)
    sender.send(Ability.SPEAK, messages, Queue.CPU_SPEECH, Priority.NORMAL)
    broker = redis.Redis.from_url(studio.settings.broker_url)
    assert sum(broker.llen(key) for key in broker.keys("speechmill:cpu.speech*")) == 21  # type: ignore[union-attr, misc]
    assert len(made) == 1  # this test's own
    sender.close()
