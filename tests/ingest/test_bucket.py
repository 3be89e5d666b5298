"""What happens to an object that is dropped into a bucket, on every S3 server we have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from speechmill.settings import Settings
from storage.places import BucketPlace
from tests.ingest.conftest import JOB, Studio
from tests.servers import S3Server

WEIRD = ("in/../../etc/passwd", "in/-i", "in/a\nb.wav", "in//double.wav", "in/a\\b.wav")


@pytest.fixture
def bucket(s3: S3Server) -> str:
    return s3.new_bucket()


@pytest.fixture
def studio(s3: S3Server, bucket: str, tmp_path: Path) -> Iterator[Studio]:
    made = Studio(
        f"s3://{bucket}/studio",
        tmp_path / "home",
        f"sqlite:///{tmp_path / 'catalog.db'}",
        s3_endpoint_url=s3.url,
        drop_min_age_s=60,  # of no concern here: objects appear whole
    )
    yield made
    made.catalog.close()


def keys(client: Any, bucket: str) -> list[str]:
    found = client.list_objects_v2(Bucket=bucket, Prefix="studio/").get("Contents", ())
    return sorted(each["Key"].removeprefix("studio/") for each in found)


def test_a_file_that_a_person_put_in_place_of_a_delivered_one_outlives_the_next_delivery(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path / "home", s3_endpoint_url=s3.url)
    place = BucketPlace(f"s3://{bucket}/out", settings, {"speechmill-job": "one"})
    files = {name: tmp_path / name for name in ("talk.m4a", "talk.es.srt", "talk.es.vtt")}
    for path in files.values():
        path.write_text("ours")
    place.settle("talk", files, {}, "delivery.json", {"job": "one"})
    s3.client().put_object(Bucket=bucket, Key="out/talk/talk.es.srt", Body=b"by hand")
    place.settle("talk", {"talk.m4a": files["talk.m4a"]}, {}, "delivery.json", {"job": "two"})
    found = s3.client().list_objects_v2(Bucket=bucket, Prefix="out/")["Contents"]
    assert sorted(each["Key"] for each in found) == [
        "out/talk/delivery.json", "out/talk/talk.es.srt", "out/talk/talk.m4a",
    ]  # fmt: skip
    kept = s3.client().get_object(Bucket=bucket, Key="out/talk/talk.es.srt")["Body"].read()
    assert kept == b"by hand"


def test_a_film_in_a_bucket_gets_a_job_and_then_lies_beside_its_delivery(
    studio: Studio, s3: S3Server, bucket: str, tone: bytes
) -> None:
    client = s3.client()
    for key, body in (("talk.wav", tone), ("talk.en.vtt", b"WEBVTT\n")):
        client.put_object(Bucket=bucket, Key=f"studio/in/{key}", Body=body)
    sidecar = b'{"targets": ["es"], "script": "talk.en.vtt"}'
    client.put_object(Bucket=bucket, Key="studio/in/talk.job.json", Body=sidecar)
    (job,) = studio.sweeper().sweep().accepted
    asked = studio.catalog.job(job)
    assert asked.request["source"] == f"s3://{bucket}/studio/in/talk.wav"
    assert asked.request["script"] == f"s3://{bucket}/studio/in/talk.en.vtt"
    assert studio.sweeper().sweep().idle
    studio.finish(job)
    assert studio.sweeper().sweep().published == 1
    done = f"done/{asked.created_at:%Y-%m-%d}/{job}"
    left = ("delivery.json", "report.json", "source/talk.en.vtt", "source/talk.job.json", "source/talk.wav")
    assert keys(client, bucket) == [f"{done}/{name}" for name in (*left, "talk.es.m4a")]
    kept = client.get_object(Bucket=bucket, Key=f"studio/{done}/source/talk.wav")["Body"].read()
    assert kept == tone

    client.put_object(Bucket=bucket, Key="studio/in/talk.wav", Body=tone)  # the same bytes, the same etag
    client.put_object(Bucket=bucket, Key="studio/in/talk.job.json", Body=JOB)
    studio.sweeper().sweep()
    studio.sweeper().sweep()
    assert studio.count("jobs") == 2  # dropped twice is asked twice


def test_a_manifest_in_a_bucket_is_a_batch(studio: Studio, s3: S3Server, bucket: str, tone: bytes) -> None:
    client = s3.client()
    manifest = f"source,languages\ntalk.wav,es\ns3://{bucket}/elsewhere/talk.wav,es\n".encode()
    client.put_object(Bucket=bucket, Key="studio/in/films.batch.csv", Body=manifest)
    client.put_object(Bucket=bucket, Key="studio/in/talk.wav", Body=tone)
    (job,) = studio.sweeper().sweep().accepted
    studio.finish(job)
    assert studio.sweeper().sweep().published == 2
    asked = studio.catalog.job(job)
    left = keys(client, bucket)
    assert not [key for key in left if key.startswith("in/")]
    assert f"done/{asked.created_at:%Y-%m-%d}/{job}/talk.es.m4a" in left
    (report,) = (key for key in left if key.endswith("/batch.json"))
    assert asked.request["source"] == f"s3://{bucket}/studio/{report.rpartition('/')[0]}/source/talk.wav"
    said = json.loads(client.get_object(Bucket=bucket, Key=f"studio/{report}")["Body"].read())
    assert [row["state"] for row in said["rows"]] == ["done", "failed"]
    assert said["rows"][1]["reason"]["code"] == "forbidden-source"


def test_keys_that_are_no_names_are_put_away_under_names_of_ours(
    studio: Studio, s3: S3Server, bucket: str, tone: bytes
) -> None:
    client = s3.client()
    put = 0
    for key in WEIRD:
        with suppress(client.exceptions.ClientError):  # moto takes no dots for a part, Ceph takes them all
            client.put_object(Bucket=bucket, Key=f"studio/{key}", Body=tone)
            put += 1
    assert put >= (len(WEIRD) if s3.name == "rgw" else 3)
    swept = studio.sweeper().sweep()
    assert (swept.rejected, swept.quarantined, swept.trouble) == (put, put, ())
    left = keys(client, bucket)
    assert all(key.startswith("quarantine/drop-") for key in left)
    assert len(left) == 2 * put
    reasons = [key for key in left if key.endswith("/reason.json")]
    for key in reasons:
        said = json.loads(client.get_object(Bucket=bucket, Key=f"studio/{key}")["Body"].read())
        assert said["code"] == "bad-input"
    assert studio.sweeper().sweep().idle


def test_an_upload_that_is_not_finished_is_not_seen(studio: Studio, s3: S3Server, bucket: str, tone: bytes) -> None:
    client = s3.client()
    upload = client.create_multipart_upload(Bucket=bucket, Key="studio/in/talk.wav")
    which = {"Bucket": bucket, "Key": "studio/in/talk.wav", "UploadId": upload["UploadId"]}
    part = client.upload_part(**which, PartNumber=1, Body=tone)
    assert studio.sweeper().sweep().listed == 0
    client.complete_multipart_upload(**which, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert studio.sweeper().sweep().listed == 1
