"""An S3 server that fails, is slow, or is cut off in the middle: survived, or told in a line, and never half there."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from speechmill.errors import DiskFull, MissingObject, ServiceRefused, Unavailable
from speechmill.settings import Settings
from storage import s3 as module
from storage.objects import ObjectStore
from storage.stores import object_store
from tests.proxy import Fault, Proxy
from tests.servers import ONE_PROCESS, S3Server

PARTS = 40 << 20  # three parts
TOMORROW = timedelta(days=1)


@pytest.fixture
def proxy(moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Between us and the server; few attempts, so that what never gets better is told soon."""
    moto_server.reach(monkeypatch)
    monkeypatch.setattr(module, "ATTEMPTS", 3)
    port = urlsplit(moto_server.url).port
    assert port
    proxy = Proxy(port)
    yield proxy
    proxy.close()
    module._client.cache_clear()


@pytest.fixture
def bucket(moto_server: S3Server) -> str:
    return moto_server.new_bucket()


@pytest.fixture
def far(proxy: Proxy, bucket: str) -> ObjectStore:
    """The store as it is reached through the proxy."""
    return object_store(f"s3://{bucket}/studio", Settings(s3_endpoint_url=proxy.url, s3_timeout_s=2))


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film"
    path.write_bytes(random.Random(3).randbytes(PARTS))
    return path


def left_behind(server: S3Server, bucket: str) -> tuple[list[str], int]:
    """Objects, and uploads that are neither finished nor aborted."""
    client = server.client()
    keys = [found["Key"] for found in client.list_objects_v2(Bucket=bucket).get("Contents", [])]
    return keys, len(client.list_multipart_uploads(Bucket=bucket).get("Uploads", []))


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError")])
def test_a_server_that_is_busy_for_a_moment_is_asked_again(
    far: ObjectStore, proxy: Proxy, tmp_path: Path, status: int, code: str
) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    proxy.faults = [Fault(f"^{method} ", "answer", status=status, code=code) for method in ("PUT", "HEAD", "GET")]
    far.put_file("a", tmp_path / "a")
    assert far.head("a") is not None
    far.get_file("a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"0123456789"
    assert [fault.met for fault in proxy.faults] == [1, 1, 1]


def test_a_server_that_stays_busy_is_named_and_may_be_asked_later(far: ObjectStore, proxy: Proxy) -> None:
    proxy.faults = [Fault("^HEAD", "answer", times=99)]
    with pytest.raises(Unavailable, match="503") as told:
        far.head("a")
    assert told.value.retryable
    assert proxy.faults[0].met == 3


def test_a_reply_that_takes_too_long_is_asked_for_again(far: ObjectStore, proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    proxy.faults = [Fault("^PUT", "delay", seconds=4)]
    far.put_file("a", tmp_path / "a")
    assert far.head("a") is not None
    proxy.faults = [Fault("^GET", "delay", seconds=4, times=99)]
    with pytest.raises(Unavailable):
        far.get_file("a", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_an_upload_that_is_cut_in_the_middle_of_a_part_goes_on(
    far: ObjectStore, proxy: Proxy, film: Path, bucket: str, moto_server: S3Server, tmp_path: Path
) -> None:
    proxy.faults = [Fault("partNumber=2", "cut request", after_bytes=5 << 20)]
    far.put_file("film", film)
    assert proxy.faults[0].met == 1
    assert left_behind(moto_server, bucket) == (["studio/film"], 0)
    far.get_file("film", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == film.read_bytes()


def test_an_upload_that_is_cut_again_and_again_leaves_no_part(
    far: ObjectStore, proxy: Proxy, film: Path, bucket: str, moto_server: S3Server
) -> None:
    proxy.faults = [Fault("partNumber=2", "cut request", after_bytes=5 << 20, times=99)]
    with pytest.raises(Unavailable):
        far.put_file("film", film, give=True)
    assert film.exists()  # what is given is gone only when it is kept
    assert left_behind(moto_server, bucket) == ([], 0)


def test_an_upload_that_is_refused_in_the_middle_fails_at_once_with_a_hint(
    far: ObjectStore, proxy: Proxy, film: Path, bucket: str, moto_server: S3Server
) -> None:
    proxy.faults = [Fault("partNumber=2", "answer", status=403, code="AccessDenied", times=99)]
    with pytest.raises(ServiceRefused, match="not allowed; give these credentials") as told:
        far.put_file("film", film)
    assert not told.value.retryable
    assert proxy.faults[0].met == 1
    assert left_behind(moto_server, bucket) == ([], 0)


@ONE_PROCESS
def test_what_a_killed_process_was_uploading_is_aborted_later_and_nothing_of_others(
    rgw: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    rgw.reach(monkeypatch)
    bucket = rgw.new_bucket()
    store = object_store(f"s3://{bucket}/studio", Settings(s3_endpoint_url=rgw.url))
    for key in ("studio/film", "studio2/film", "films/film"):
        rgw.client().create_multipart_upload(Bucket=bucket, Key=key)
    now = datetime.now(UTC)
    assert store.clear_unfinished(now - TOMORROW) == 0
    assert store.clear_unfinished(now + TOMORROW, dry_run=True) == 1
    assert store.clear_unfinished(now + TOMORROW) == 1
    assert left_behind(rgw, bucket) == ([], 2)


def test_a_download_that_is_cut_goes_on_from_there(far: ObjectStore, proxy: Proxy, film: Path, tmp_path: Path) -> None:
    far.put_file("film", film)
    proxy.faults = [Fault("^GET", "cut reply", after_bytes=3 << 20, times=2)]
    far.get_file("film", tmp_path / "got")
    assert proxy.faults[0].met == 2
    assert (tmp_path / "got").read_bytes() == film.read_bytes()
    with far.open_range("film", 1000, 20 << 20) as reader:
        proxy.faults = [Fault("^GET", "cut reply", after_bytes=1 << 20)]
        assert reader.read() == film.read_bytes()[1000 : 1000 + (20 << 20)]


def test_a_download_that_is_cut_again_and_again_leaves_no_file(
    far: ObjectStore, proxy: Proxy, film: Path, tmp_path: Path
) -> None:
    far.put_file("film", film)
    proxy.faults = [Fault("^GET", "cut reply", after_bytes=1 << 20, times=99)]
    with pytest.raises(Unavailable, match="broke"):
        far.get_file("film", tmp_path / "got")
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize(("status", "code"), [(507, "InsufficientStorage"), (403, "QuotaExceeded")])
def test_a_server_without_room_is_a_full_disk(
    far: ObjectStore, proxy: Proxy, tmp_path: Path, status: int, code: str
) -> None:
    (tmp_path / "a").write_bytes(b"a")
    proxy.faults = [Fault("^PUT", "answer", status=status, code=code, times=99)]
    with pytest.raises(DiskFull, match="no room left"):
        far.put_file("a", tmp_path / "a")


def test_a_server_that_is_not_there_is_named(proxy: Proxy, far: ObjectStore) -> None:
    proxy.close()
    with pytest.raises(Unavailable, match=r"cannot be reached.*S3_ENDPOINT_URL") as told:
        far.head("a")
    assert told.value.retryable


def test_without_credentials_it_is_said_where_they_go(far: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    module._client.cache_clear()
    with pytest.raises(ServiceRefused, match="AWS_ACCESS_KEY_ID"):
        far.head("a")


@ONE_PROCESS
@pytest.mark.parametrize(
    ("variable", "said"),
    [("AWS_SECRET_ACCESS_KEY", "does not belong"), ("AWS_ACCESS_KEY_ID", "does not know this access key")],
)
def test_wrong_credentials_are_told_apart(
    rgw: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, said: str
) -> None:
    rgw.reach(monkeypatch)
    bucket = rgw.new_bucket()
    monkeypatch.setenv(variable, "wrong")
    module._client.cache_clear()
    (tmp_path / "a").write_bytes(b"a")
    with pytest.raises(ServiceRefused, match=said):
        object_store(f"s3://{bucket}", Settings(s3_endpoint_url=rgw.url)).put_file("a", tmp_path / "a")
    module._client.cache_clear()


@ONE_PROCESS
@pytest.mark.parametrize("ask", [lambda o: o.head("a"), lambda o: list(o.list()), lambda o: o.delete("a")])
def test_a_bucket_that_is_not_there_is_named(s3: S3Server, ask: Callable[[ObjectStore], object]) -> None:
    with pytest.raises(ServiceRefused, match="no bucket no-such-bucket"):
        ask(object_store("s3://no-such-bucket/studio", Settings(s3_endpoint_url=s3.url)))


def test_an_object_that_changes_while_it_is_read_is_not_mixed(far: ObjectStore, proxy: Proxy, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"o" * (24 << 20))  # more than all buffers on the way hold
    new.write_bytes(b"n" * (24 << 20))
    far.put_file("a", old)
    with far.open_range("a") as reader:
        begun = reader.read(1000)
        far.put_file("a", new)
        proxy.cut()
        with pytest.raises((Unavailable, MissingObject)):
            reader.read()
    assert begun == b"o" * 1000


def test_a_copy_above_the_limit_goes_in_parts(
    far: ObjectStore, film: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    far.put_file("film", film)
    monkeypatch.setattr(module, "MOST_COPY_BYTES", 20 << 20)
    monkeypatch.setattr(module, "COPY_PART_BYTES", 16 << 20)
    far.copy("film", "done/film")
    found = far.head("done/film")
    assert found is not None
    assert found.etag.endswith("-3")
    far.get_file("done/film", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == film.read_bytes()
