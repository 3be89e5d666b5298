"""A manifest becomes one job a row; a bad row stops no other, and a batch that is run again does nothing twice."""

from __future__ import annotations

import json
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from flows.batch import Batch, BatchReport
from flows.batch_runs import Told, batch_of, run_batch
from speechmill.errors import UnreadableManifest
from speechmill.recipes import digest_of_file
from storage.catalog import BATCH, Catalog, JobState
from tasks.dropping.manifests import read_manifest
from tests.forge import Forge
from tests.ingest.conftest import Studio

ROWS = """source,languages,options
one.wav,es pt-BR,"{""background"": ""drop""}"
note.md,,
nowhere.wav,es,
one.wav,es,"{""colour"": ""red""}"
one.wav,,
one.wav,xx-no,
one.wav,es,too,many
"""


@pytest.fixture
def folder(tmp_path: Path, tone: bytes) -> Path:
    (tmp_path / "one.wav").write_bytes(tone)
    (tmp_path / "note.md").write_text("# Note\n\nText.\n")
    (tmp_path / "films.csv").write_text(ROWS)
    return tmp_path


def begun(studio: Studio, folder: Path) -> Batch:
    batch = batch_of(
        str(folder / "films.csv"), str(folder / "results"), str(folder), studio.settings, studio.catalog,
        prefect=False, outside=False,
    )  # fmt: skip
    batch.go_on()
    batch.settle()
    return batch


def test_a_bad_row_is_named_by_its_line_and_stops_no_other(studio: Studio, folder: Path) -> None:
    batch = begun(studio, folder)
    jobs = [row.job for row in batch.report().rows if row.job]
    assert len(jobs) == 2
    studio.finish(jobs[0], JobState.COMPLETED_WITH_REVIEW)
    studio.finish(jobs[1])
    assert batch.settle().is_over
    said: dict[str, Any] = json.loads((folder / "results" / "batch.json").read_text("utf-8"))
    assert said["counts"] == {"done": 1, "failed": 5, "review": 1}
    assert {row["line"]: row["state"] for row in said["rows"]} == {
        2: "review", 3: "done", 4: "failed", 5: "failed", 6: "failed", 7: "failed", 8: "failed",
    }  # fmt: skip
    assert all(row["reason"]["message"] for row in said["rows"] if row["state"] == "failed")
    assert studio.catalog.job(jobs[0]).request["background"] == "drop"
    assert "| 4 | nowhere.wav | es | failed |" in (folder / "results" / "batch.md").read_text("utf-8")


def test_results_are_in_folders_named_after_their_sources(studio: Studio, folder: Path) -> None:
    (folder / "results" / "note").mkdir(parents=True)
    batch = begun(studio, folder)
    outs = [studio.catalog.job(row.job).out for row in batch.report().rows if row.job]
    assert outs == [str(folder / "results" / "one"), str(folder / "results" / "note-2")]


@pytest.mark.parametrize(
    ("options", "engines"),
    [
        ('{"engine": "rehearsal"}', {"transcribe": "rehearsal", "translate": "rehearsal", "speak": "rehearsal"}),
        ('{"engines": ["rehearsal", "speak=offline"]}', {"transcribe": "rehearsal", "speak": "offline"}),
        ('{"engines": {"speak": "offline"}}', {"speak": "offline"}),
    ],
)
def test_engines_may_be_named_as_on_the_command_line(
    studio: Studio, folder: Path, options: str, engines: dict[str, str]
) -> None:
    (folder / "films.csv").write_text(
        "source,languages,options\none.wav,es," + json.dumps(options).replace('\\"', '""')
    )
    batch = begun(studio, folder)
    job = next(row.job for row in batch.report().rows if row.job)
    assert engines.items() <= studio.catalog.job(job).request["engines"].items()


@pytest.mark.parametrize(
    ("row", "message", "hint"),
    [
        ('one.wav,es,"{""engines"": 3}"', "“engines”: Input should be a valid dictionary", '{"speak": "offline"}'),
        ("one.wav,es,{x", "“options” is no JSON object: Expecting property name", '{"glossary": "terms.csv"}'),
        ('one.wav,es,"{""colour"": 1}"', "a field “colour”", "use "),
    ],
)
def test_a_bad_row_says_what_is_wrong_and_how_it_is_written(
    studio: Studio, folder: Path, row: str, message: str, hint: str
) -> None:
    (folder / "films.csv").write_text(f"source,languages,options\n{row}\n")
    said = begun(studio, folder).report().rows[0]
    assert (said.source, said.state) == ("one.wav", "failed")
    assert said.reason is not None
    assert said.reason["code"] == "unreadable-manifest"
    assert message in said.reason["message"]
    assert "Value error" not in said.reason["message"]
    assert hint in said.reason["hint"]


def test_jobs_of_a_batch_are_known_as_such_so_that_edited_lines_go_before_them(studio: Studio, folder: Path) -> None:
    batch = begun(studio, folder)
    jobs = [studio.catalog.job(row.job) for row in batch.report().rows if row.job]
    assert [job.facts[BATCH] for job in jobs] == [batch.id] * 2


def test_a_batch_that_is_run_again_tries_only_what_failed_and_what_is_new(studio: Studio, folder: Path) -> None:
    batch = begun(studio, folder)
    for row in batch.report().rows:
        if row.job:
            studio.finish(row.job)
    batch.settle()
    (folder / "nowhere.wav").write_bytes((folder / "one.wav").read_bytes())
    (folder / "films.csv").write_text(ROWS.replace("note.md", "note.md,,\nnote.md", 1))  # a line more, before others
    again = begun(studio, folder)
    states = {row.line: row.state for row in again.report().rows}
    assert [states[line] for line in (2, 3, 4, 5)] == ["done", "done", "waiting", "waiting"]
    assert studio.count("jobs") == 4
    begun(studio, folder)
    assert studio.count("jobs") == 4


def test_a_film_that_was_replaced_is_dubbed_anew_into_a_folder_of_its_own(studio: Studio, folder: Path) -> None:
    batch = begun(studio, folder)
    film, note = [row.job for row in batch.report().rows if row.job]
    for job in (film, note):
        studio.finish(job)
    studio.catalog.set_job_facts(film, sha256=digest_of_file(folder / "one.wav"))
    batch.settle()
    (folder / "one.wav").touch()  # the same film
    assert [row.job for row in begun(studio, folder).report().rows if row.job] == [film, note]

    (folder / "one.wav").write_bytes((folder / "one.wav").read_bytes()[:-2000])
    again = begun(studio, folder).report()
    assert [(row.line, row.state) for row in again.rows if row.job] == [(2, "waiting"), (3, "done")]
    anew = studio.catalog.job(str(again.rows[0].job))
    assert anew.id != film
    assert anew.out == str(folder / "results" / "one-2")
    assert (folder / "results" / "one" / "report.json").is_file()
    assert begun(studio, folder).report() == again
    (folder / "one.wav").unlink()
    assert begun(studio, folder).report() == again


def test_rows_that_a_person_cancelled_are_gone_on_with_when_the_batch_is_run_again(
    studio: Studio, folder: Path
) -> None:
    """One while it ran, one while it waited for its turn; both handed on already, as Prefect has them."""
    batch = begun(studio, folder)
    ran, waited = [row.job for row in batch.report().rows if row.job]
    studio.handed(ran)
    studio.catalog.move_job(ran, JobState.RUNNING)
    for job in (ran, waited):
        studio.catalog.request_cancel(job)
        studio.catalog.move_job(job, JobState.CANCELLED, reason="a person")
    studio.handed(waited)
    assert batch.settle().counts["cancelled"] == 2
    again = begun(studio, folder)
    assert again.report().counts["waiting"] == 2
    for job in (ran, waited):
        assert studio.catalog.job(job).state is JobState.QUEUED
        assert not studio.catalog.cancel_requested(job)
        assert studio.catalog.attempts(job) == 2
        assert studio.catalog.claim_errand("relay", 60, batch.place) is not None
    assert studio.catalog.claim_errand("relay", 60, batch.place) is None


def test_a_look_at_a_batch_costs_the_same_however_many_rows_it_has(
    studio: Studio, folder: Path, statements: list[str]
) -> None:
    rows = "".join(f'one.wav,es,"{{""speakers"": {n % 20 + 1}}}"\n' for n in range(60))
    (folder / "films.csv").write_text(f"source,languages,options\n{rows}")
    batch = begun(studio, folder)
    told = Told(batch, studio.catalog, list)
    told.look()
    statements.clear()
    written = (folder / "results" / "batch.json").stat().st_mtime_ns
    for _ in range(5):
        assert told.look().counts["waiting"] == 60
    assert 0 < len(statements) <= 5 * 4, statements
    assert (folder / "results" / "batch.json").stat().st_mtime_ns == written
    job = next(row.job for row in batch.report().rows if row.job)
    studio.finish(job)
    statements.clear()
    assert told.look().counts["done"] == 1
    assert 0 < len(statements) < 30, statements


def test_a_batch_that_two_schedules_start_at_the_same_moment_makes_each_row_once(studio: Studio, folder: Path) -> None:
    rows = "".join(f'note.md,,"{{""minutes"": {n + 1}}}"\n' for n in range(4))
    (folder / "films.csv").write_text(f"source,languages,options\n{rows}")

    def run(_: int) -> BatchReport:
        catalog = Catalog.open(studio.settings.database_url)
        try:
            return run_batch(
                str(folder / "films.csv"),
                str(folder / "results"),
                str(folder),
                studio.settings,
                catalog,
                list,
                prefect=False,
            )
        finally:
            catalog.close()

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(run, range(2)))
    assert [report.counts for report in reports] == [{"done": 4}] * 2, reports
    assert studio.count("jobs") == 4


def test_a_batch_waits_for_a_prefect_server_that_is_away(folder: Path, tmp_path: Path, forge: Forge) -> None:
    env = {
        **os.environ, "SPEECHMILL_HOME": str(tmp_path / "home"), "SPEECHMILL_ENGINE": "rehearsal",
        "PREFECT_API_URL": "http://127.0.0.1:9/api",
    }  # fmt: skip
    said = tmp_path / "said"
    batch = forge.start(["batch", folder / "films.csv"], env, tmp_path, tmp_path / "out.json", said)
    try:
        until = time.monotonic() + 60
        while not said.exists() or "does not answer" not in said.read_text():
            assert batch.poll() is None, said.read_text()
            assert time.monotonic() < until
            time.sleep(0.2)
        time.sleep(3)
        assert batch.poll() is None
        assert said.read_text().count("does not answer") == 1
    finally:
        batch.kill()
        batch.wait(10)
    report = json.loads((tmp_path / "out" / "films" / "batch.json").read_text("utf-8"))
    assert report["counts"]["waiting"] == 2


def test_links_to_reports_lead_there_whatever_films_are_called(studio: Studio, folder: Path) -> None:
    (folder / "one.wav").rename(folder / "Episode 1 (draft).wav")
    (folder / "films.csv").write_text("source,languages\nEpisode 1 (draft).wav,es\n")
    batch = begun(studio, folder)
    row = batch.report().rows[0]
    assert row.job is not None
    studio.finish(row.job)
    batch.settle()
    (link,) = re.findall(r"\[report\]\(([^\s()]+)\)", (folder / "results" / "batch.md").read_text("utf-8"))
    assert unquote(link) == batch.report().rows[0].report


def test_what_a_stranger_writes_into_a_manifest_cannot_break_out_of_the_table(studio: Studio, folder: Path) -> None:
    (folder / "films.csv").write_text('source\n"a|b<script>.wav\n| x"\n')
    begun(studio, folder)
    page = (folder / "results" / "batch.md").read_text("utf-8")
    assert "<script>" not in page.replace("\\<", "")
    assert len(page.strip().splitlines()) == 7


@pytest.mark.parametrize(
    ("name", "raw", "what"),
    [
        ("a.csv", b"", "first line"),
        ("a.csv", b"source,color\na.wav,x\n", "first line"),
        ("a.csv", b"source\n", "no rows"),
        ("a.csv", b"\xff\xfe", "not UTF-8"),
        ("a.jsonl", b"\n", "no rows"),
        ("a.jsonl", b'{"source": "a.wav"}\n' * 10_001, "more than 10000"),
    ],
)
def test_a_manifest_that_is_none_is_refused_whole(name: str, raw: bytes, what: str) -> None:
    with pytest.raises(UnreadableManifest, match=what):
        read_manifest(name, raw)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_spreadsheet_may_part_columns_as_its_country_does(separator: str) -> None:
    rows = [
        ("source", "languages", "options"),
        ("a, b.wav" if separator != "," else "a.wav", "es fr", '"{""speakers"": 2}"'),
    ]
    entries = read_manifest("a.csv", "\n".join(separator.join(row) for row in rows).encode())
    assert [(entry.row.languages, entry.row.options) for entry in entries if entry.row] == [
        (("es", "fr"), {"speakers": 2})
    ]


def test_json_lines_are_judged_one_by_one() -> None:
    raw = b'{"source": "a.wav", "languages": ["es"]}\n\n[1]\n{"source": "b.wav", "x": 1}\n' + b"[" * 9_999 + b"\n"
    entries = read_manifest("a.jsonl", raw)
    assert [(entry.line, entry.row is not None) for entry in entries] == [(1, True), (3, False), (4, False), (5, False)]
    assert "line 4 of a.jsonl" in str(entries[2].error)
