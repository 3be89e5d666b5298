"""Objects: files under keys, whole or not there at all. ``ObjectStore`` is the contract; ``FolderStore`` keeps them
in a folder of this machine, ``storage.s3`` in a bucket.

Real object stores accept keys such as ``in/../../etc/passwd`` or ``-i``, so a path is never made from a key that
``safe_key`` has not passed.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import shutil
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from speechmill.errors import BadInput, MissingObject
from storage.scratch import Scratch, system_errors

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MOST_KEY_BYTES = 1024  # S3's limit
MOST_NAME_BYTES = 255  # of one part between slashes: what Linux file systems take
FICLONE = 0x40049409  # linux/fs.h: share the blocks of another file, on file systems that can


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What is known of an object without opening it."""

    key: str
    size_bytes: int
    modified_at: datetime
    etag: str = ""  # another one whenever the bytes may be others; never an identity of the bytes


class ObjectStore(Protocol):
    """Files under keys. A key is parts between slashes; one key is never the beginning of another key's parts.

    Every method raises ``BadInput`` for an unsafe key, ``DiskFull`` or ``Unavailable`` where the store cannot, and
    those that need an object ``MissingObject`` where there is none.
    """

    is_local: bool  # whether ``local_path`` has a path

    def put_file(self, key: str, path: Path, *, give: bool = False, durable: bool = True) -> None:
        """Keep a file's bytes under a key, replacing what was there: a reader sees the old or the new, never a part.

        With ``give`` the store takes the file itself, which is gone from ``path`` afterwards and, on the same file
        system, is not copied. ``durable=False`` need not survive a power cut, only the end of the process.
        """

    def put_if_absent(self, key: str, path: Path) -> bool:
        """Keep a copy unless there is an object already; of several at once exactly one gets ``True``, where the
        store can tell (not every S3 can: claims belong in the catalog)."""

    def get_file(self, key: str, path: Path) -> None:
        """Copy an object's bytes to ``path``, whole."""

    def open_range(self, key: str, start_bytes: int = 0, length_bytes: int | None = None) -> BinaryIO:
        """Read from a byte on, to the end or for a length; the caller closes it."""

    def local_path(self, key: str) -> Path | None:
        """The object's own file, only to be read, where the store is on this machine; ``None`` where it is not."""

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Objects whose keys begin with ``prefix``, in the order of their keys' code points. What others put into a
        bucket may have keys that every other method refuses."""

    def head(self, key: str) -> StoredObject | None:
        """What is known of an object, ``None`` where there is none."""

    def copy(self, source: str, target: str) -> None:
        """Keep an object's bytes under a second key too."""

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""

    def link(self, key: str, *, expires_s: int, name: str = "") -> str:
        """A link to an object for a browser, which calls it ``name``: ``https://`` that anybody can open until it
        expires, or ``file://`` that works on this machine. Never to be logged."""

    def clear_unfinished(self, before: datetime, *, dry_run: bool = False) -> int:
        """Remove what puts that were cut off before a time have left behind, and count it."""


def safe_key(key: str) -> str:
    """The key itself, if a path may be made of it; raises ``BadInput`` otherwise."""
    parts = key.split("/")
    trouble = None
    if not key or len(key.encode(errors="replace")) > MOST_KEY_BYTES:
        trouble = f"it must have 1 to {MOST_KEY_BYTES} bytes"
    elif any(not part for part in parts):
        trouble = "a part between slashes is empty"
    elif any(part[0] in ".-" for part in parts):
        trouble = "a part begins with a dot or a dash"
    elif any(len(part.encode(errors="replace")) > MOST_NAME_BYTES for part in parts):
        trouble = f"a part is longer than {MOST_NAME_BYTES} bytes"
    elif "\\" in key or not _can_be_seen(key):
        trouble = "it has characters that are not printed"
    elif unicodedata.normalize("NFC", key) != key:
        trouble = "it is not in Unicode's composed form (NFC)"
    if trouble:
        raise BadInput(f"{key[:80]!r} cannot be used as a name of an object: {trouble}", hint="rename the file")
    return key


def _can_be_seen(text: str) -> bool:
    """No control, format or surrogate characters and no line ends; other spaces than ASCII's are well."""
    return text.isprintable() or not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text)


class FolderStore:
    """Objects as files of a folder. Symbolic links in it are no objects."""

    is_local = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self._scratch = Scratch(root / ".incoming")  # on the same file system; no key begins with a dot

    def put_file(self, key: str, path: Path, *, give: bool = False, durable: bool = True) -> None:
        with system_errors(), self._ready(key, path, give=give) as (source, target):
            if durable:
                _sync(source)
            source.replace(target)
            if durable:
                _sync(target.parent)

    def put_if_absent(self, key: str, path: Path) -> bool:
        with system_errors(), self._ready(key, path, give=False) as (source, target):
            _sync(source)
            try:
                os.link(source, target)  # unlike a rename it fails where there is a file
            except FileExistsError:
                return False
            _sync(target.parent)
            return True

    def get_file(self, key: str, path: Path) -> None:
        with system_errors():
            copy_file(self._existing(key), path)

    def open_range(self, key: str, start_bytes: int = 0, length_bytes: int | None = None) -> BinaryIO:
        with system_errors():
            path = self._existing(key)
            size = path.stat().st_size
            end = size if length_bytes is None else min(size, start_bytes + length_bytes)
            return cast(BinaryIO, io.BufferedReader(_Window(path, start_bytes, end)))

    def local_path(self, key: str) -> Path | None:
        return self._existing(key)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        yield from self._walk(self.root, "", prefix)

    def head(self, key: str) -> StoredObject | None:
        return self.facts(key, self.root / safe_key(key))

    def copy(self, source: str, target: str) -> None:
        self.put_file(target, self._existing(source))

    def delete(self, key: str) -> None:
        if self.head(key) is not None:
            with system_errors():
                (self.root / key).unlink(missing_ok=True)

    def link(self, key: str, *, expires_s: int, name: str = "") -> str:  # noqa: ARG002
        return self._existing(key).absolute().as_uri()

    def clear_unfinished(self, before: datetime, *, dry_run: bool = False) -> int:  # noqa: ARG002
        return self._scratch.clear_dead(dry_run=dry_run)

    def _existing(self, key: str) -> Path:
        if self.head(key) is None:
            raise MissingObject(f"the object {key} is not there", hint="run the same command again to make it again")
        return self.root / key

    def facts(self, key: str, path: Path) -> StoredObject | None:
        """What is known of a file under a key; ``None`` where there is none, or a link."""
        try:
            found = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        changed = f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"
        return StoredObject(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC), changed)

    @contextmanager
    def _ready(self, key: str, path: Path, *, give: bool) -> Iterator[tuple[Path, Path]]:
        """A file of the store's own with these bytes, on its file system, and the place it is to have."""
        target = self.root / safe_key(key)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise self._clash(key) from None
        if target.is_dir():
            raise self._clash(key)
        if give and path.stat().st_dev == target.parent.stat().st_dev:
            yield path, target
            return
        with self._scratch.folder() as folder:
            own = folder / "object"
            copy_file(path, own)
            own.chmod(stat.S_IMODE(path.stat().st_mode))
            yield own, target
        if give:
            path.unlink()

    def _clash(self, key: str) -> BadInput:
        return BadInput(f"the key {key} and another are parts of each other", hint="choose another name")

    def _walk(self, folder: Path, parents: str, prefix: str) -> Iterator[StoredObject]:
        try:
            entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
        except (FileNotFoundError, NotADirectoryError):
            return
        keys = {f"{parents}{e.name}/" if e.is_dir(follow_symlinks=False) else f"{parents}{e.name}" for e in entries}
        for key in sorted(keys):  # with the slash in place, folders sort as the keys in them do
            if key.endswith("/"):
                if key.startswith(prefix) or prefix.startswith(key):
                    yield from self._walk(self.root / key, key, prefix)
            elif key.startswith(prefix) and (found := self.facts(key, self.root / key)):
                yield found


class _Window(io.RawIOBase):
    """A part of a file, to be read once from front to back."""

    def __init__(self, path: Path, start_bytes: int, end_bytes: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._file.seek(start_bytes)
        self._left_bytes = max(0, end_bytes - start_bytes)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        got = self._file.readinto(memoryview(buffer)[: self._left_bytes]) or 0
        self._left_bytes -= got
        return got

    def close(self) -> None:
        self._file.close()
        super().close()


def copy_file(source: Path, target: Path) -> None:
    """Copy bytes; on a file system that can share blocks nothing is copied."""
    with source.open("rb") as reader, target.open("wb") as writer:
        try:
            fcntl.ioctl(writer.fileno(), FICLONE, reader.fileno())
            return
        except OSError:
            pass  # another file system, or one that cannot share
    shutil.copyfile(source, target)


def link_or_copy(file: BinaryIO, target: Path) -> None:
    """A file that has the bytes of one that is open, whatever its name means by now: another name of it on the same
    file system, else a copy."""
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.link(f"/proc/self/fd/{file.fileno()}", target.name, dst_dir_fd=folder)
    except OSError:  # another file system, somebody else's file, or one that has no name any more
        copy_file(Path(f"/proc/self/fd/{file.fileno()}"), target)
        found = os.fstat(file.fileno())
        os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
    finally:
        os.close(folder)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot sync a folder
            raise
    finally:
        os.close(descriptor)
