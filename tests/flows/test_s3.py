"""A studio whose films and artifacts are in S3."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.flows.conftest import Ran, Speechmill
from tests.servers import ONE_PROCESS, S3Server


@dataclass(frozen=True)
class Studio:
    """The command line with its objects in a bucket, where a film lies too."""

    speechmill: Speechmill
    s3: S3Server
    bucket: str


def studio_on(s3: S3Server, speechmill: Speechmill, folder: Path) -> Studio:
    bucket = s3.new_bucket()
    s3.client().upload_file(str(folder / "talk.mp4"), bucket, "in/Señor talk.mp4")
    speechmill.env |= {**s3.environment, "SPEECHMILL_OBJECTS_URL": f"s3://{bucket}/studio"}
    return Studio(speechmill, s3, bucket)


@pytest.fixture
def studio(moto_server: S3Server, speechmill: Speechmill, folder: Path) -> Studio:
    return studio_on(moto_server, speechmill, folder)


def dub(speechmill: Speechmill, folder: Path, source: str, out: Path, **env: str) -> Ran:
    return speechmill(
        "dub", source, "--to", "es", "--engine", "rehearsal", "--script", folder / "talk.en.srt",
        "--out", out, "--no-prefect", "--json", **env,
    )  # fmt: skip


def made_in_bucket(speechmill: Speechmill, s3: S3Server, bucket: str) -> set[str]:
    """Which operations made what is among the objects."""
    listed = s3.client().list_objects_v2(Bucket=bucket, Prefix="studio/artifacts/")["Contents"]
    names = {each["Key"].rpartition("/")[2] for each in listed}
    with closing(sqlite3.connect(speechmill.home / "catalog.db")) as catalog:
        rows = catalog.execute("SELECT operation, sha256 FROM artifacts").fetchall()
    assert names <= {digest for _, digest in rows}
    return {operation for operation, digest in rows if digest in names}


@ONE_PROCESS
def test_a_film_in_s3_becomes_a_dubbed_film_and_no_machine_makes_it_twice(
    rgw: S3Server, speechmill: Speechmill, folder: Path, tmp_path: Path
) -> None:
    bucket = studio_on(rgw, speechmill, folder).bucket
    out = tmp_path / "out"
    ran = dub(speechmill, folder, f"s3://{bucket}/in/Señor talk.mp4", out)
    assert ran.code == 0, ran.err
    assert (out / "Señor talk.es.mp4").exists()
    assert ran.report["source"]["name"] == "Señor talk.mp4"
    assert not (speechmill.home / "objects").exists()
    assert made_in_bucket(speechmill, rgw, bucket) == {"speak", "translate", "translate together"}  # not its sound
    assert not list((speechmill.home / "scratch").glob("run-*"))

    shutil.rmtree(speechmill.home / "cache")  # as on another machine
    speechmill("edit", ran.result["job"], "0001", "--text", "Adiós.", "--lang", "es")
    again = speechmill("retake", ran.result["job"], "--no-prefect", "--json")
    assert again.code == 0, again.err
    assert 1 <= again.report["work"]["speak_calls"] <= 3
    cleared = json.loads(speechmill("gc", "--grace", "0", "--json").out)
    assert cleared["artifacts"] > 0
    (examined,) = [line for line in speechmill("doctor").out.splitlines() if " objects " in line]
    assert examined.startswith("ok")
    assert "written, read and removed; claims hold" in examined
    third = speechmill("retake", ran.result["job"], "0002", "--no-prefect", "--json")
    assert third.code == 0, third.err


@pytest.mark.parametrize(
    ("source", "env", "code", "said"),
    [
        ("s3://{bucket}/in/none.mp4", {}, 3, "there is no object s3://"),
        ("s3://{bucket}/in/../talk.mp4", {}, 3, "begins with a dot"),
        ("s3://no-such-bucket-here/talk.mp4", {}, 4, "there is no bucket no-such-bucket-here"),
        ("s3://{bucket}/in/Señor talk.mp4", {"SPEECHMILL_MAX_SOURCE_BYTES": "1000"}, 3, "more than the 1000 allowed"),
        ("s3://{bucket}/in/Señor talk.mp4", {"SPEECHMILL_S3_ENDPOINT_URL": "nowhere"}, 3, "S3_ENDPOINT_URL"),
        ("ftp://example.org/talk.mp4", {}, 3, "cannot be read from"),
    ],
)
def test_a_source_that_cannot_be_had_is_said_in_one_line_before_any_work(
    studio: tuple[Speechmill, S3Server, str], folder: Path, tmp_path: Path,
    source: str, env: dict[str, str], code: int, said: str,
) -> None:  # fmt: skip
    ran = dub(studio.speechmill, folder, source.format(bucket=studio.bucket), tmp_path / "out", **env)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err
    assert len(ran.err.strip().splitlines()) == 2  # what was begun, and the error
    assert not (tmp_path / "out").exists()


def test_a_document_in_s3_becomes_an_episode(studio: Studio, tmp_path: Path) -> None:
    text = b"# News\n\nThe mill runs again. Bread is cheap.\n"
    studio.s3.client().put_object(Bucket=studio.bucket, Key="in/news.md", Body=text)
    ran = studio.speechmill(
        "podcast", f"s3://{studio.bucket}/in/news.md", "--engine", "rehearsal", "--out", tmp_path / "out",
        "--no-prefect", "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.report["source"]["name"] == "news.md"
    assert ran.report["source"]["title"] == "News"
