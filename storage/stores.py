"""The store of objects that a URL names."""

from __future__ import annotations

from pathlib import Path

from speechmill.errors import BadInput
from speechmill.settings import Settings, settings
from storage.objects import FolderStore, ObjectStore
from storage.s3 import S3Store


def object_store(url: str, chosen: Settings | None = None) -> ObjectStore:
    """The store at ``file:///folder`` (taken as it is written, without %-escapes), or at ``s3://bucket/prefix`` on the
    server of the settings. Raises ``BadInput`` for any other URL; asks nothing of a server."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "file" and rest.startswith("/"):
        return FolderStore(Path(rest))
    if separator and scheme == "s3":
        return S3Store(url, chosen or settings())
    raise BadInput(
        f"“{url}” is no place for objects", hint="set SPEECHMILL_OBJECTS_URL to file:///a/folder or s3://bucket/prefix"
    )
