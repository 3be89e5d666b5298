"""Scratch: folders for half-made things, which never outlive their process by long, and locks between processes.

Every process has one folder of its own under the scratch root and holds a lock in it for as long as it lives. The
kernel lets go of that lock however the process ends, so the next one can tell what is dead and removes it.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from speechmill.errors import SpeechmillError, from_os_error

_ALIVE = ".alive"
_LOCK = ".lock"


@contextmanager
def locked(path: Path, *, instead: SpeechmillError | None = None) -> Iterator[None]:
    """Hold the lock named by a path, against threads and processes of this machine; it ends with the process.

    The file is removed by whoever held it. One who waited meanwhile notices that the file is no longer the one at
    the path, and asks again. ``instead`` is what is raised where waiting is not wanted.
    """
    descriptor = _acquired(path, instead)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


@contextmanager
def system_errors() -> Iterator[None]:
    """What the operating system refuses, in our words."""
    try:
        yield
    except OSError as error:
        raise from_os_error(error) from error


@system_errors()
def _acquired(path: Path, instead: SpeechmillError | None) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if instead is not None else 0))
            if _is_at(descriptor, path):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise instead or error from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


class Scratch:
    """Temporary folders under one root. Making a ``Scratch`` touches no file; the first folder does."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._guard = threading.Lock()
        self._numbers = itertools.count()
        self._home: Path | None = None
        self._pid = 0

    @property
    def home(self) -> Path:
        """This process's own folder, removed when the process ends or, if it was killed, by the next one. Raises
        ``DiskFull`` or ``Unavailable`` where there can be none, as everything here does."""
        with self._guard:
            if self._home is None or self._pid != os.getpid() or not self._home.is_dir():
                self._home, self._pid = self._open(), os.getpid()
            return self._home

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A temporary folder, removed afterwards with whatever is in it."""
        with system_errors():
            folder = Path(tempfile.mkdtemp(dir=self.home))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def path(self, suffix: str = "") -> Iterator[Path]:
        """A path for one file, removed afterwards if it is still there: several times cheaper than a folder."""
        with system_errors():
            path = self.home / f"{next(self._numbers)}{suffix}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Hold a name, against threads and processes that use the same root."""
        return locked(self._root / "locks" / name)

    def clear_dead(self, *, dry_run: bool = False) -> int:
        """Remove what killed processes have left under this root; how many folders that is."""
        if not self._root.is_dir():
            return 0
        with system_errors(), locked(self._root / _LOCK):
            return self._sweep(dry_run=dry_run)

    @system_errors()
    def _open(self) -> Path:
        with locked(self._root / _LOCK):
            self._sweep()
            home = Path(tempfile.mkdtemp(prefix="run-", dir=self._root))
            alive = os.open(home / _ALIVE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(alive, fcntl.LOCK_EX)
        weakref.finalize(self, _close, home, alive, os.getpid())
        return home

    def _sweep(self, *, dry_run: bool = False) -> int:
        """Remove the folders and locks of processes that are no more; how many folders that is."""
        count = 0
        for home in self._root.glob("run-*"):
            with _held_if_dead(home / _ALIVE) as dead:
                count += dead
                if dead and not dry_run:
                    shutil.rmtree(home, ignore_errors=True)
        for lock in self._root.glob("locks/*"):
            with _held_if_dead(lock) as dead:
                if dead and not dry_run:
                    lock.unlink(missing_ok=True)
        return count


@contextmanager
def _held_if_dead(path: Path) -> Iterator[bool]:
    """Whether nobody holds the lock at a path; if so, we do meanwhile."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = _is_at(descriptor, path)
    except BlockingIOError:
        held = False
    try:
        yield held
    finally:
        os.close(descriptor)


def _close(home: Path, alive: int, pid: int) -> None:
    if pid == os.getpid():  # a forked child must not remove its parent's folder
        shutil.rmtree(home, ignore_errors=True)
        os.close(alive)
