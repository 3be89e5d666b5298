"""Objects in a bucket of an S3 server, by boto3.

Small files go in one request, larger ones in parts, several at a time; what boto3 can retry (refused connections,
timeouts, 500, 503, throttling) it asks up to five times, with growing pauses. An object appears whole or not at all: an
upload that is cut off is aborted, and one whose process was killed is aborted later by ``clear_unfinished``.
"""

from __future__ import annotations

import io
import mimetypes
import os
import re
import shutil
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import quote

from speechmill.errors import BadInput, MissingObject
from storage.objects import StoredObject, safe_key
from storage.s3_errors import missing, named, no_bucket
from storage.scratch import system_errors

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from speechmill.settings import Settings

PART_BYTES = 16 << 20  # files from this size on go in parts; 10,000 of them, S3's limit, are 160 GB
PARALLEL_BYTES = 64 << 20  # objects from this size on are fetched by several requests at a time
MOST_COPY_BYTES = 5 << 30  # what S3 copies in one request; above it is copied in parts
COPY_PART_BYTES = 1 << 30
CONNECTIONS = 32  # at least the threads that work at once, times the parts of one transfer
THREADS_A_TRANSFER = 4
ATTEMPTS = 5
CONNECT_S = 5.0
LONGEST_LINK_S = 7 * 24 * 3600  # signature version 4 allows a week
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")

_opening = threading.Lock()  # boto3's sessions are not safe to share while a client is made; clients are


class S3Store:
    """Objects under a prefix of a bucket. Making one asks nothing of the server."""

    is_local = False

    def __init__(self, url: str, settings: Settings) -> None:
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not url.startswith("s3://") or not BUCKET.fullmatch(bucket):
            raise BadInput(f"“{url}” names no bucket", hint="write s3://bucket or s3://bucket/prefix")
        self.bucket = bucket
        self.prefix = safe_key(prefix.rstrip("/")) + "/" if prefix.strip("/") else ""
        self._settings = settings
        self._bucket_seen = False

    def put_file(
        self,
        key: str,
        path: Path,
        *,
        give: bool = False,
        durable: bool = True,  # noqa: ARG002
        marks: Mapping[str, str] | None = None,
    ) -> None:
        """``marks`` go with the object as long as nobody writes over it."""
        full = self._full(key)
        how = self._written(key) | ({"Metadata": dict(marks)} if marks else {})
        with system_errors(), self.named(key):
            if path.stat().st_size < PART_BYTES:
                with path.open("rb") as body:
                    self.s3.put_object(Bucket=self.bucket, Key=full, Body=body, **how)
            else:
                self.s3.upload_file(
                    str(path), self.bucket, full, ExtraArgs=how, Config=_transfer(PART_BYTES, PART_BYTES)
                )
        if give:
            path.unlink()

    def put_if_absent(self, key: str, path: Path) -> bool:
        """On a server that ignores conditions (``speechmill doctor`` says so) several may win. At most 5 GiB."""
        full, claim = self._full(key), uuid.uuid4().hex
        if self.head(key) is not None:
            return False
        how = self._written(key) | {"Metadata": {"claim": claim}}
        for attempt in range(ATTEMPTS):
            with system_errors(), self.named(key), path.open("rb") as body:
                try:
                    self.s3.put_object(Bucket=self.bucket, Key=full, Body=body, IfNoneMatch="*", **how)
                    return True
                except self.s3.exceptions.ClientError as error:
                    code = error.response["Error"]["Code"]
                    if code in ("PreconditionFailed", "412"):  # by somebody else, or by our own try that was cut off
                        found = self.s3.head_object(Bucket=self.bucket, Key=full)
                        return bool(found["Metadata"].get("claim") == claim)
                    if code != "ConditionalRequestConflict" or attempt == ATTEMPTS - 1:
                        raise
        raise AssertionError("unreachable")

    def get_file(self, key: str, path: Path) -> None:
        full = self._full(key)
        try:
            with system_errors(), self.named(key):
                with _Reader(self, key) as reader:
                    if reader.left_bytes < PARALLEL_BYTES:
                        with path.open("wb") as file:
                            shutil.copyfileobj(reader, file, 1 << 20)
                        return
                self.s3.download_file(self.bucket, full, str(path), Config=_transfer(PARALLEL_BYTES, PART_BYTES))
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def open_range(self, key: str, start_bytes: int = 0, length_bytes: int | None = None) -> BinaryIO:
        with self.named(key):
            return cast(BinaryIO, io.BufferedReader(_Reader(self, key, start_bytes, length_bytes), 1 << 18))

    def local_path(self, key: str) -> None:
        self._full(key)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Whatever keys there are, also those that ``safe_key`` refuses; without the empty “folders” of some tools."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix + prefix)
        with self.named():
            for page in pages:
                for found in page.get("Contents", ()):
                    if not found["Key"].endswith("/"):
                        yield self._stored(found["Key"], found["Size"], found)

    def head(self, key: str) -> StoredObject | None:
        found = self._headed(key)
        return None if found is None else self._stored(self._full(key), found["ContentLength"], found)

    def marks(self, key: str) -> Mapping[str, str] | None:
        """What an object was marked with when it was put; ``None`` where there is none."""
        found = self._headed(key)
        return None if found is None else cast(Mapping[str, str], found["Metadata"])

    def _headed(self, key: str) -> dict[str, Any] | None:
        full = self._full(key)
        try:
            with self.named(key):
                return cast(dict[str, Any], self.s3.head_object(Bucket=self.bucket, Key=full))
        except MissingObject:
            self._raise_without_bucket()
            return None

    def copy(self, source: str, target: str) -> None:
        given, full = {"Bucket": self.bucket, "Key": self._full(source)}, self._full(target)
        with self.named(source):
            self.s3.copy(given, self.bucket, full, Config=_transfer(MOST_COPY_BYTES, COPY_PART_BYTES))

    def delete(self, key: str) -> None:
        full = self._full(key)
        with self.named(key):
            self.s3.delete_object(Bucket=self.bucket, Key=full)

    def link(self, key: str, *, expires_s: int, name: str = "") -> str:
        """A link that anybody can open until it expires, on ``SPEECHMILL_S3_PUBLIC_URL`` where that is set."""
        if not 0 < expires_s <= LONGEST_LINK_S:
            raise BadInput(f"a link cannot be open for {expires_s} s", hint=f"choose 1 to {LONGEST_LINK_S} s")
        self.raise_if_missing(key)
        asked = self.named_object(key)
        if name:
            asked["ResponseContentDisposition"] = f"inline; filename*=UTF-8''{quote(name, safe='')}"
            asked["ResponseContentType"] = _kind(name)
        public = self._settings.s3_public_url or self._settings.s3_endpoint_url
        with self.named(key):
            found: str = self._at(public).generate_presigned_url("get_object", Params=asked, ExpiresIn=expires_s)
        return found

    def clear_unfinished(self, before: datetime, *, dry_run: bool = False) -> int:
        pages = self.s3.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=self.prefix)
        count = 0
        with self.named():
            for page in pages:
                for upload in page.get("Uploads", ()):
                    if upload["Initiated"] < before:
                        count += 1
                        if not dry_run:
                            self._abort(upload["Key"], upload["UploadId"])
        return count

    def _abort(self, full: str, upload: str) -> None:
        try:
            self.s3.abort_multipart_upload(Bucket=self.bucket, Key=full, UploadId=upload)
        except self.s3.exceptions.NoSuchUpload:
            return  # it was finished or aborted meanwhile

    def raise_if_missing(self, key: str) -> None:
        if self.head(key) is None:
            raise missing(key)

    def named_object(self, key: str) -> dict[str, str]:
        """An object as boto3 names it; raises ``BadInput`` for an unsafe key."""
        return {"Bucket": self.bucket, "Key": self._full(key)}

    @property
    def s3(self) -> Any:
        """boto3's client."""
        return self._at(self._settings.s3_endpoint_url)

    def _at(self, endpoint_url: str) -> Any:
        with _opening, self.named():
            return _client(os.getpid(), endpoint_url, self._settings.s3_checksums, self._settings.s3_timeout_s)

    def named(self, key: str = "") -> AbstractContextManager[None]:
        """What goes wrong inside is raised in our words."""
        return named(self.bucket, self._settings.s3_endpoint_url, key)

    def _full(self, key: str) -> str:
        return safe_key(self.prefix + safe_key(key))

    def _stored(self, full: str, size_bytes: int, found: dict[str, Any]) -> StoredObject:
        changed = found["LastModified"].astimezone(UTC).replace(microsecond=0)  # all that an answer to HEAD says
        return StoredObject(full.removeprefix(self.prefix), size_bytes, changed, found["ETag"].strip('"'))

    def _written(self, key: str) -> dict[str, Any]:
        """How an object is written: what a browser makes of it, and the checksum that goes with each request."""
        how = {"ContentType": _kind(key)}
        return how | {"ChecksumAlgorithm": "SHA256"} if self._settings.s3_checksums == "sha256" else how

    def _raise_without_bucket(self) -> None:
        """A server says the same of a key and of a bucket that are not there: ask for the bucket, once."""
        if not self._bucket_seen:
            try:
                with self.named():
                    self.s3.head_bucket(Bucket=self.bucket)
            except MissingObject:
                raise no_bucket(self.bucket) from None
            self._bucket_seen = True


class _Reader(io.RawIOBase):
    """An object's bytes from front to back; where the connection breaks it goes on from there on a new one."""

    def __init__(self, store: S3Store, key: str, start_bytes: int = 0, length_bytes: int | None = None) -> None:
        self._store, self._key = store, key
        self._at, self._breaks = start_bytes, 0
        self._body: Any = None
        self._etag = ""
        self.left_bytes = 0
        if length_bytes == 0:
            store.raise_if_missing(key)
            return
        last = "" if length_bytes is None else start_bytes + length_bytes - 1
        whole = start_bytes == 0 and length_bytes is None
        try:
            self._open({} if whole else {"Range": f"bytes={start_bytes}-{last}"})
        except store.s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in ("InvalidRange", "416"):
                raise
            return  # the object ends before that
        self.left_bytes = self._length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)[: self.left_bytes]
        if not view:
            return 0
        with self._store.named(self._key):
            got = self._read(len(view))
        view[: len(got)] = got
        self._at += len(got)
        self.left_bytes -= len(got)
        return len(got)

    def close(self) -> None:
        if self._body is not None:
            self._body.close()
        super().close()

    def _read(self, count: int) -> bytes:
        while True:
            try:
                got: bytes = self._body.read(count)
                if got:
                    return got
                raise ConnectionError(f"{self.left_bytes} bytes are missing at the end")
            except Exception:
                self._breaks += 1
                if self._breaks >= ATTEMPTS:
                    raise
            last = self._at + self.left_bytes - 1
            self._body.close()
            self._open({"Range": f"bytes={self._at}-{last}", "IfMatch": self._etag})

    def _open(self, how: dict[str, str]) -> None:
        found = self._store.s3.get_object(**self._store.named_object(self._key), **how)
        self._body, self._etag, self._length = found["Body"], found["ETag"], found["ContentLength"]


@lru_cache
def _client(process: int, endpoint_url: str, checksums: str, timeout_s: float) -> Any:  # noqa: ARG001
    """One client for all threads of a process: a forked child must not share its parent's connections."""
    import boto3
    from botocore.config import Config

    when = "when_required" if checksums == "required" else "when_supported"
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if endpoint_url else "auto"},
        retries={"mode": "adaptive", "total_max_attempts": ATTEMPTS},
        connect_timeout=CONNECT_S,
        read_timeout=timeout_s,
        max_pool_connections=CONNECTIONS,
        request_checksum_calculation=when,
        response_checksum_validation=when,
    )
    try:
        return boto3.session.Session().client("s3", endpoint_url=endpoint_url or None, config=config)
    except ValueError as error:
        raise BadInput(str(error), hint="correct SPEECHMILL_S3_ENDPOINT_URL, such as http://127.0.0.1:8333") from None


def _transfer(from_bytes: int, part_bytes: int) -> Any:
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(
        multipart_threshold=from_bytes, multipart_chunksize=part_bytes, max_concurrency=THREADS_A_TRANSFER
    )


def _kind(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"
