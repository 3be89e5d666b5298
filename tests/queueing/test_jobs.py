"""Jobs whose work is done by workers: what a user gets, and what becomes of bad lines, cancels and priorities."""

from __future__ import annotations

import random
import time

import pytest
import redis as redis_client
import sqlalchemy as sa

from model_worker.app import Sender, make_app
from model_worker.broker import lists
from model_worker.messages import VERSION, Message, Priority, Queue, aside
from speechmill.errors import Cancelled, EngineRefused, GivenUp
from speechmill.lines import Doubt
from speechmill.takes import Reason, Verdict
from storage.catalog import BATCH, JobState, OrderState
from tests.queueing.conftest import Studio

TEXTS = [f"Esta es la frase {number}." for number in range(12)]


def test_workers_speak_a_job_and_a_second_run_finds_it_spoken(staffed: Studio) -> None:
    place = staffed.place()
    takes = staffed.speak(TEXTS, place)
    assert [take.verdict for tried in takes.values() for take in tried] == [Verdict.PASSED] * len(TEXTS)
    assert sorted(staffed.spoken()) == sorted(TEXTS)
    assert place.store.tally["speak", "made"] == len(TEXTS)
    again = staffed.place()
    assert staffed.speak([*TEXTS[:-1], "Otra cosa."], again).keys() == takes.keys()
    assert staffed.spoken()[len(TEXTS) :] == ["Otra cosa."]
    assert again.store.tally == {("speak", "made"): 1, ("speak", "reused"): len(TEXTS) - 1}


def test_workers_translate_a_script_and_a_changed_line_is_all_that_is_asked_for_again(staffed: Studio) -> None:
    translated = staffed.translating(TEXTS * 2).result()
    assert [line.text for line in translated] == [f"(es) {text}" for text in TEXTS * 2]
    assert len(staffed.spoken()) <= 24  # two passages may both ask for one text
    staffed.spoken_file.write_text("")
    changed = staffed.translating([*TEXTS, "Otra cosa.", *TEXTS[1:]]).result()
    assert changed[12].text == "(es) Otra cosa."
    assert staffed.spoken() == ["Otra cosa."]


def test_lines_that_no_worker_can_translate_keep_their_text_and_say_so(staffed: Studio) -> None:
    texts = [*TEXTS, *TEXTS[:4], "poison"]
    test = staffed.translating(texts).result()
    assert [line.text for line in test[:16]] == [f"(es) {text}" for text in texts[:16]]
    assert (test[16].text, test[16].doubts) == ("poison", (Doubt.UNTRANSLATED,))
    assert [event.kind for event in staffed.catalog.events(staffed.job.id)][-1] == "given-up"


def test_workers_write_what_a_flow_asks_one_answer_after_the_other(staffed: Studio) -> None:
    assert staffed.asking("Who?", "Why?").result() == ["Who? Yes, 1.", "Why? Yes, 1."]
    assert staffed.asking("Who?", "When?").result() == ["Who? Yes, 1.", "When? Yes, 1."]
    assert staffed.spoken() == ["Who?", "Why?", "When?"]
    with pytest.raises(EngineRefused, match="there is no answer"):
        staffed.asking("nonsense").result()


def test_a_take_whose_bytes_are_gone_is_spoken_again(staffed: Studio) -> None:
    texts = ["Hola.", "Buenos días.", "Buenas noches a todos."]
    first = staffed.speak(texts)
    audio = first["0001"][0].audio
    assert audio is not None
    place = staffed.place()
    place.store._objects.delete(f"artifacts/{audio[:2]}/{audio}")
    assert staffed.speak(texts) == first
    assert staffed.spoken()[3:] == [texts[1]]
    assert place.store.path(audio).exists()


def test_messages_that_come_twice_and_in_no_order_are_worked_on_once(
    staffed: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Sender.send

    def twice(self: Sender, kind: str, messages: list[Message], queue: str, priority: Priority) -> None:
        shuffled = messages * 3
        random.Random(7).shuffle(shuffled)
        send(self, kind, shuffled, queue, priority)

    monkeypatch.setattr(Sender, "send", twice)
    texts = [f"Dos veces {number}." for number in range(12)]
    takes = staffed.speak(texts)
    assert sorted(staffed.spoken()) == sorted(texts)
    assert [take.line_id for take in staffed.catalog.takes(staffed.job.id, "es")] == list(takes)


def test_a_line_that_no_engine_survives_is_given_up_and_the_others_are_spoken(staffed: Studio) -> None:
    takes = staffed.speak(["Hola.", "poison", "Adiós."])
    verdicts = {line_id: (take.verdict, take.reasons) for line_id, (take,) in takes.items()}
    assert verdicts["0001"] == (Verdict.FAILED, (Reason.GIVEN_UP,))
    assert verdicts["0000"] == verdicts["0002"] == (Verdict.PASSED, ())
    assert staffed.spoken().count("poison") == 3
    event = next(event for event in staffed.catalog.events(staffed.job.id) if event.kind == "given-up")
    assert event.detail["line"] == "0001"
    assert "does not agree" in str(event.detail["error"])
    assert staffed.catalog.takes(staffed.job.id, "es")[1].reasons == (Reason.GIVEN_UP,)


def test_a_service_that_stays_away_ends_the_job_and_not_its_lines(staffed: Studio) -> None:
    flow = staffed.flow(["Hola.", "away"])
    for attempt in (1, 2):
        staffed.until(lambda attempt=attempt: len(_paused(staffed)) == 1 and staffed.spoken().count("away") == attempt)
        with staffed.catalog._database.engine.begin() as connection:  # the pauses are long, so that services come back
            connection.exec_driver_sql("UPDATE orders SET send_at_s = 0 WHERE item = '0001'")
    with pytest.raises(GivenUp, match="machine is away"):
        flow.result()


def test_a_cancelled_job_starts_nothing_new_within_two_seconds(staffed: Studio) -> None:
    flow = staffed.flow([f"brief {number}" for number in range(200)])
    staffed.until(lambda: len(staffed.spoken()) > 4)
    asked_s = time.monotonic()
    staffed.catalog.request_cancel(staffed.job.id)
    with pytest.raises(Cancelled):
        flow.result()
    assert flow.ended_s - asked_s < 2.5
    staffed.until(lambda: _counts(staffed)[OrderState.LEASED] == 0, 5)
    begun = len(staffed.spoken())
    time.sleep(1)
    assert len(staffed.spoken()) == begun
    assert _counts(staffed)[OrderState.ORDERED] == 0
    staffed.catalog.move_job(staffed.job.id, JobState.CANCELLED)
    staffed.catalog.move_job(staffed.job.id, JobState.RUNNING)
    takes = staffed.speak(["brief 0", "brief 1"])
    assert [tried[0].verdict for tried in takes.values()] == [Verdict.PASSED] * 2


def test_a_message_of_a_newer_version_waits_for_a_newer_worker(staffed: Studio) -> None:
    app = make_app(staffed.settings)
    newer = {"v": VERSION + 1, "job": "j", "items": ["what this version does not know"]}
    app.send_task("speechmill.speak", args=(newer,), queue=Queue.CPU_SPEECH.value)
    app.send_task("speechmill.speak", args=({"v": "nonsense"},), queue=Queue.CPU_SPEECH.value)
    app.close()
    client = redis_client.Redis.from_url(staffed.settings.broker_url)
    kept = f"speechmill:{aside(Queue.CPU_SPEECH, VERSION + 1)}/{int(Priority.NORMAL)}"
    staffed.until(lambda: client.llen(kept) == 1, 10)
    assert kept in lists(Queue.CPU_SPEECH)
    assert "put aside a message of version 2" in staffed.log()
    assert staffed.speak(TEXTS[:2]).keys() == {"0000", "0001"}
    assert client.llen(kept) == 1


def test_an_edited_line_goes_before_a_batch(frail: Studio) -> None:
    frail.catalog.set_job_facts(frail.job.id, **{BATCH: "batch-1"})
    batch = frail.flow(["brief batch"] * 30)
    frail.until(lambda: _depth(frail) == 30)
    edited = Studio(frail.folder, frail.settings.database_url, frail.settings.broker_url, frail.forge)
    edited.catalog.put_delivery(edited.job.id, "es", {}, [], "completed")
    again = edited.flow(["Otra cosa."])
    frail.until(lambda: _depth(frail) == 31)
    frail.worker(threads=1)
    again.result()
    assert len(frail.spoken()) < 5
    batch.result()
    edited.close()


def _counts(studio: Studio) -> dict[OrderState, int]:
    with studio.catalog._database.engine.connect() as connection:
        query = sa.text("SELECT state, count(*) FROM orders WHERE job_id = :job GROUP BY state")
        found = dict(connection.execute(query, {"job": studio.job.id}).all())
    return {state: found.get(state, 0) for state in OrderState}


def _paused(studio: Studio) -> list[object]:
    with studio.catalog._database.engine.connect() as connection:
        query = "SELECT item FROM orders WHERE state = 'ordered' AND send_at_s > extract(epoch FROM now()) + 1"
        return list(connection.exec_driver_sql(query))


def _depth(studio: Studio) -> int:
    client = redis_client.Redis.from_url(studio.settings.broker_url)
    return sum(client.llen(name) for name in lists(Queue.CPU_SPEECH))
