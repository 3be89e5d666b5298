"""A manifest that is dropped is a batch: its rows are delivered one by one, its report when all of them are over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from storage.catalog import BATCH, JobState
from tests.ingest.conftest import JOB, Studio, listed

ROWS = """source,languages,options
one.wav,es,"{""script"": ""one.en.srt""}"
two.wav,fr,
nowhere.wav,es,
/etc/passwd.wav,es,
two.wav,xx-no,
"""


def put(drop: Path, tone: bytes, manifest: str = "films.batch.csv", rows: str = ROWS) -> None:
    (drop / "in" / manifest).write_text(rows)
    (drop / "in" / "one.wav").write_bytes(tone)
    (drop / "in" / "one.en.srt").write_text("1")
    (drop / "in" / "two.wav").write_bytes(tone)


def reports(drop: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text("utf-8")) for path in sorted((drop / "done").glob("*/*/batch.json"))]


def test_rows_are_delivered_one_by_one_and_the_report_when_all_are_over(
    studio: Studio, drop: Path, tone: bytes
) -> None:
    studio.settings.drop_targets = ("de",)  # nothing that a row names is taken for itself
    put(drop, tone)
    one, two = studio.sweeper().sweep().accepted
    assert studio.catalog.job(one).request["script"] == str(drop / "in" / "one.en.srt")
    assert studio.catalog.job(one).facts[BATCH] == studio.catalog.job(two).facts[BATCH]
    studio.finish(one, JobState.COMPLETED_WITH_REVIEW)
    assert studio.sweeper().sweep().published == 1
    assert len(list((drop / "done").glob(f"*/{one}/delivery.json"))) == 1
    assert len(listed(drop / "in")) == 4
    assert reports(drop) == []

    studio.finish(two)
    assert studio.sweeper().sweep().published == 2
    (report,) = reports(drop)
    assert {row["line"]: row["state"] for row in report["rows"]} == {
        2: "review", 3: "done", 4: "failed", 5: "failed", 6: "failed",
    }  # fmt: skip
    assert "nowhere.wav" in report["rows"][2]["reason"]["message"]
    assert report["rows"][3]["reason"]["code"] == "forbidden-source"
    (folder,) = (path.parent for path in (drop / "done").glob("*/*/batch.json"))
    assert listed(folder) == [
        "batch.json", "batch.md", "delivery.json",
        "source/films.batch.csv", "source/one.en.srt", "source/one.wav", "source/two.wav",
    ]  # fmt: skip
    assert studio.catalog.job(one).request["source"] == str(folder / "source" / "one.wav")  # for a retake
    assert listed(drop / "in") == []
    assert studio.sweeper().sweep().idle
    assert studio.count("jobs") == 2


def test_the_same_manifest_dropped_twice_is_one_batch(studio: Studio, drop: Path, tone: bytes) -> None:
    put(drop, tone)
    put(drop, tone, "again.batch.csv")
    jobs = studio.sweeper().sweep().accepted
    assert len(set(jobs)) == 2
    for job in set(jobs):
        studio.finish(job)
    studio.sweeper().sweep()
    (drop / "in" / "films.batch.csv").write_text(ROWS)  # without its films, which were dealt with
    studio.sweeper().sweep()
    studio.sweeper().sweep()
    assert studio.count("jobs") == 2
    assert len(reports(drop)) == 1
    assert listed(drop / "in") == []


def test_a_sweeper_that_dies_while_it_begins_a_batch_loses_no_row(
    studio: Studio, drop: Path, tone: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(drop, tone, rows=ROWS)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(studio.catalog, "accept", die)
        with pytest.raises(KeyboardInterrupt):
            studio.sweeper().sweep()
    assert studio.sweeper().sweep().accepted == ()  # its claims on rows hold for a while
    studio.leases_run_out()
    assert len(studio.sweeper().sweep().accepted) == 2
    assert studio.count("jobs") == 2


def test_films_wait_for_the_rest_of_their_batch_and_go_before_it_when_dropped_alone(
    studio: Studio, drop: Path, tone: bytes
) -> None:
    studio.settings.sidecar_grace_s = 60
    (drop / "in" / "films.batch.csv").write_text("source,languages\none.wav,es\ntwo.wav,fr\n")
    (drop / "in" / "one.wav").write_bytes(tone)
    assert studio.sweeper().sweep().accepted == ()
    (drop / "in" / "two.wav").write_bytes(tone)
    assert len(studio.sweeper().sweep().accepted) == 2
    (drop / "in" / "alone.wav").write_bytes(tone)
    (drop / "in" / "alone.job.json").write_text(JOB)
    (alone,) = studio.sweeper().sweep().accepted
    errand = studio.catalog.claim_errand("relay", 60, studio.place.url)
    assert errand is not None
    assert errand.job_id == alone


def test_a_manifest_that_is_none_is_put_away_with_its_reason(studio: Studio, drop: Path) -> None:
    (drop / "in" / "films.batch.jsonl").write_text("")
    swept = studio.sweeper().sweep()
    assert (swept.rejected, swept.quarantined) == (1, 1)
    (said,) = (json.loads(path.read_text("utf-8")) for path in (drop / "quarantine").glob("*/reason.json"))
    assert said["code"] == "unreadable-manifest"
    assert listed(drop / "in") == []


def test_a_row_may_name_a_show_which_stays_where_it_is(studio: Studio, drop: Path) -> None:
    (drop / "shows").mkdir()
    (drop / "shows" / "slow.toml").write_text('title = "Slow Machines"\n')
    (drop / "in" / "note.md").write_text("# Hello\n\nWorld.\n")
    (drop / "in" / "notes.batch.csv").write_text('source,languages,options\nnote.md,,"{""show"": ""slow.toml""}"\n')
    (job,) = studio.sweeper().sweep().accepted
    asked = studio.catalog.job(job)
    assert (asked.request["show"], asked.out) == (str(drop / "shows" / "slow.toml"), str(drop / "shows" / job))
