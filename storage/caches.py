"""A cache: files that were fetched from elsewhere, kept on this machine up to a bound, for any number of processes.

Whoever is given a path may read it as long as its process lives: it is a second name for the file, in the process's
own scratch, so the bound gives way only to what running processes hold. A restart of the machine begins anew, since a
power cut may have cut files short.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from storage.scratch import Scratch, locked, system_errors

BOOT = Path("/proc/sys/kernel/random/boot_id")
FILLED = 0.8  # how full the cache is left when it was over its bound
SHARE = 20  # the cache is looked through whenever a twentieth of its bound has come in
HELD_S = 24 * 3600.0  # a process that lives for long lets go of what it did not ask for in a day
READ_ONLY = 0o444


class Cache:
    """Files by name. ``scratch`` must be on the same file system."""

    def __init__(self, root: Path, scratch: Scratch, most_bytes: int) -> None:
        self._root = root
        self._scratch = scratch
        self._most_bytes = most_bytes
        self._added_bytes = most_bytes  # so that the first file has the cache looked through

    def path(self, name: str, fetch: Callable[[Path], None]) -> Path:
        """The file of a name, only to be read; where it is not here ``fetch`` writes it to the path it is given. Of
        several who ask at once one fetches it."""
        held = self._held(name)
        if self._hold(name, held):
            return held
        with self._scratch.lock(f"fetch-{name}"):
            if not self._hold(name, held):
                with self._scratch.path() as fetched, system_errors():
                    fetch(fetched)
                    self._take(name, fetched, held)
        return held

    def bytes_of(self, name: str) -> int | None:
        """How many bytes the file of a name has, which then stays as ``path`` says; ``None`` where it is not here."""
        held = self._held(name)
        return held.stat().st_size if self._hold(name, held) else None

    def keep(self, name: str, path: Path) -> None:
        """Take a file in under a name; it is gone from ``path``."""
        with system_errors():
            self._take(name, path, self._held(name))

    def trim(self) -> None:
        """Let go of what was not used for longest, until the bound is kept."""
        self._release()
        with system_errors(), locked(self._root / ".lock"):
            found = [(path, path.stat()) for path in self._root.glob("*/*/*") if path.is_file()]
            total = sum(state.st_size for _, state in found)
            if total <= self._most_bytes:
                return
            for path, state in sorted(found, key=lambda each: each[1].st_mtime_ns):
                if total <= FILLED * self._most_bytes:
                    return
                if state.st_nlink == 1:  # another name is a process that reads it: nothing would be won
                    path.unlink(missing_ok=True)
                    total -= state.st_size

    def _held(self, name: str) -> Path:
        return self._scratch.home / f"held-{name}"

    def _hold(self, name: str, held: Path) -> bool:
        """Whether the file is here, and ours for as long as we live."""
        try:
            if not held.exists():
                os.link(self._place(name), held)
            os.utime(held)
        except FileExistsError:
            return True  # another thread was first
        except FileNotFoundError:
            return False
        return True

    def _take(self, name: str, path: Path, held: Path) -> None:
        path.chmod(READ_ONLY)
        self._added_bytes += path.stat().st_size
        place = self._place(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)
        self._hold(name, held)
        if self._added_bytes >= self._most_bytes // SHARE:
            self._added_bytes = 0
            self.trim()

    def _release(self) -> None:
        for held in self._scratch.home.glob("held-*"):
            if held.stat().st_mtime < time.time() - HELD_S:
                held.unlink(missing_ok=True)

    def _place(self, name: str) -> Path:
        return self._root / BOOT.read_text().strip() / name[:2] / name
