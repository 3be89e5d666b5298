"""A batch whose results go to a bucket: where a service runs in a container, nobody reaches its folders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.batch import BatchReport
from flows.batch_runs import run_batch
from tests.ingest.conftest import Studio
from tests.servers import S3Server


@pytest.fixture
def studio(s3: S3Server, tmp_path: Path) -> Iterator[Studio]:
    (tmp_path / "drop" / "in").mkdir(parents=True)
    database = f"sqlite:///{tmp_path / 'catalog.db'}"
    made = Studio(str(tmp_path / "drop"), tmp_path / "home", database, s3_endpoint_url=s3.url)
    yield made
    made.catalog.close()


def test_rows_and_report_are_whole_in_the_bucket(
    studio: Studio, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bucket, client = s3.new_bucket(), s3.client()
    out = f"s3://{bucket}/out/tonight"
    for folder, words in (("a", "One boat."), ("b", "Two boats.")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "note.md").write_text(f"# Boats\n\n{words}\n", "utf-8")
    manifest = tmp_path / "tonight.csv"
    manifest.write_text("source\na/note.md\nb/note.md\nc/note.md\n", "utf-8")

    def run(file: Path) -> BatchReport:
        return run_batch(str(file), out, "out", studio.settings, studio.catalog, list, prefect=False)

    def read(key: str) -> Any:
        return json.loads(client.get_object(Bucket=bucket, Key=f"out/tonight/{key}")["Body"].read())

    report = run(manifest)
    assert report.counts == {"done": 2, "failed": 1}
    assert [row.out for row in report.rows] == [f"{out}/note", f"{out}/note-2", None]
    assert read("batch.json") == json.loads(json.dumps(report.as_json()))
    assert report.out == out
    for name, row in zip(("note", "note-2"), report.rows, strict=False):
        assert row.report == f"{out}/{name}/report.html"
        marker = read(f"{name}/delivery.json")
        assert marker["job"] == row.job
        assert {"episode.mp3", "report.html", "feed.xml"} <= set(marker["files"])
    found = {each["Key"] for each in client.list_objects_v2(Bucket=bucket)["Contents"]}
    assert len(found) == 2 + sum(1 + len(read(f"{name}/delivery.json")["files"]) for name in ("note", "note-2"))

    # Another manifest with the same place for its results writes over nothing; the same one goes on.
    other = tmp_path / "other.csv"
    other.write_text("source\na/note.md\n", "utf-8")
    assert [row.out for row in run(other).rows] == [f"{out}/note-3"]
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "note.md").write_text("# Boats\n\nThree boats.\n", "utf-8")
    again = run(manifest)
    assert [row.out for row in again.rows] == [f"{out}/note", f"{out}/note-2", f"{out}/note-4"]
    assert again.counts == {"done": 3}
