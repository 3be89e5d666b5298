"""What the catalog keeps, on every database."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from speechmill.abilities import Ability
from speechmill.errors import BadInput, Conflict, Unavailable, UnknownName
from speechmill.lines import Anchor, Doubt, Line, Word
from speechmill.recipes import Artifact, Digest, digest_of_bytes
from speechmill.takes import Measurements, Reason, Take, Verdict
from speechmill.voices import Consent, Voice
from storage.catalog import Catalog, Job, JobState, Order, OrderKey, StoredLine, new_job_id

MEASURED = Measurements(96_000, 480, 90_000, loudness_lufs=-23.04, peak_dbfs=-3.1, error_rate=0.125)


def digest(text: str) -> Digest:
    return digest_of_bytes(text.encode())


def line(number: int, language: str = "es", text: str = "") -> Line:
    return Line(
        f"L{number:04}",
        "A",
        language,
        text or f"línea {number} “dicha”",
        spoken="",
        anchor=Anchor(number * 48_000, number * 48_000 + 40_000),
        words=(Word("línea", number * 48_000, number * 48_000 + 20_000, 0.9),),
        doubts=(Doubt.UNKNOWN_WORDS,),
    )


def take(number: int, recipe: str, try_number: int = 1) -> Take:
    return Take(
        f"L{number:04}", try_number, digest(recipe), digest(f"audio {recipe}"), MEASURED, Verdict.REVIEW,
        (Reason.FAST, Reason.UNKNOWN_WORDS),
    )  # fmt: skip


@pytest.fixture
def job(catalog: Catalog) -> Job:
    return catalog.add_job("dub", {"source": "talk.mp4", "targets": ["es"]}, "fingerprint", "out/talk")


def completed(catalog: Catalog, job: Job) -> None:
    catalog.move_job(job.id, JobState.RUNNING)
    catalog.move_job(job.id, JobState.COMPLETED)


# Jobs and events


def test_a_job_is_what_was_asked(catalog: Catalog, job: Job) -> None:
    assert catalog.job(job.id) == job
    assert (job.state, job.request, job.facts, job.out) == (
        JobState.QUEUED, {"source": "talk.mp4", "targets": ["es"]}, {}, "out/talk",
    )  # fmt: skip
    assert job.created_at.tzinfo == UTC
    assert abs(datetime.now(UTC) - job.created_at) < timedelta(minutes=1)


def test_a_job_that_does_not_exist_is_told_by_those_that_do(catalog: Catalog) -> None:
    with pytest.raises(UnknownName, match="none was started"):
        catalog.job("nothing")
    ids = [catalog.add_job("dub", {}, "f").id for _ in range(7)]
    with pytest.raises(UnknownName) as caught:
        catalog.job("nothing")
    assert all(known in str(caught.value) for known in ids[2:])
    assert ids[0] not in str(caught.value)
    for ask in (
        lambda: catalog.move_job("nothing", JobState.RUNNING),
        lambda: catalog.set_job_facts("nothing", a=1),
        lambda: catalog.request_cancel("nothing"),
        lambda: catalog.add_event("nothing", "x"),
        lambda: catalog.put_lines("nothing", "es", []),
        lambda: catalog.put_cast("nothing", "es", {}),
        lambda: catalog.order("round", "nothing", Ability.SPEAK, "es", []),
        lambda: catalog.put_delivery("nothing", "es", {}, [], "completed"),
        lambda: catalog.edit_line("nothing", "es", "L0001", "x"),
    ):
        with pytest.raises(UnknownName):
            ask()


def test_the_latest_jobs_come_first(catalog: Catalog) -> None:
    ids = [catalog.add_job("dub", {}, "f").id for _ in range(4)]
    assert [found.id for found in catalog.jobs()] == ids[::-1]
    assert [found.id for found in catalog.jobs(2)] == ids[:1:-1]


def test_job_ids_are_short_sortable_and_safe_in_file_names() -> None:
    ids = []
    for _ in range(50):
        ids.append(new_job_id())
        time.sleep(0.002)
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert all(len(found) <= 26 and found.replace("-", "").isalnum() and found == found.lower() for found in ids)


def test_a_job_may_be_named_before_it_is_added(catalog: Catalog) -> None:
    name = new_job_id()
    assert catalog.add_job("dub", {}, "f", f"out/{name}", job_id=name).id == name
    assert catalog.job(name).out == f"out/{name}"


def test_facts_are_merged(catalog: Catalog, job: Job) -> None:
    catalog.set_job_facts(job.id, sha256="abc", duration_s=61.5)
    catalog.set_job_facts(job.id, duration_s=62.0, streams=[{"codec": "aac"}])
    assert catalog.job(job.id).facts == {"sha256": "abc", "duration_s": 62.0, "streams": [{"codec": "aac"}]}


def test_facts_set_at_once_are_all_kept(catalog: Catalog, job: Job) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: catalog.set_job_facts(job.id, **{f"fact{i}": i}), range(24)))
    assert catalog.job(job.id).facts == {f"fact{i}": i for i in range(24)}


def test_the_latest_job_of_the_same_request_is_gone_on_with_unless_it_is_completed(catalog: Catalog) -> None:
    assert catalog.unfinished_job("f") is None
    first = catalog.add_job("dub", {}, "f")
    other = catalog.add_job("dub", {}, "other")
    assert catalog.unfinished_job("f") == first
    catalog.move_job(first.id, JobState.RUNNING)
    assert (found := catalog.unfinished_job("f")) is not None
    assert found.state is JobState.RUNNING
    catalog.move_job(first.id, JobState.FAILED, error="x")
    assert (found := catalog.unfinished_job("f")) is not None
    assert found.id == first.id
    second = catalog.add_job("dub", {}, "f")
    completed(catalog, second)
    assert catalog.unfinished_job("f") is None  # the older one that failed was overtaken
    assert catalog.unfinished_job("other") == other


def test_a_job_is_asked_to_stop_until_it_is_started_again(catalog: Catalog, job: Job) -> None:
    catalog.move_job(job.id, JobState.RUNNING)
    assert not catalog.cancel_requested(job.id)
    catalog.request_cancel(job.id)
    catalog.request_cancel(job.id)
    assert catalog.cancel_requested(job.id)
    assert catalog.job(job.id).cancel_requested
    catalog.move_job(job.id, JobState.CANCELLED)
    with pytest.raises(Conflict):
        catalog.request_cancel(job.id)
    catalog.move_job(job.id, JobState.RUNNING)
    assert not catalog.cancel_requested(job.id)
    assert [event.kind for event in catalog.events(job.id)].count("cancel-requested") == 1


def test_events_tell_what_happened_in_order(catalog: Catalog, job: Job) -> None:
    catalog.move_job(job.id, JobState.RUNNING, by="cli")
    catalog.add_event(job.id, "stage", name="probe", seconds=0.25)
    catalog.move_job(job.id, JobState.FAILED, error="no disk")
    events = catalog.events(job.id)
    assert [(event.kind, event.detail) for event in events] == [
        ("state", {"from": None, "to": "queued"}),
        ("state", {"from": "queued", "to": "running", "by": "cli"}),
        ("stage", {"name": "probe", "seconds": 0.25}),
        ("state", {"from": "running", "to": "failed", "error": "no disk"}),
    ]
    assert all(event.at.tzinfo == UTC for event in events)


# Lines and casts


def test_lines_come_back_as_they_were_put(catalog: Catalog, job: Job) -> None:
    spanish = [replace(line(2), id="second", anchor=None, words=(), doubts=(), style="calm"), line(1), line(3)]
    catalog.put_lines(job.id, "es", spanish)
    catalog.put_lines(job.id, "en", [line(1, "en")])
    assert catalog.lines(job.id, "es") == [StoredLine(each, at, 1, False, 0) for at, each in enumerate(spanish)]
    assert [stored.line.language for stored in catalog.lines(job.id)] == ["en", "es", "es", "es"]
    assert catalog.lines(job.id, "fr") == []


def test_lines_put_again_are_replaced(catalog: Catalog, job: Job) -> None:
    catalog.put_lines(job.id, "es", [line(1), line(2), line(3)])
    catalog.put_lines(job.id, "es", [line(1), line(2), line(3)])
    assert [stored.revision for stored in catalog.lines(job.id, "es")] == [1, 1, 1]
    catalog.put_lines(job.id, "es", [line(3), line(4), line(1, text="otra")])
    assert [(s.line.id, s.line.text, s.position, s.revision) for s in catalog.lines(job.id, "es")] == [
        ("L0003", line(3).text, 0, 1), ("L0004", line(4).text, 1, 1), ("L0001", "otra", 2, 2),
    ]  # fmt: skip


def test_lines_that_would_be_lost_are_refused(catalog: Catalog, job: Job) -> None:
    with pytest.raises(ValueError, match="two lines"):
        catalog.put_lines(job.id, "es", [line(1), line(1, text="otra")])
    with pytest.raises(ValueError, match="not in fr"):
        catalog.put_lines(job.id, "fr", [line(1)])
    assert catalog.lines(job.id) == []


def test_an_edit_makes_a_completed_job_stale(catalog: Catalog, job: Job) -> None:
    catalog.put_lines(job.id, "es", [line(1), line(2)])
    completed(catalog, job)
    edited = catalog.edit_line(job.id, "es", "L0002", "más corta")
    assert (edited.line.text, edited.line.doubts, edited.revision, edited.edited) == ("más corta", (), 2, True)
    assert edited.line.words == line(2).words
    assert catalog.lines(job.id, "es")[1] == edited
    assert catalog.job(job.id).state is JobState.STALE
    catalog.edit_line(job.id, "es", "L0001", "también")
    assert catalog.job(job.id).state is JobState.STALE
    assert [event.kind for event in catalog.events(job.id)[-3:]] == ["state", "edited", "edited"]


def test_an_edit_is_kept_until_the_source_changes(catalog: Catalog, job: Job) -> None:
    original = {"L0001": "hello", "L0002": "bye"}
    catalog.put_lines(job.id, "es", [line(1), line(2)], sources=original)
    catalog.edit_line(job.id, "es", "L0001", "buenas")
    again = replace(line(1, text="another engine's hello"), anchor=Anchor(1, 2))
    catalog.put_lines(job.id, "es", [again, line(2)], sources=original)
    kept = catalog.lines(job.id, "es")[0]
    assert (kept.line.text, kept.line.anchor, kept.edited, kept.revision) == ("buenas", Anchor(1, 2), True, 2)
    catalog.put_lines(job.id, "es", [again, line(2)], sources={**original, "L0001": "hello there"})
    replaced = catalog.lines(job.id, "es")[0]
    assert (replaced.line.text, replaced.edited, replaced.revision) == (again.text, False, 3)


def test_an_edited_transcript_is_kept_while_the_same_is_heard(catalog: Catalog, job: Job) -> None:
    catalog.put_lines(job.id, "en", [line(1, "en", "wreck a nice beach")])
    catalog.edit_line(job.id, "en", "L0001", "recognise speech")
    catalog.put_lines(job.id, "en", [line(1, "en", "wreck a nice beach")])
    assert catalog.lines(job.id, "en")[0].line.text == "recognise speech"
    catalog.put_lines(job.id, "en", [line(1, "en", "recognize speech")])
    assert catalog.lines(job.id, "en")[0].line.text == "recognize speech"


def test_an_edit_of_no_line_says_how_to_find_them(catalog: Catalog, job: Job) -> None:
    catalog.put_lines(job.id, "es", [line(1)])
    completed(catalog, job)
    for language, line_id in (("es", "L9999"), ("fr", "L0001")):
        with pytest.raises(UnknownName, match=f"speechmill lines {job.id}"):
            catalog.edit_line(job.id, language, line_id, "x")
    assert catalog.job(job.id).state is JobState.COMPLETED


def test_lines_of_a_running_job_are_left_alone(catalog: Catalog, job: Job) -> None:
    catalog.put_lines(job.id, "es", [line(1)])
    catalog.move_job(job.id, JobState.RUNNING)
    with pytest.raises(Conflict, match="running"):
        catalog.edit_line(job.id, "es", "L0001", "x")
    with pytest.raises(Conflict, match="running"):
        catalog.ask_retake(job.id, ["L0001"])
    assert catalog.lines(job.id, "es") == [StoredLine(line(1), 0, 1, False, 0)]
    catalog.move_job(job.id, JobState.FAILED)
    catalog.edit_line(job.id, "es", "L0001", "x")
    assert catalog.job(job.id).state is JobState.FAILED  # it is to be run again anyway


def test_a_retake_gives_lines_another_seed(catalog: Catalog, job: Job) -> None:
    for language in ("es", "fr"):
        catalog.put_lines(job.id, language, [line(1, language), line(2, language)])
    completed(catalog, job)
    catalog.ask_retake(job.id, ["L0002"], "es")
    catalog.ask_retake(job.id, ["L0002"])
    assert catalog.seeds(job.id, "es") == {"L0001": 0, "L0002": 2}
    assert catalog.seeds(job.id, "fr") == {"L0001": 0, "L0002": 1}
    assert catalog.job(job.id).state is JobState.STALE
    with pytest.raises(UnknownName):
        catalog.ask_retake(job.id, ["L0001", "none"])
    assert catalog.seeds(job.id, "es")["L0001"] == 0
    catalog.put_lines(job.id, "es", [line(1), line(2)])
    assert catalog.seeds(job.id, "es")["L0002"] == 2


def test_a_cast_comes_back_as_it_was_put(catalog: Catalog, job: Job) -> None:
    cast = {
        "A": Voice("ana", "offline", {"variant": "f2", "pitch": 55}),
        "B": Voice("ben", "mimo", reference=digest("recording"), consent=Consent("Ben", "this film", "2027-01-01")),
    }
    catalog.put_cast(job.id, "es", {"X": Voice("old", "offline")})
    catalog.put_cast(job.id, "es", cast)
    assert catalog.cast(job.id, "es") == cast
    assert catalog.cast(job.id, "es")["A"].settings == {"variant": "f2", "pitch": 55}
    assert catalog.cast(job.id, "fr") == {}


# Takes in this process


def test_takes_are_written_in_the_order_of_lines(catalog: Catalog, job: Job) -> None:
    catalog.put_lines(job.id, "es", [line(2), line(1)])
    refused = Take("L0002", 1, digest("two"), None, None, Verdict.FAILED, (Reason.ENGINE_REFUSED,))
    for _ in range(2):
        catalog.put_takes(job.id, "es", [take(1, "one"), refused])
        assert catalog.takes(job.id, "es") == [refused, take(1, "one")]


def test_a_changed_recipe_replaces_its_take_and_what_followed(catalog: Catalog, job: Job) -> None:
    catalog.put_lines(job.id, "es", [line(1), line(2)])
    made = [take(i, f"{i}{n}", n) for i in (1, 2) for n in (1, 2)]
    catalog.put_takes(job.id, "es", made)
    catalog.put_takes(job.id, "es", [take(1, "11"), take(2, "new")])
    assert catalog.takes(job.id, "es") == [*made[:2], take(2, "new")]


def test_takes_go_with_their_lines(catalog: Catalog, job: Job) -> None:
    catalog.put_lines(job.id, "es", [line(1), line(2)])
    catalog.put_takes(job.id, "es", [take(1, "one"), take(2, "two")])
    catalog.put_lines(job.id, "es", [line(2)])
    assert catalog.takes(job.id, "es") == [take(2, "two")]
    with pytest.raises(UnknownName):
        catalog.put_takes(job.id, "es", [take(2, "two"), take(1, "one")])
    assert catalog.takes(job.id, "es") == [take(2, "two")]


# Artifacts and deliveries


def test_recipes_are_remembered(catalog: Catalog) -> None:
    recipe = digest("recipe")
    assert catalog.recall(recipe) is None
    catalog.remember(recipe, "speak", Artifact(digest("a"), 5, made=True))
    catalog.remember(recipe, "speak", Artifact(digest("b"), 7 << 40, made=True))
    assert catalog.recall(recipe) == Artifact(digest("b"), 7 << 40)
    catalog.forget(recipe)
    catalog.forget(recipe)
    assert catalog.recall(recipe) is None


def test_a_delivery_replaces_the_one_before(catalog: Catalog, job: Job) -> None:
    catalog.put_delivery(job.id, "es", {"audio": "talk.es.m4a"}, [], "failed")
    catalog.put_delivery(job.id, "fr", {}, [], "failed")
    checks = [{"id": "loudness", "passed": True, "measured": -14.02, "required": "-14 ± 0.5"}]
    catalog.put_delivery(job.id, "es", {"audio": "talk.es.m4a", "srt": None}, checks, "completed")
    first, second = catalog.deliveries(job.id)
    assert (first.language, first.outputs, first.checks, first.state) == (
        "es", {"audio": "talk.es.m4a", "srt": None}, checks, "completed",
    )  # fmt: skip
    assert second.language == "fr"


# All of it


def test_what_is_no_number_is_refused_on_every_database(catalog: Catalog, job: Job) -> None:
    with pytest.raises(Exception, match="not JSON compliant"):
        catalog.set_job_facts(job.id, peak_dbfs=float("-inf"))
    assert catalog.job(job.id).facts == {}


def test_a_second_catalog_of_the_same_database_sees_the_same(catalog: Catalog, job: Job, database_url: str) -> None:
    other = Catalog.open(database_url)
    assert other.job(job.id) == job
    other.move_job(job.id, JobState.RUNNING)
    assert catalog.job(job.id).state is JobState.RUNNING
    other.close()


def test_readers_do_not_wait_for_a_writer(catalog: Catalog, job: Job) -> None:
    with catalog._database.writing() as session:
        catalog._happened(session, job.id, "slow", {})
        session.flush()
        answers: list[int] = []
        reader = threading.Thread(target=lambda: answers.append(len(catalog.events(job.id))))
        reader.start()
        reader.join(10)
    assert answers == [1]


def test_eight_threads_work_on_one_catalog(catalog: Catalog, job: Job) -> None:
    catalog.put_lines(job.id, "es", [line(i) for i in range(160)])

    def work(part: int) -> None:
        for i in range(part, 160, 8):
            catalog.remember(digest(str(i)), "speak", Artifact(digest(f"audio {i}"), i))
            assert catalog.recall(digest(str(i))) == Artifact(digest(f"audio {i}"), i)
            catalog.put_takes(job.id, "es", [take(i, str(i))])
            catalog.cancel_requested(job.id)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert catalog.takes(job.id, "es") == [take(i, str(i)) for i in range(160)]


def test_a_job_of_900_lines_costs_little(catalog: Catalog, job: Job) -> None:
    spent = -time.process_time()
    catalog.put_lines(job.id, "en", [line(i, "en") for i in range(900)])
    catalog.put_lines(job.id, "es", [line(i) for i in range(900)])
    keys = [OrderKey(job.id, Ability.SPEAK, f"L{i:04}", 1, digest(str(i))) for i in range(900)]
    catalog.order("round", job.id, Ability.SPEAK, "es", [Order(key, "es", {}) for key in keys])
    for i, key in enumerate(keys):
        lease = catalog.lease(key, "me", 60)
        assert lease is not None
        lease.finish(take(i, str(i)))
    assert len(catalog.takes(job.id, "es")) == len(catalog.lines(job.id, "es")) == 900
    spent += time.process_time()
    assert spent < 3.0


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "mysql://x/y"])
def test_a_url_of_no_use_is_named(url: str) -> None:
    with pytest.raises(BadInput, match="SPEECHMILL_DATABASE_URL"):
        Catalog.open(url)


def test_a_catalog_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a database, only text that is long enough to be looked at" * 10)
    (tmp_path / "folder").mkdir()
    urls = [f"sqlite:///{tmp_path}/{name}" for name in ("file", "folder", "file/inside.db")]
    for url in [*urls, f"postgresql://nobody@/nothing?host={tmp_path}"]:
        with pytest.raises(Unavailable):
            Catalog.open(url)
