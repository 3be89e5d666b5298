"""Artifacts: everything that is made, kept under its own sha256 and found again by the recipe that made it.

``store.get_or_make(recipe, make)`` is cache, resume, retake and protection from duplicates in one. What is made is
first whole in scratch, then moved into place, then written to the index: killed at any moment, the store has the
artifact or does not. It can always be made again, so nothing waits for the disk: a file that a power cut has cut
short is seen by its size, and made again. Where the objects are elsewhere, what is made or asked for is also kept on
this machine, in a cache with a bound; what no other machine asks for is kept there only.
"""

from __future__ import annotations

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
from storage.objects import ObjectStore
from storage.scratch import Scratch, system_errors

READ_ONLY = 0o444
FULL_BELOW_BYTES = 1 << 20  # with less than this left the disk is full, whatever a library says of it

PREFIX = "artifacts/"
FETCHES = 2  # bytes that are wrong twice are wrong where they are kept
CACHE_BYTES = 20 << 30

How = Literal["made", "reused"]


class ArtifactIndex(Protocol):
    """Which recipe made which artifact; the catalog is one, ``catalog.uses_of(job)`` another that also writes down
    what the job needs."""

    def recall(self, recipe: Digest) -> Artifact | None: ...

    def remember(self, recipe: Digest, operation: str, artifact: Artifact) -> None: ...

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
        self._sends = not objects.is_local
        self._guard = threading.Lock()
        self._tally: Counter[tuple[str, How]] = Counter()

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

    def here(self) -> ArtifactStore:
        """The same store for what only this machine asks for and can make again: a decoded film, the parts of a master.
        Where the objects are elsewhere it is not sent there but kept in the cache. Another machine that goes on with
        the job makes it for itself."""
        other = copy(self)
        other._sends = False
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
        return artifact if artifact is not None and self._bytes_of(artifact.sha256) == artifact.size_bytes else None

    def path(self, digest: Digest) -> Path:
        """A local file with these bytes, only to be read; raises ``MissingObject`` where there is none."""
        local = self._objects.local_path(key_of(digest))
        return local or self._cache.path(digest, lambda out: self._fetch(digest, out))

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

    def _bytes_of(self, digest: Digest) -> int | None:
        """How many there are, where those who will ask for them look."""
        if self._sends or self._objects.is_local:
            stored = self._objects.head(key_of(digest))
            return None if stored is None else stored.size_bytes
        return self._cache.bytes_of(digest)

    def _make(self, recipe: Recipe, make: Callable[[Path], None], suffix: str) -> Artifact:
        with self._scratch.path(suffix) as made, system_errors():
            with _full_disk(made.parent):
                make(made)
            if not made.is_file():
                raise ToolFailed(f"“{recipe.operation}” made nothing", hint="run again; see `speechmill doctor`")
            made.chmod(READ_ONLY)
            artifact = Artifact(digest_of_file(made), made.stat().st_size, made=True)
            with self.alone(artifact.sha256):
                if self._sends or self._objects.is_local:
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


def key_of(digest: Digest) -> str:
    """Where an artifact's bytes are among the objects."""
    return f"{PREFIX}{digest[:2]}/{digest}"


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
