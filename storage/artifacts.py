"""Artifacts: everything that is made, kept under its own sha256 and found again by the recipe that made it.

``store.get_or_make(recipe, make)`` is cache, resume, retake and protection from duplicates in one. What is made is
first whole in scratch, then moved into place, then written to the index: killed at any moment, the store has the
artifact or does not. It can always be made again, so nothing waits for the disk: a file that a power cut has cut
short is seen by its size, and made again. Where the objects are elsewhere, what is made or asked for is also kept on
this machine, in a cache with a bound.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from pathlib import Path
from typing import Literal, Protocol

from speechmill.errors import DiskFull, MissingObject, SpeechmillError, ToolFailed
from speechmill.recipes import Artifact, Digest, Recipe, digest_of_file
from storage.caches import Cache
from storage.objects import ObjectStore, copy_file
from storage.scratch import Scratch, system_errors

READ_ONLY = 0o444
ANYBODY_WRITES = 0o222
FULL_BELOW_BYTES = 1 << 20  # with less than this left the disk is full, whatever a library says of it

PREFIX = "artifacts/"
ADD_VERSION = "1"
FETCHES = 2  # bytes that are wrong twice are wrong where they are kept
CACHE_BYTES = 20 << 30

How = Literal["made", "reused"]


class ArtifactIndex(Protocol):
    """Which recipe made which artifact; the catalog is one, ``catalog.uses_of(job)`` another that also writes down
    what the job needs."""

    def recall(self, recipe: Digest) -> Artifact | None: ...

    def remember(self, recipe: Digest, operation: str, artifact: Artifact) -> None: ...

    def forget(self, recipe: Digest) -> None: ...

    def settle(self) -> None: ...


class ArtifactStore:
    """What was made, and how to have it made once. One store serves all threads of a process.

    ``scratch`` should be on the file system of the objects: what is made there is then moved, not copied.
    """

    def __init__(
        self,
        objects: ObjectStore,
        index: ArtifactIndex,
        scratch: Path,
        *,
        cache: Path | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._objects = objects
        self._index = index
        self._scratch = Scratch(scratch)
        self._cache = Cache(cache or scratch / "cache", self._scratch, cache_bytes)  # for objects that are elsewhere
        self._guard = threading.Lock()
        self._tally: Counter[tuple[str, How]] = Counter()
        self._trusted: dict[Digest, tuple[int, int, int]] = {}  # linked files, by the state they were hashed in

    @property
    def tally(self) -> Counter[tuple[str, How]]:
        """How often each operation was ``made`` and ``reused`` so far: a copy, so two of them can be subtracted."""
        with self._guard:
            return self._tally.copy()

    def apart(self, index: ArtifactIndex | None = None) -> ArtifactStore:
        """The same store, counting for itself (and, where one is given, in another index): what one piece of work among
        several makes."""
        other = copy(self)
        other._index, other._tally = index or self._index, Counter()
        return other

    def count(self, tally: Mapping[tuple[str, How], int]) -> None:
        """Count what others made and reused for us."""
        with self._guard:
            self._tally.update(tally)

    def get_or_make(self, recipe: Recipe, make: Callable[[Path], None], suffix: str = "") -> Artifact:
        """The artifact of a recipe: found, or made by ``make`` at the scratch path it is given (which ends in
        ``suffix``). Of several who ask at once on this machine one makes it and the others wait.

        Raises what ``make`` raises, with ``DiskFull`` for a full disk; then nothing is kept.
        """
        with self._scratch.lock(recipe.digest):  # a lock costs less than to ask once before it and once behind it
            found = self.find(recipe) or self._make(recipe, make, suffix)
        with self._guard:
            self._tally[recipe.operation, "made" if found.made else "reused"] += 1
        return found

    def find(self, recipe: Recipe) -> Artifact | None:
        """The artifact of a recipe, if it was made and its bytes are still whole."""
        artifact = self._index.recall(recipe.digest)
        if artifact is None:
            return None
        stored = self._objects.head(key_of(artifact.sha256))
        return artifact if stored is not None and stored.size_bytes == artifact.size_bytes else None

    def add(self, path: Path) -> Artifact:
        """Keep a file that no recipe made, such as the user's film. It is not copied where it can be linked; it may
        then still be changed by its owner, so ``path`` looks again before it is used."""
        with self._scratch.path() as own, system_errors():
            linked = _link_or_copy(path, own)
            before = _state(own)
            digest = digest_of_file(own)
            if _state(own) != before:
                raise SpeechmillError(f"{path.name} changed while it was read", hint="wait until it is written whole")
            if linked:
                self._trust(digest, before)
            else:
                own.chmod(READ_ONLY)
            with self.alone(digest):
                stored = self._objects.head(key_of(digest))
                made = stored is None or stored.size_bytes != before[2]
                if made or (linked and self._objects.is_local):  # an older link may lead to other bytes
                    self._objects.put_file(key_of(digest), own, give=True, durable=False)
                artifact = Artifact(digest, before[2], made=made)
                self._index.remember(Recipe("add", ADD_VERSION, inputs=[digest]).digest, "add", artifact)
            return artifact

    def path(self, digest: Digest) -> Path:
        """A local file with these bytes, only to be read; raises ``MissingObject`` where there is none."""
        local = self._objects.local_path(key_of(digest))
        if local is None:
            return self._cache.path(digest, lambda out: self._fetch(digest, out))
        found = local.stat()
        ours_alone = found.st_nlink == 1 and not found.st_mode & ANYBODY_WRITES
        if not ours_alone and self._trusted.get(digest) != _state(local):
            before = _state(local)
            if digest_of_file(local) != digest:
                self._objects.delete(key_of(digest))
                raise MissingObject(
                    "a source was changed after it was read", hint="run the job again on the file as it is now"
                )
            self._trust(digest, before)
        return local

    def alone(self, digest: Digest) -> AbstractContextManager[None]:
        """Put or remove the object of a digest while nobody else on this machine does. An object is written before
        the index has it, and whoever clears up must not come between the two."""
        return self._scratch.lock(f"object-{digest}")

    def settle(self) -> None:
        """The run that this store was opened for is complete: what earlier runs needed and this one did not is let
        go of."""
        self._index.settle()

    def scratch(self) -> AbstractContextManager[Path]:
        """A temporary folder on the file system of what is made, removed afterwards."""
        return self._scratch.folder()

    def _make(self, recipe: Recipe, make: Callable[[Path], None], suffix: str) -> Artifact:
        with self._scratch.path(suffix) as made, system_errors():
            with _full_disk(made.parent):
                make(made)
            if not made.is_file():
                raise ToolFailed(f"“{recipe.operation}” made nothing", hint="run again; see `speechmill doctor`")
            made.chmod(READ_ONLY)
            artifact = Artifact(digest_of_file(made), made.stat().st_size, made=True)
            with self.alone(artifact.sha256):
                self._objects.put_file(key_of(artifact.sha256), made, give=self._objects.is_local, durable=False)
                self._index.remember(recipe.digest, recipe.operation, artifact)
            if not self._objects.is_local:
                self._cache.keep(artifact.sha256, made)
        return artifact

    def _fetch(self, digest: Digest, out: Path) -> None:
        """Get the bytes from a store elsewhere. What is damaged there is removed, so that it is made again."""
        for _ in range(FETCHES):
            self._objects.get_file(key_of(digest), out)
            if digest_of_file(out) == digest:
                return
        self._objects.delete(key_of(digest))
        raise MissingObject(f"the bytes of artifact {digest[:12]} are damaged", hint="run the job again")

    def _trust(self, digest: Digest, state: tuple[int, int, int]) -> None:
        with self._guard:
            self._trusted[digest] = state


def key_of(digest: Digest) -> str:
    """Where an artifact's bytes are among the objects."""
    return f"{PREFIX}{digest[:2]}/{digest}"


def _state(path: Path) -> tuple[int, int, int]:
    """What changes when a file does."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _link_or_copy(source: Path, target: Path) -> bool:
    """Have a file's bytes at a second place; whether the two are still one file."""
    try:
        os.link(source.resolve(), target)
        return True
    except FileNotFoundError:
        raise
    except OSError:  # another file system, one without links, or somebody else's file
        copy_file(source, target)
        return False


@contextmanager
def _full_disk(folder: Path) -> Iterator[None]:
    """A full disk is ``DiskFull``, whatever the library that met it says: some name it otherwise, and libsndfile
    writes as much as fits and is content. Looked at while what was written is still in ``folder``."""
    try:
        yield
    except SpeechmillError:
        raise
    except Exception as error:
        if shutil.disk_usage(folder).free < FULL_BELOW_BYTES:
            raise _full() from error
        raise
    if shutil.disk_usage(folder).free < FULL_BELOW_BYTES:
        raise _full()


def _full() -> DiskFull:
    return DiskFull("the disk is full", hint="free some space and run the same command again; finished work is kept")
