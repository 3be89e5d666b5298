"""A studio whose films and artifacts are in S3."""

from __future__ import annotations

import hashlib
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


def dub(speechmill: Speechmill, folder: Path, source: str, out: Path | str, **env: str) -> Ran:
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
    assert (ran.code, list(ran.result)) == (code, ["error"])
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


def under(studio: Studio, prefix: str) -> dict[str, bytes]:
    """The objects under a prefix."""
    client = studio.s3.client()
    found = client.list_objects_v2(Bucket=studio.bucket, Prefix=prefix).get("Contents", ())
    return {
        each["Key"].removeprefix(prefix): client.get_object(Bucket=studio.bucket, Key=each["Key"])["Body"].read()
        for each in found
    }


def test_results_go_to_a_bucket_whole_and_an_edit_replaces_them(studio: Studio, folder: Path, tmp_path: Path) -> None:
    out = f"s3://{studio.bucket}/out/talk"
    ran = dub(studio.speechmill, folder, str(folder / "talk.mp4"), out)
    assert ran.code == 0, ran.err
    assert (ran.result["out"], ran.result["report"]) == (out, f"{out}/report.json")
    first = under(studio, "out/talk/")
    assert {"talk.es.mp4", "talk.es.srt", "report.html", "report.json", "delivery.json"} <= set(first)
    listed = json.loads(first["delivery.json"])
    assert listed["job"] == ran.result["job"]
    digests = {name: said["sha256"] for name, said in listed["files"].items()}
    assert digests == {n: hashlib.sha256(b).hexdigest() for n, b in first.items() if n != "delivery.json"}
    assert sorted(tmp_path.iterdir()) == [studio.speechmill.home]  # and nothing where the command was typed
    said = json.loads(studio.speechmill("job", ran.result["job"], "--json").out)
    assert said["out"] == out
    assert json.loads(studio.speechmill("jobs", "--json").out)["jobs"][0]["out"] == out

    studio.s3.client().put_object(Bucket=studio.bucket, Key="out/talk/mine.txt", Body=b"a person's")
    studio.speechmill("edit", ran.result["job"], "0001", "--text", "Adiós.", "--lang", "es")
    again = studio.speechmill("retake", ran.result["job"], "--no-prefect", "--json")
    assert again.code == 0, again.err
    second = under(studio, "out/talk/")
    assert "Adiós." in second["talk.es.srt"].decode()
    assert set(second) == {*first, "mine.txt"}


def test_nothing_of_others_is_written_over_in_a_bucket(studio: Studio, folder: Path, tmp_path: Path) -> None:
    out = f"s3://{studio.bucket}/out/talk"
    first = dub(studio.speechmill, folder, str(folder / "talk.mp4"), out)
    assert first.code == 0, first.err
    delivered = under(studio, "out/talk/")
    shutil.copy(folder / "talk.mp4", tmp_path / "walk.mp4")
    another = dub(studio.speechmill, folder, str(tmp_path / "walk.mp4"), out)
    assert another.code == 3
    assert f"{out}/delivery.json was delivered by job {first.result['job']}" in another.err
    assert "probe" not in another.err  # before any work
    assert under(studio, "out/talk/") == delivered
    again = dub(studio.speechmill, folder, str(folder / "talk.mp4"), out)
    assert again.code == 0, again.err  # the same film into the same language takes its place
    delivered = under(studio, "out/talk/")
    assert json.loads(delivered["delivery.json"])["job"] == again.result["job"]

    corrected = {
        "Bucket": studio.bucket,
        "Key": "out/talk/talk.es.srt",
        "Body": b"1\n00:00:00,000 --> 00:00:01,000\nHola.\n",
    }
    studio.s3.client().put_object(**corrected)
    studio.speechmill("edit", again.result["job"], "0001", "--text", "Adiós.", "--lang", "es")
    retaken = studio.speechmill("retake", again.result["job"], "--no-prefect", "--json")
    assert retaken.code == 3
    assert f"{out}/talk.es.srt would be written over" in retaken.err
    assert "speak" not in retaken.err
    assert under(studio, "out/talk/") == {**delivered, "talk.es.srt": corrected["Body"]}


def test_the_same_command_goes_on_with_what_a_person_corrected_in_a_bucket(studio: Studio, folder: Path) -> None:
    out = f"s3://{studio.bucket}/out/talk"
    first = dub(studio.speechmill, folder, str(folder / "talk.mp4"), out)
    assert first.code == 0, first.err
    edited = studio.speechmill("edit", first.result["job"], "0001", "--text", "Adiós.", "--lang", "es")
    assert edited.code == 0, edited.err
    again = dub(studio.speechmill, folder, str(folder / "talk.mp4"), out)
    assert again.code == 0, again.err
    assert again.result["job"] == first.result["job"]
    assert "Adiós." in under(studio, "out/talk/")["talk.es.srt"].decode()


def test_a_bucket_for_results_that_is_not_there_is_said_before_any_work(studio: Studio, folder: Path) -> None:
    ran = dub(studio.speechmill, folder, str(folder / "talk.mp4"), "s3://not-yet-there/out")
    assert ran.code == 4, ran.err
    assert "there is no bucket not-yet-there" in ran.err
    assert json.loads(studio.speechmill("jobs", "--json").out)["jobs"] == []


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("https://example.org/out", "results cannot go to https://example.org/out"),
        ("file:///tmp/out", "results cannot go to file:///tmp/out"),
        ("s3://{bucket}", "results need a folder in the bucket"),
        ("s3://{bucket}/a/../b", "begins with a dot"),
    ],
)
def test_where_results_cannot_go_is_said_in_one_line_before_any_work(
    studio: Studio, folder: Path, out: str, said: str
) -> None:
    ran = dub(studio.speechmill, folder, str(folder / "talk.mp4"), out.format(bucket=studio.bucket))
    assert (ran.code, list(ran.result)) == (3, ["error"]), ran.err
    assert said in ran.err
    assert len(ran.err.strip().splitlines()) == 2


def test_an_episode_and_a_digest_go_to_a_bucket_too(studio: Studio, tmp_path: Path) -> None:
    articles = tmp_path / "articles"
    articles.mkdir()
    (articles / "news.md").write_text("# News\n\nThe mill runs again. Bread is cheap.\n")
    out = f"s3://{studio.bucket}/out"
    common = ("--engine", "rehearsal", "--no-prefect", "--json", "--out")
    ran = studio.speechmill("podcast", articles / "news.md", *common, f"{out}/news")
    assert ran.code == 0, ran.err
    assert {"episode.mp3", "report.json", "delivery.json"} <= set(under(studio, "out/news/"))
    ran = studio.speechmill("digest", articles, *common, out)
    assert ran.code == 0, ran.err
    assert ran.result["out"] == f"{out}/{ran.result['job']}"
    assert {"episode.mp3", "delivery.json"} <= set(under(studio, f"out/{ran.result['job']}/"))
