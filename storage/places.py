"""Places: where strangers drop files, in a folder or in a bucket, and where they find what became of them.

``in/`` is theirs; ``done/`` and ``quarantine/`` are ours. What is put there is whole from the first moment: a folder
appears by one rename, and in a bucket the one file that says what belongs to a folder comes last. Only then does what
was dropped leave ``in/``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from speechmill.errors import BadInput, MissingObject, Unavailable
from speechmill.recipes import digest_of_file
from speechmill.roots import opened, path_of
from speechmill.settings import Settings
from storage.objects import FolderStore, StoredObject, copy_file, link_or_copy, safe_key
from storage.s3 import S3Store
from storage.scratch import Scratch, system_errors

IN = "in/"
TAKEN = "source"  # the folder, beside a delivery, of what was dropped for it
DELIVERY = "delivery.json"  # the last file of a delivery to appear
MOST_LISTED_BYTES = 1 << 20  # of a marker
NAMELESS = "object"  # what a file is called whose own name cannot be used


class Place(Protocol):
    """A place where files are dropped. Keys are parts between slashes, as the ledger has them (``ledger_key``)."""

    url: str
    whole: bool  # objects appear whole: what is there need not be looked at twice

    def incoming(self, prefix: str = IN) -> Iterator[StoredObject]:
        """What lies under ``in/``, with keys of the ledger."""

    def head(self, key: str) -> StoredObject | None:
        """What is known of an object, ``None`` where there is none."""

    def read(self, key: str, most_bytes: int) -> bytes:
        """The first bytes of an object; raises ``MissingObject``."""

    def source(self, key: str) -> str:
        """How a request names an object: a path, or ``s3://…``."""

    def path(self, key: str) -> Path | None:
        """The file that an object is on this machine, where it is one."""

    def settle(
        self, folder: str, made: Mapping[str, Path], taken: Mapping[str, str], marker: str, facts: dict[str, object]
    ) -> None:
        """Have a folder appear with files of ours (names to paths), with copies of what was dropped (keys to names)
        and, last, a marker: JSON of these facts and of the sha256 of every file of ours. Twice is once. Other files of
        ours take the place of those that are there, and the marker, which goes first, says when they have."""

    def remove(self, key: str, etag: str) -> None:
        """Take away what was dropped, unless it is something else by now. Only after ``settle`` has its copy."""


def place_at(where: str, settings: Settings) -> Place:
    """The place that a user names: a folder that is there, or ``s3://bucket/prefix``. Raises ``BadInput`` for what is
    none, also for the folder ``in/`` of one, in which nobody would find another."""
    scheme, separator, _ = where.partition("://")
    above = where.rstrip("/").removesuffix("/in")
    if above != where.rstrip("/"):
        raise BadInput(f"“{where}” is where files are dropped in a drop folder", hint=f"name that: {above or '/'}")
    if separator and scheme == "s3":
        return BucketPlace(where, settings)
    if separator and scheme != "file":
        raise BadInput(f"“{where}” is no drop folder", hint="name a folder, or s3://bucket/prefix")
    root = path_of(where.removeprefix("file://")).absolute()
    if not root.is_dir():
        raise BadInput(f"there is no folder {root}", hint="make it first, or correct the name")
    return FolderPlace(root)


def ledger_key(key: str) -> str:
    """A key as the ledger has it: one that databases cannot keep, or people cannot read, is escaped."""
    return key if "\\" not in key and key.isprintable() else key.encode("unicode_escape").decode("ascii")


def raw_key(key: str) -> str:
    """The key that the ledger's stands for."""
    return key.encode("ascii").decode("unicode_escape") if "\\" in key else key


def safe_name(key: str) -> str:
    """What a file may be called that has this key: its own name, or one of ours."""
    name = key.rpartition("/")[2]
    try:
        return safe_key(name)
    except BadInput:
        return NAMELESS


def listed(marker: bytes) -> set[str]:
    """The files that a marker names; one that somebody has tampered with reaches nowhere else."""
    try:
        return {name for name in json.loads(marker)["files"] if safe_key(name) == name}
    except (BadInput, ValueError, TypeError, KeyError, AttributeError):
        return set()


def marked(marker: str, facts: dict[str, object], files: Mapping[str, Path], into: Path) -> Path:
    """Write the marker of a folder: what it says, and what belongs to it."""
    body = facts | {
        "files": {
            name: {"sha256": digest_of_file(path), "size_bytes": path.stat().st_size} for name, path in files.items()
        }
    }
    path = into / marker
    path.write_text(json.dumps(body, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return path


class FolderPlace:
    """A folder of this machine, or of one that is mounted here."""

    whole = False

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.url = f"file://{self.root}"
        self._store = FolderStore(self.root)
        self._scratch = Scratch(self.root / ".speechmill")  # on the same file system; sweeps pass over hidden folders

    def incoming(self, prefix: str = IN) -> Iterator[StoredObject]:
        for found in self._store.list(prefix):
            yield StoredObject(ledger_key(found.key), found.size_bytes, found.modified_at, found.etag)

    def head(self, key: str) -> StoredObject | None:
        # A key of a listing is made of names of real folders and files, whatever they are; any other must be safe.
        raw = raw_key(key)
        parts = raw.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\0" in raw:
            return None
        return self._store.facts(key, self.root / raw)

    def read(self, key: str, most_bytes: int) -> bytes:
        if self.head(key) is None:
            raise MissingObject(f"{key} is not there", hint="it was taken away meanwhile")
        with system_errors(), opened(self.path(key), (str(self.root),)) as file:
            return file.read(most_bytes)

    def source(self, key: str) -> str:
        return str(self.path(key))

    def path(self, key: str) -> Path:
        return self.root / raw_key(key)

    def settle(
        self, folder: str, made: Mapping[str, Path], taken: Mapping[str, str], marker: str, facts: dict[str, object]
    ) -> None:
        target = self.root / safe_key(folder)
        with system_errors(), self._scratch.folder() as workshop:
            before = self._marker(target / marker)
            if before is not None and before == marked(marker, facts, made, workshop).read_bytes():
                return
            staged = workshop / "staged"
            staged.mkdir()
            copies = {}
            for name, path in made.items():
                copies[name] = staged / name
                copies[name].parent.mkdir(parents=True, exist_ok=True)
                copy_file(path, copies[name])
            for key, name in taken.items():
                if self.head(key) is not None:
                    (staged / name).parent.mkdir(parents=True, exist_ok=True)
                    with opened(self.path(key), (str(self.root),)) as file:
                        link_or_copy(file, staged / name)
            marked(marker, facts, copies, staged)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                staged.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
                # What was made again, or another sweeper, whose claim had run out, was a moment earlier.
                self._replace(target, staged, marker, listed(before or b"") - made.keys())

    def _marker(self, path: Path) -> bytes | None:
        with suppress(FileNotFoundError, NotADirectoryError), opened(path, (str(self.root),)) as file:
            return file.read(MOST_LISTED_BYTES)
        return None

    def _replace(self, target: Path, staged: Path, marker: str, stale: Set[str]) -> None:
        """Put what is staged into a folder that is there, and take away what is stale in it."""
        files = [path.relative_to(staged) for path in sorted(staged.rglob("*")) if path.is_file()]
        files.sort(key=lambda path: path == Path(marker))
        with _folder(target, self.root) as folder:
            for gone in (marker, *stale):
                (folder / gone).unlink(missing_ok=True)
            for path in files:
                (folder / path.parent).mkdir(parents=True, exist_ok=True)
                (staged / path).replace(folder / path)

    def remove(self, key: str, etag: str) -> None:
        path = self.path(key)
        with (
            system_errors(),
            suppress(FileNotFoundError, NotADirectoryError),
            _folder(path.parent, self.root) as folder,
        ):
            found = self._store.facts(key, folder / path.name)
            if found is not None and found.etag == etag:
                (folder / path.name).unlink()


@contextmanager
def _folder(path: Path, root: Path) -> Iterator[Path]:
    """A folder under a root, by a name that means this folder whatever becomes of the others. Raises
    ``FileNotFoundError`` for one that is not, or no longer, there."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        name = Path(f"/proc/self/fd/{descriptor}")
        if not name.readlink().is_relative_to(root):
            raise FileNotFoundError(path)
        yield name
    finally:
        os.close(descriptor)


class BucketPlace:
    """A prefix of a bucket. What is put there is marked with ``marks``."""

    whole = True

    def __init__(self, url: str, settings: Settings, marks: Mapping[str, str] | None = None) -> None:
        self._marks = marks
        self._store = S3Store(url, settings)
        self.url = f"s3://{self._store.bucket}/{self._store.prefix}".rstrip("/")
        self._scratch = Scratch(settings.scratch)

    def incoming(self, prefix: str = IN) -> Iterator[StoredObject]:
        for found in self._store.list(prefix):
            yield StoredObject(ledger_key(found.key), found.size_bytes, found.modified_at, found.etag)

    def head(self, key: str) -> StoredObject | None:
        return next((found for found in self.incoming(raw_key(key)) if found.key == key), None)

    def read(self, key: str, most_bytes: int) -> bytes:
        with self._store.open_range(key, 0, most_bytes) as reader:
            return reader.read()

    def source(self, key: str) -> str:
        return f"{self.url}/{key}"

    def path(self, key: str) -> None: ...

    def settle(
        self, folder: str, made: Mapping[str, Path], taken: Mapping[str, str], marker: str, facts: dict[str, object]
    ) -> None:
        with self._scratch.folder() as workshop:
            new, before = marked(marker, facts, made, workshop), self._marker(f"{folder}/{marker}")
            if before == new.read_bytes():
                return
            for gone in () if before is None else (marker, *self._stale(folder, listed(before) - made.keys())):
                self._store.delete(f"{folder}/{gone}")
            for name, path in made.items():
                self._store.put_file(f"{folder}/{name}", path, marks=self._marks)
            for key, name in taken.items():
                found = self.head(key)
                if found is not None:
                    self._copy(found, f"{folder}/{name}")
            self._store.put_file(f"{folder}/{marker}", new, marks=self._marks)

    def _marker(self, key: str) -> bytes | None:
        with suppress(MissingObject):
            return self.read(key, MOST_LISTED_BYTES)
        return None

    def _stale(self, folder: str, names: Set[str]) -> Iterator[str]:
        """Of files that an earlier delivery lists and this one has not, those that are still ours: what somebody put
        in their place bears no marks."""
        for name in names:
            if self._marks is None or self._marks.keys() & (self._store.marks(f"{folder}/{name}") or {}).keys():
                yield name

    def remove(self, key: str, etag: str) -> None:
        found = self.head(key)
        if found is not None and found.etag == etag:
            with self._store.named(key):
                self._store.s3.delete_object(Bucket=self._store.bucket, Key=self._store.prefix + raw_key(key))

    def _copy(self, found: StoredObject, target: str) -> None:
        """Whatever its key: S3 takes keys that no file could have."""
        source = {"Bucket": self._store.bucket, "Key": self._store.prefix + raw_key(found.key)}
        with self._store.named(found.key):
            self._store.s3.copy(source, self._store.bucket, self._store.prefix + safe_key(target))
        copied = self._store.head(target)
        if copied is None or copied.size_bytes != found.size_bytes:
            raise Unavailable(f"{found.key} was not copied whole", hint="the next sweep tries again")
