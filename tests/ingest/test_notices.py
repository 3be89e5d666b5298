"""What an S3 server says of new objects has a sweeper look at once; and whatever else is said changes nothing."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flows.notices import Notices, heard
from storage.catalog import Catalog
from tests.forge import Forge
from tests.ingest.conftest import JOB, Studio
from tests.servers import ONE_PROCESS, S3Server, free_port

NEVER_S = 3_600


def event(bucket: str, *keys: str) -> bytes:
    return json.dumps(
        {"Records": [{"s3": {"bucket": {"name": bucket}, "object": {"key": key}}} for key in keys]}
    ).encode()


def say(port: int, body: bytes, method: str = "POST", **headers: str) -> int:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    line.request(method, "/", body, headers)
    status = line.getresponse().status
    line.close()
    return status


@contextmanager
def watching(drop: str, tmp_path: Path, forge: Forge, **env: str) -> Iterator[int]:
    """A sweeper that looks once, and then only where it is told."""
    port = free_port()
    env = {
        **os.environ, "SPEECHMILL_HOME": str(tmp_path / "home"), "SPEECHMILL_ENGINE": "rehearsal",
        "SPEECHMILL_DROP_MIN_AGE_S": "0", "SPEECHMILL_DROP_INTERVAL_S": str(NEVER_S),
        "SPEECHMILL_SIDECAR_GRACE_S": "60", "SPEECHMILL_NOTICES_PORT": str(port), **env,
    }  # fmt: skip
    sweeper = forge.start(["ingest", drop, "--no-prefect"], env, tmp_path, tmp_path / "out", tmp_path / "err")
    try:
        until = time.monotonic() + 60
        while True:
            try:
                say(port, b"", "GET")
                break
            except OSError:
                assert sweeper.poll() is None, (tmp_path / "err").read_text()
                assert time.monotonic() < until
                time.sleep(0.1)
        yield port
    finally:
        sweeper.terminate()
        sweeper.wait(30)


def jobs(tmp_path: Path, count: int) -> int:
    """How many jobs there are, once there are so many, or after a while."""
    catalog = Catalog.open(f"sqlite:///{tmp_path / 'home' / 'catalog.db'}")
    until = time.monotonic() + 30
    while len(found := catalog.jobs()) < count and time.monotonic() < until:
        time.sleep(0.1)
    catalog.close()
    return len(found)


def test_a_notice_told_five_times_too_early_and_in_error_makes_one_job(
    drop: Path, tone: bytes, tmp_path: Path, forge: Forge
) -> None:
    def notice(key: str) -> bytes:
        return json.dumps({"key": key}).encode()

    with watching(str(drop), tmp_path, forge) as port:
        assert say(port, notice("in/talk.wav")) == 204
        (drop / "in" / "talk.job.json").write_text(JOB)
        (drop / "in" / "talk.wav").write_bytes(tone)
        for key in (
            "in/talk.wav",
            "in/talk.job.json",
            "in/talk.wav",
            "in/../../etc/passwd",
            "done/x",
            "",
            "in/talk.wav",
        ):
            assert say(port, notice(key)) == 204
        assert jobs(tmp_path, 1) == 1
        until = time.monotonic() + 60
        while list((drop / "in").iterdir()):
            assert time.monotonic() < until
            time.sleep(0.2)
    assert jobs(tmp_path, 1) == 1


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"[" * 100_000, {}, 400),
        (b"{}", {}, 400),
        (b'{"Records": [{"s3": null}]}', {}, 400),
        (b'"key"', {}, 400),
        (b"{}", {"Content-Length": "-1"}, 413),
        (b"{}", {"Content-Length": str(1 << 21)}, 413),
    ],
)
def test_what_is_no_notice_is_refused(studio: Studio, body: bytes, headers: dict[str, str], status: int) -> None:
    studio.settings.notices_port = free_port()
    with heard(studio.settings, studio.place) as notices:
        assert say(studio.settings.notices_port, body, **headers) == status
        assert notices.wait(0) == []


def test_only_what_lies_in_the_place_is_looked_at_as_it_is_called_there(
    moto_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moto_server.reach(monkeypatch)
    studio = Studio("s3://studio/films", tmp_path / "home", f"sqlite:///{tmp_path / 'catalog.db'}")
    notices = Notices(studio.place)
    notices.tell(event("studio", "films/in/a+b%C3%BC.wav", "films/done/x", "in/a.wav"))
    notices.tell(event("other", "films/in/a.wav"))
    notices.tell(json.dumps({"detail": {"bucket": {"name": "studio"}, "object": {"key": "films/in/c.wav"}}}).encode())
    assert notices.wait(0) == ["in/a+b%C3%BC.wav", "in/a bü.wav", "in/c.wav"]
    assert notices.wait(0) == []
    studio.catalog.close()


@ONE_PROCESS
def test_ceph_tells_a_sweeper_of_a_film_that_was_dropped(
    rgw: S3Server, tone: bytes, tmp_path: Path, forge: Forge
) -> None:
    """As docs/drop-folders.md has it set up."""
    import boto3
    from botocore.config import Config

    bucket, client = rgw.new_bucket(), rgw.client()
    with watching(f"s3://{bucket}", tmp_path, forge, **rgw.environment) as port:
        topics: Any = boto3.client(
            "sns", endpoint_url=rgw.url, region_name="us-east-1", config=Config(signature_version="s3"),
            aws_access_key_id=rgw.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=rgw.environment["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip
        topic = topics.create_topic(Name=bucket, Attributes={"push-endpoint": f"http://127.0.0.1:{port}"})["TopicArn"]
        told = [{"Id": "dropped", "TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}]
        client.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"TopicConfigurations": told}
        )
        client.put_object(Bucket=bucket, Key="in/talk.job.json", Body=JOB.encode())
        client.put_object(Bucket=bucket, Key="in/talk.wav", Body=tone)
        assert jobs(tmp_path, 1) == 1
