"""Forms of a studio whose operator has named the roots, and where results go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.deployments import batch, dub
from flows.forms import BatchForm, DubbingForm
from speechmill.settings import settings
from tests.flows.serving import ONE_SERVER, Serving
from tests.servers import S3Server

pytestmark = [ONE_SERVER, pytest.mark.slow]
ROWS = "source,languages\nnowhere.wav,es\n"


@pytest.fixture
def media(server: Serving, moto_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:  # noqa: ARG001
    """A folder under the roots; the home is not."""
    moto_server.reach(monkeypatch)
    (tmp_path / "media").mkdir()
    monkeypatch.setenv("SPEECHMILL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SPEECHMILL_ENGINE", "rehearsal")
    monkeypatch.setenv("SPEECHMILL_SOURCE_ROOTS", f"{tmp_path / 'media'},s3://{moto_server.new_bucket()}/in")
    settings.cache_clear()
    yield tmp_path / "media"
    settings.cache_clear()


def test_results_go_to_the_home_where_nobody_says_otherwise(media: Path, tmp_path: Path) -> None:
    (media / "tonight.csv").write_text(ROWS)
    ended = batch(BatchForm(manifest=str(media / "tonight.csv")), return_state=True)
    assert (ended.name, ended.type) == ("RowsFailed", "COMPLETED"), ended.message
    report = json.loads((tmp_path / "home" / "out" / "tonight" / "batch.json").read_text("utf-8"))
    assert "nowhere.wav" in report["rows"][0]["reason"]["message"]


def test_a_manifest_in_a_bucket_names_what_lies_beside_it(media: Path, moto_server: S3Server, tmp_path: Path) -> None:  # noqa: ARG001
    root = settings().source_roots[1]
    bucket = root.removeprefix("s3://").partition("/")[0]
    moto_server.client().put_object(Bucket=bucket, Key="in/sets/tonight.csv", Body=f"{ROWS}../../x.wav,es\n".encode())
    ended = batch(BatchForm(manifest=f"{root}/sets/tonight.csv"), return_state=True)
    assert (ended.name, ended.type) == ("RowsFailed", "COMPLETED"), ended.message
    report = json.loads((tmp_path / "home" / "out" / "tonight" / "batch.json").read_text("utf-8"))
    assert report["manifest"] == f"{root}/sets/tonight.csv"
    first, second = (row["reason"]["message"] for row in report["rows"])
    assert f"{root}/sets/nowhere.wav" in first
    assert "may not be read" in second


@pytest.mark.parametrize("out", ["/elsewhere", "s3://studio/out"])
def test_a_folder_for_results_that_is_not_under_the_roots_is_refused(media: Path, out: str) -> None:
    (media / "tonight.csv").write_text(ROWS)
    ended = batch(BatchForm(manifest=str(media / "tonight.csv"), out=out), return_state=True)
    assert ended.type == "FAILED"
    assert "may not be read or written" in str(ended.message)


@pytest.mark.parametrize("named", [True, False])
def test_results_of_a_form_go_to_the_bucket_that_it_or_the_settings_name(
    media: Path, tone: bytes, moto_server: S3Server, monkeypatch: pytest.MonkeyPatch, *, named: bool
) -> None:
    root = settings().source_roots[1]
    monkeypatch.setenv("SPEECHMILL_RESULTS", f"{root}/results")
    settings.cache_clear()
    (media / "talk.wav").write_bytes(tone)
    asked = {"out": f"{root}/mine"} if named else {}
    ended = dub(DubbingForm(source=str(media / "talk.wav"), targets=("es",), **asked), return_state=True)
    assert ended.type == "COMPLETED", ended.message
    found = str(ended.message).partition(": ")[2]
    assert found.startswith(f"{root}/mine" if named else f"{root}/results/2")
    bucket, _, folder = found.removeprefix("s3://").partition("/")
    listed = moto_server.client().list_objects_v2(Bucket=bucket, Prefix=f"{folder}/")["Contents"]
    assert {"talk.es.m4a", "delivery.json"} <= {each["Key"].rpartition("/")[2] for each in listed}
