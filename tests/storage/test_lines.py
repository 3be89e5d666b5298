"""What the catalog keeps of lines, casts and takes, on every database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from speechmill.errors import Conflict, UnknownName
from speechmill.lines import Anchor, Doubt
from speechmill.takes import Reason, Take, Verdict
from speechmill.voices import Consent, Voice
from storage.catalog import Catalog, Job, JobState, StoredLine
from tests.storage.facts import completed, digest, line, take


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


def test_an_edit_is_kept_and_marked_where_its_source_changes(catalog: Catalog, job: Job) -> None:
    original = {"L0001": "hello", "L0002": "bye"}
    catalog.put_lines(job.id, "es", [line(1), line(2)], sources=original)
    catalog.edit_line(job.id, "es", "L0001", "buenas")
    again = replace(line(1, text="another engine's hello"), anchor=Anchor(1, 2))
    catalog.put_lines(job.id, "es", [again, line(2)], sources=original)
    kept = catalog.lines(job.id, "es")[0]
    assert (kept.line.text, kept.line.anchor, kept.edited, kept.revision) == ("buenas", Anchor(1, 2), True, 2)
    catalog.put_lines(job.id, "es", [again, line(2)], sources={**original, "L0001": "hello there"})
    marked = catalog.lines(job.id, "es")[0]
    assert (marked.line.text, marked.line.doubts, marked.edited) == ("buenas", (Doubt.SOURCE_CHANGED,), True)
    catalog.put_lines(job.id, "es", [again, line(2)], sources=original)
    assert catalog.lines(job.id, "es")[0] == kept


def test_an_edit_of_a_translation_is_one_of_what_the_source_says_then(catalog: Catalog) -> None:
    job = catalog.add_job("dub", {"language": "en", "targets": ["es"]}, "", "out")
    catalog.put_lines(job.id, "en", [line(1, "en", "hello")])
    catalog.put_lines(job.id, "es", [line(1)], sources={"L0001": "hello"})
    catalog.edit_line(job.id, "en", "L0001", "hello there")
    catalog.edit_line(job.id, "es", "L0001", "hola a todos")
    catalog.put_lines(job.id, "es", [line(1)], sources={"L0001": "hello there"})
    assert catalog.lines(job.id, "es")[0].line.doubts == ()


def test_an_edit_goes_with_what_it_was_made_of(catalog: Catalog, job: Job) -> None:
    """A cue more at the beginning gives every line another number."""
    original = {"L0001": "hello", "L0002": "bye"}
    catalog.put_lines(job.id, "es", [line(1), line(2)], sources=original)
    catalog.edit_line(job.id, "es", "L0001", "buenas")
    moved = {"L0001": "first", "L0002": "hello", "L0003": "bye"}
    catalog.put_lines(job.id, "es", [line(1), line(2), line(3)], sources=moved)
    now = catalog.lines(job.id, "es")
    assert [(s.line.text, s.edited) for s in now] == [
        (line(1).text, False), ("buenas", True), (line(3).text, False),
    ]  # fmt: skip
    catalog.put_lines(job.id, "es", [line(1), line(2)], sources=original)
    assert [s.line.text for s in catalog.lines(job.id, "es")] == ["buenas", line(2).text]


def test_edits_of_lines_that_say_the_same_go_each_with_its_own(catalog: Catalog, job: Job) -> None:
    """“Yes.” is said again and again in a film, and a person hears each."""
    said = {"L0001": "yes", "L0002": "yes", "L0003": "no", "L0004": "yes"}
    catalog.put_lines(job.id, "es", [line(at) for at in (1, 2, 3, 4)], sources=said)
    for number, words in ((1, "ya"), (2, "vale"), (4, "sí, sí")):
        catalog.edit_line(job.id, "es", f"L000{number}", words)
    later = [line(1), *(replace(line(at + 1), anchor=line(at).anchor) for at in (1, 2, 3, 4))]
    moved = {"L0001": "hm", **{f"L000{at + 1}": said[f"L000{at}"] for at in (1, 2, 3, 4)}}
    catalog.put_lines(job.id, "es", [replace(later[0], anchor=None), *later[1:]], sources=moved)
    assert [s.line.text for s in catalog.lines(job.id, "es")] == [
        line(1).text, "ya", "vale", line(4).text, "sí, sí",
    ]  # fmt: skip


def test_an_edit_does_not_stay_on_a_line_that_is_another(catalog: Catalog, job: Job) -> None:
    catalog.put_lines(job.id, "es", [line(1)], sources={"L0001": "hello"})
    catalog.edit_line(job.id, "es", "L0001", "buenas")
    elsewhere = replace(line(1), anchor=line(7).anchor)
    catalog.put_lines(job.id, "es", [elsewhere], sources={"L0001": "something else"})
    assert catalog.lines(job.id, "es")[0].line == elsewhere


def test_an_edited_transcript_is_kept_while_the_same_is_heard(catalog: Catalog, job: Job) -> None:
    catalog.put_lines(job.id, "en", [line(1, "en", "wreck a nice beach")])
    catalog.edit_line(job.id, "en", "L0001", "recognise speech")
    catalog.put_lines(job.id, "en", [line(1, "en", "wreck a nice beach")])
    assert catalog.lines(job.id, "en")[0].line.text == "recognise speech"
    catalog.put_lines(job.id, "en", [line(1, "en", "recognize speech")])
    marked = catalog.lines(job.id, "en")[0].line
    assert (marked.text, marked.doubts) == ("recognise speech", (Doubt.SOURCE_CHANGED,))


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
