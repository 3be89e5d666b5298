"""Every task may be delivered twice, late or for nothing: what comes of it is one thing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import sqlalchemy as sa

from model_worker.app import make_app, task_name
from model_worker.engines import registry
from model_worker.messages import Message
from speechmill import abilities
from speechmill.abilities import Ability, Phrase
from speechmill.recipes import Digest
from storage.artifacts import key_of
from storage.catalog import JobState, Order, OrderState
from storage.catalog.models import Base, UseRow
from tasks.answering import Answering, Question
from tasks.media.extraction import Sound
from tasks.queue import OPERATIONS, Station, register, station, work
from tasks.speaking import Speaking, speak_ordered
from tasks.speech.activity import Chunk
from tasks.transcribing import Hearing
from tasks.translating import Passage, Translating
from tests.keeping import keep_file
from tests.queueing import engine as test_engine
from tests.queueing.conftest import Studio

ROUND = "round"


def to_speak(studio: Studio) -> Order:
    chosen = registry.engine(test_engine.NAME, studio.settings)
    return Speaking(studio.place(), "es", chosen, None).order(studio.assignments(["Buenos días."])[0])


def to_hear(studio: Studio) -> Order:
    place = studio.place()
    recording = studio.folder / "recording.wav"
    soundfile.write(recording, np.sin(np.arange(96_000) / 50).astype(np.float32), 48_000, subtype="FLOAT")
    sound = Sound(keep_file(place.store, recording).sha256, 1, "mono", 96_000)
    chosen = registry.engine(test_engine.NAME, studio.settings)
    return Hearing(place, sound, chosen, "es").order(Chunk(0, 48_000))


def to_translate(studio: Studio) -> Order:
    chosen = registry.engine(test_engine.NAME, studio.settings)
    passage = Passage((Phrase("0001", "Good morning."), Phrase("0002", "The train.")), "en", "es", {"train": "tren"})
    return Translating(studio.place(), "es", chosen).order(passage)


def to_answer(studio: Studio) -> Order:
    chosen = registry.engine(test_engine.NAME, studio.settings)
    return Answering(studio.place(), chosen).order(Question((abilities.Message("user", "Are you there?"),), 1))


ORDER: dict[str, Callable[[Studio], Order]] = {
    Ability.SPEAK: to_speak,
    Ability.TRANSCRIBE: to_hear,
    Ability.TRANSLATE: to_translate,
    Ability.WRITE: to_answer,
}
"""An order of every kind; a task without one here fails its tests."""
MADE = {Ability.TRANSLATE: {"translate together made": 1, "translate made": 2}}
"""What comes of one order where it is more than one artifact."""


@pytest.fixture
def here(studio: Studio) -> Iterator[Station]:
    made = station(studio.settings)
    yield made
    made.waker.close()
    made.broker.close()
    made.catalog.close()


def message(order: Order) -> dict[str, object]:
    key = order.key
    return Message(job=key.job_id, line=key.item, take=key.number, recipe=key.recipe).model_dump()


def rows(studio: Studio) -> dict[str, list[object]]:
    """Everything in the database."""
    with studio.catalog._database.reading() as session:
        return {name: list(session.execute(sa.select(table))) for name, table in Base.metadata.tables.items()}


def test_every_task_is_tested_here(studio: Studio, here: Station) -> None:
    app = make_app(studio.settings)
    register(app, here)
    assert {name for name in app.tasks if name.startswith("speechmill.")} == {task_name(kind) for kind in ORDER}
    app.close()


@pytest.mark.parametrize("kind", OPERATIONS)
def test_a_task_run_twice_has_one_effect(studio: Studio, here: Station, kind: str) -> None:
    order = ORDER[kind](studio)
    studio.catalog.order(ROUND, studio.job.id, kind, order.language, [order])
    work(here, kind, OPERATIONS[kind], message(order))
    assert studio.catalog.counts(ROUND)[OrderState.DONE] == 1, studio.catalog.given_up(ROUND)
    after_one = rows(studio)
    work(here, kind, OPERATIONS[kind], message(order))
    assert rows(studio) == after_one


@pytest.mark.parametrize("kind", OPERATIONS)
def test_a_task_run_by_eight_at_once_has_one_effect(studio: Studio, here: Station, kind: str) -> None:
    order = ORDER[kind](studio)
    begun: list[int] = []
    test_engine.during.append(lambda: begun.append(1))
    studio.catalog.order(ROUND, studio.job.id, kind, order.language, [order])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: work(here, kind, OPERATIONS[kind], message(order)), range(8)))
    assert studio.catalog.counts(ROUND)[OrderState.DONE] == 1
    assert len(begun) == 1
    assert studio.catalog.tally(ROUND) == MADE.get(kind, {f"{kind} made": 1})


@pytest.mark.parametrize("kind", OPERATIONS)
def test_a_message_that_nothing_was_ordered_for_does_nothing(studio: Studio, here: Station, kind: str) -> None:
    order = ORDER[kind](studio)
    before = rows(studio)
    work(here, kind, OPERATIONS[kind], message(order))
    work(here, kind, OPERATIONS[kind], {"v": 1, "text": "rm -rf"})
    assert rows(studio) == before


@pytest.mark.parametrize("kind", OPERATIONS)
def test_nothing_holds_a_connection_while_an_engine_works_or_objects_are_kept(
    studio: Studio, here: Station, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = ORDER[kind](studio)
    studio.catalog.order(ROUND, studio.job.id, kind, order.language, [order])
    held: list[int] = []

    def look() -> None:
        held.append(here.catalog._database.connections_in_use)

    test_engine.during.append(look)
    objects = here.store._objects
    put_file = objects.put_file

    def put(key: str, path: Path, *, give: bool = False, durable: bool = True) -> None:
        look()
        put_file(key, path, give=give, durable=durable)

    monkeypatch.setattr(objects, "put_file", put)
    work(here, kind, OPERATIONS[kind], message(order))
    assert len(held) >= 2
    assert set(held) == {0}


def test_a_worker_of_another_version_of_an_engine_leaves_the_work_to_others(
    studio: Studio, here: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = to_speak(studio)
    studio.catalog.order(ROUND, studio.job.id, Ability.SPEAK, "es", [order])
    monkeypatch.setattr(test_engine.Mouth, "version", "test-0")
    work(here, Ability.SPEAK, OPERATIONS[Ability.SPEAK], message(order))
    assert studio.catalog.counts(ROUND)[OrderState.ORDERED] == 1
    assert studio.spoken() == []


def test_orders_of_two_jobs_for_the_same_take_make_it_once_and_both_have_it(studio: Studio, here: Station) -> None:
    """Whether they come after each other or, in one worker, at the same time."""
    orders = []
    for number in range(4):
        studio.job = studio.catalog.add_job("dub", {}, f"film {number}")
        studio.catalog.move_job(studio.job.id, JobState.RUNNING)
        orders.append(to_speak(studio))
        studio.catalog.order(f"{number}", studio.job.id, Ability.SPEAK, "es", [orders[-1]])
    begun = threading.Barrier(3, timeout=10)
    lease = here.catalog.lease

    def leased_together(*given: Any) -> Any:
        found = lease(*given)
        begun.wait()  # nobody has made anything yet
        return found

    here.catalog.lease = leased_together  # type: ignore[method-assign]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda order: work(here, Ability.SPEAK, speak_ordered, message(order)), orders[:3]))
    here.catalog.lease = lease  # type: ignore[method-assign]
    work(here, Ability.SPEAK, speak_ordered, message(orders[3]))
    assert studio.spoken() == ["Buenos días."]
    made = [studio.catalog.tally(f"{number}") for number in range(4)]
    assert sorted(made, key=str) == [{"speak made": 1}, *[{"speak reused": 1}] * 3]
    for order in orders:
        (take,) = studio.catalog.takes(order.key.job_id, "es")
        assert take.audio is not None
        assert here.store.path(take.audio).exists()
    with studio.catalog._database.reading() as session:
        used = session.scalars(sa.select(UseRow.job_id).where(UseRow.recipe == orders[0].key.recipe)).all()
    assert set(used) == {order.key.job_id for order in orders}


def test_a_chunk_is_heard_where_the_film_that_it_is_of_is_not(studio: Studio, here: Station) -> None:
    order = to_hear(studio)
    studio.catalog.order(ROUND, studio.job.id, Ability.TRANSCRIBE, "es", [order])
    here.store._objects.delete(key_of(Digest(str(order.payload["sound"]))))
    work(here, Ability.TRANSCRIBE, OPERATIONS[Ability.TRANSCRIBE], message(order))
    assert studio.catalog.counts(ROUND)[OrderState.DONE] == 1, studio.catalog.given_up(ROUND)
