"""Whoever dies, freezes or forgets: no line is lost, and none is spoken twice into the result."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from model_worker import app
from speechmill.abilities import Ability
from speechmill.takes import Verdict
from storage.catalog import OrderState
from tasks.queue import OPERATIONS
from tasks.translating import TOGETHER
from tests.forge import Forge
from tests.proxy import Proxy
from tests.queueing import engine as test_engine
from tests.queueing.conftest import OwnRedis, Studio
from tests.servers import without_postgres

SILENT_S = 2
HALF_OPEN_S = 25.0


def leased(studio: Studio) -> int:
    query = sa.text("SELECT count(*) FROM orders WHERE state = 'leased'")
    with studio.catalog._database.engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


def orders(studio: Studio) -> list[tuple[str, int]]:
    """State and attempts of every order."""
    with studio.catalog._database.engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT state, attempts FROM orders ORDER BY item"))
        return [(row.state, row.attempts) for row in rows]


def check(studio: Studio, texts: list[str], flow_takes: dict[str, list[object]]) -> None:
    """Every line has one take that can be heard, in the result and in the database."""
    kept = studio.catalog.takes(studio.job.id, "es")
    assert [take.line_id for take in kept] == [f"{number:04}" for number in range(len(texts))]
    assert {take.verdict for take in kept} == {Verdict.PASSED}
    assert [[take] for take in kept] == list(flow_takes.values())
    assert set(orders(studio)) <= {(OrderState.DONE, attempts) for attempts in (1, 2, 3)}


def test_the_lines_of_a_worker_that_is_killed_are_spoken_by_another(studio: Studio) -> None:
    texts = ["slow a", "slow b", "c", "d", "e"]
    doomed = studio.worker()
    flow = studio.flow(texts)
    studio.until(lambda: len(studio.spoken()) == 2)
    doomed.kill()
    doomed.wait()
    studio.worker()
    check(studio, texts, flow.result())
    assert sorted(studio.spoken()) == sorted([*texts, "slow a", "slow b"])


@pytest.mark.parametrize("kind", OPERATIONS)
def test_workers_that_die_at_any_point_of_their_work_lose_nothing(studio: Studio, kind: str) -> None:
    """Half way through a take; when it is kept and nobody knows; when it is known and its message is not taken."""
    doomed = [studio.worker(threads=1, wait=False, DIES_AT=point) for point in test_engine.POINTS]
    texts = [f"frase {number}" for number in range(8)]
    phrases = [f"frase {number}" for number in range(8 * TOGETHER)]  # none twice: what is known makes nobody die
    flow, ordered = {
        Ability.SPEAK: lambda: (studio.flow(texts), 8),
        Ability.TRANSCRIBE: lambda: (studio.hearing(8), 8),
        Ability.TRANSLATE: lambda: (studio.translating(phrases), 8),
        Ability.WRITE: lambda: (studio.asking(*texts), 8),
    }[Ability(kind)]()
    for worker in doomed:
        assert worker.wait(60) == -signal.SIGKILL
    studio.worker()
    result = flow.result()
    assert {state for state, _ in orders(studio)} == {OrderState.DONE}
    assert len(orders(studio)) == ordered
    if kind == Ability.TRANSLATE:
        assert [line.text for line in result] == [f"(es) {text}" for text in phrases]
    if kind == Ability.WRITE:
        assert result == [f"{text} Yes, 1." for text in texts]
    if kind == Ability.SPEAK:
        check(studio, texts, result)
        # Half a take is spoken again, and one that nobody knew of; one that was known is not.
        assert len(studio.spoken()) <= len(texts) + 2


def test_a_worker_that_is_frozen_loses_its_lines_and_writes_nothing_when_it_wakes(studio: Studio) -> None:
    # A home of its own, as on another machine: on one machine the other would wait for what the frozen one makes.
    frozen = studio.worker(threads=1, SPEECHMILL_HOME=str(studio.folder / "elsewhere"))
    flow = studio.flow(["slow a"])
    studio.until(lambda: leased(studio) == 1)
    frozen.send_signal(signal.SIGSTOP)
    studio.worker(threads=1)
    takes = flow.result()
    frozen.send_signal(signal.SIGCONT)
    studio.until(lambda: "no longer ours" in studio.log(0), 15)
    check(studio, ["slow a"], takes)
    assert orders(studio) == [(OrderState.DONE, 2)]


@pytest.mark.parametrize("fault", [OwnRedis.flush, OwnRedis.restart, OwnRedis.freeze])
def test_a_redis_that_forgets_or_stops_answering_loses_no_line(
    frail: Studio, own_redis: OwnRedis, fault: Callable[[OwnRedis], None]
) -> None:
    texts = [f"brief {number}" for number in range(25)]
    frail.worker()
    flow = frail.flow(texts)
    frail.until(lambda: len(frail.spoken()) > 2)
    fault(own_redis)
    check(frail, texts, flow.result())
    assert sorted(frail.spoken()) == sorted(texts)


def test_a_redis_that_connections_no_longer_lead_to_loses_no_line(
    tmp_path: Path, postgres_url: str, redis: str, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packets are dropped and nobody says so: half-open connections, of the worker and of whoever waits."""
    assert app.SILENT_S <= 10  # what takes half a minute with it takes ten seconds here
    monkeypatch.setattr(app, "SILENT_S", SILENT_S)
    port = urlsplit(redis).port
    assert port
    proxy = Proxy(port)
    studio = Studio(tmp_path, postgres_url, f"redis://127.0.0.1:{proxy.port}/0", forge)
    texts = [f"brief {number}" for number in range(25)]
    studio.worker(SILENT_S=str(SILENT_S))
    flow = studio.flow(texts)
    studio.until(lambda: len(studio.spoken()) > 2)
    assert proxy.lose() >= 3
    began_s = time.monotonic()
    check(studio, texts, flow.result())
    assert time.monotonic() - began_s < HALF_OPEN_S
    assert sorted(studio.spoken()) == sorted(texts)
    studio.close()
    proxy.close()


def test_messages_that_are_lost_while_redis_seems_well_are_sent_again(frail: Studio, own_redis: OwnRedis) -> None:
    texts = ["a", "b", "c"]
    flow = frail.flow(texts)
    queue = "speechmill:cpu.speech/3"
    frail.until(lambda: own_redis.client.llen(queue) == 3)
    own_redis.client.delete(queue)
    frail.worker()
    check(frail, texts, flow.result())


def test_a_database_that_restarts_is_waited_for(studio: Studio, postgres: str) -> None:
    texts = [f"brief {number}" for number in range(25)]
    studio.worker()
    flow = studio.flow(texts)
    studio.until(lambda: len(studio.spoken()) > 2)
    with without_postgres(postgres):
        time.sleep(1)
        assert flow.is_alive()
        assert len(studio.spoken()) < len(texts)
    check(studio, texts, flow.result())


def test_a_worker_that_is_told_to_stop_finishes_what_runs_and_begins_nothing(studio: Studio) -> None:
    worker = studio.worker(threads=1)
    flow = studio.flow(["slow a", "slow b"])
    studio.until(lambda: leased(studio) == 1)
    worker.terminate()
    assert worker.wait(20) == 0
    assert orders(studio) == [(OrderState.DONE, 1), (OrderState.ORDERED, 0)]
    studio.worker(threads=1)
    check(studio, ["slow a", "slow b"], flow.result())
    assert studio.spoken() == ["slow a", "slow b"]


def test_a_worker_that_cannot_finish_in_time_gives_back_what_runs(studio: Studio) -> None:
    worker = studio.worker(threads=1, SPEECHMILL_SHUTDOWN_S="0.5", SPEECHMILL_LEASE_S="600")
    studio.flow(["stuck"])
    studio.until(lambda: leased(studio) == 1)
    began_s = time.monotonic()
    worker.terminate()
    assert worker.wait(20) == 0
    assert time.monotonic() - began_s < 10
    assert orders(studio) == [(OrderState.ORDERED, 0)]


def test_workers_whose_clocks_are_hours_off_take_nothing_from_each_other(studio: Studio) -> None:
    """One whose clock is ahead takes every message that others have for forgotten, and has it sent again."""
    texts = [f"slow {number}" for number in range(9)]
    for ahead_s in (0, 7200, -7200):
        studio.worker(threads=1, wait=ahead_s == 0, CLOCK_AHEAD_S=str(ahead_s))
    flow = studio.flow(texts)
    check(studio, texts, flow.result())
    assert sorted(studio.spoken()) == sorted(texts)
    assert orders(studio) == [(OrderState.DONE, 1)] * len(texts)


def test_a_worker_whose_engine_does_not_come_back_ends_and_its_lines_go_to_others(studio: Studio) -> None:
    worker = studio.worker(threads=2, SPEECHMILL_WORK_TIMEOUT_S="2", SPEECHMILL_LEASE_S="600")
    studio.flow(["stuck"])
    assert worker.wait(30) == 70
    assert orders(studio) == [(OrderState.ORDERED, 1)]
    assert "it took longer than 2 s; this worker ends" in studio.log()


def test_a_worker_keeps_its_lease_while_it_works(studio: Studio) -> None:
    studio.worker(threads=1, SPEECHMILL_LEASE_S="1")
    flow = studio.flow(["slow a"])
    check(studio, ["slow a"], flow.result())
    assert orders(studio) == [(OrderState.DONE, 1)]


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"SPEECHMILL_BROKER_URL": ""}, 3, "SPEECHMILL_BROKER_URL"),
        ({"SPEECHMILL_BROKER_URL": "amqp://localhost"}, 3, "SPEECHMILL_BROKER_URL"),
        ({"SPEECHMILL_BROKER_URL": "redis://127.0.0.1:1/0"}, 4, "the broker does not answer"),
        ({"SPEECHMILL_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, 4, "the database does not answer"),
        ({"SPEECHMILL_DATABASE_URL": "sqlite:///{folder}/empty.db"}, 4, "not up to date"),
        ({"SPEECHMILL_OBJECTS_URL": "s3://none/here", "SPEECHMILL_S3_ENDPOINT_URL": "http://127.0.0.1:1"}, 4, ""),
    ],
)
def test_a_worker_says_in_one_line_what_is_missing(
    studio: Studio, tmp_path: Path, changes: dict[str, str], code: int, said: str
) -> None:
    changes = {name: value.format(folder=tmp_path) for name, value in changes.items()}
    ran = studio.run("worker", **changes, AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="y")
    assert ran.returncode == code
    last = ran.stderr.strip().splitlines()[-1]
    assert last.startswith("speechmill: error[")
    assert said in last
    assert "Traceback" not in ran.stderr


def test_a_flow_says_at_once_that_the_broker_is_missing(studio: Studio) -> None:
    from speechmill.errors import Unavailable

    studio.settings = studio.settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"})
    with pytest.raises(Unavailable, match="the broker does not answer"):
        studio.place()
