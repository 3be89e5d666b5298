"""Copies of what is elsewhere: fetched once, kept up to a bound, never taken from under who reads them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from speechmill.errors import MissingObject
from speechmill.recipes import Recipe
from storage.artifacts import ArtifactStore, key_of
from storage.caches import Cache
from storage.catalog import Catalog
from storage.objects import FolderStore
from storage.scratch import Scratch

SIZE = 1000


def writes(size: int = SIZE) -> Callable[[Path], None]:
    def fetch(out: Path) -> None:
        out.write_bytes(bytes(size))

    return fetch


def never(_: Path) -> None:
    raise AssertionError("this was to be found, not fetched")


def opened(home: Path, most_bytes: int = 100 * SIZE) -> tuple[Cache, Scratch]:
    """The cache as a process sees it: its scratch is the process."""
    scratch = Scratch(home / "scratch")
    return Cache(home / "cache", scratch, most_bytes), scratch


def kept(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "cache").glob("*/*/*"))


def test_what_was_fetched_is_there_for_the_next_process(home: Path) -> None:
    cache, _ = opened(home)
    path = cache.path("aa1", writes())
    assert path.stat().st_size == SIZE
    assert path.stat().st_mode & 0o777 == 0o444
    other, _ = opened(home)
    assert other.path("aa1", never).samefile(path)


def test_of_threads_and_processes_that_want_the_same_one_fetches_it(home: Path) -> None:
    fetched = []

    def fetch(out: Path) -> None:
        fetched.append(out)
        time.sleep(0.2)
        out.write_bytes(bytes(SIZE))

    caches = [opened(home) for _ in range(3)]
    with ThreadPoolExecutor(9) as pool:
        list(pool.map(lambda n: caches[n % 3][0].path("aa1", fetch), range(9)))
    assert len(fetched) == 1


def test_what_fails_to_be_fetched_leaves_nothing(home: Path) -> None:
    cache, _ = opened(home)

    def fetch(out: Path) -> None:
        out.write_bytes(b"half")
        raise MissingObject("gone")

    with pytest.raises(MissingObject):
        cache.path("aa1", fetch)
    assert kept(home) == []
    assert cache.path("aa1", writes()).stat().st_size == SIZE


def test_the_bound_is_kept_and_what_was_used_last_stays(home: Path) -> None:
    for n in range(20):
        cache, scratch = opened(home, most_bytes=10 * SIZE)  # each a process that ends
        cache.path(f"aa{n:02}", writes())
        if n >= 1:
            os.utime(cache.path("aa00", writes()))  # asked for again and again
        del cache, scratch
        assert sum(path.stat().st_size for path in (home / "cache").glob("*/*/*")) <= 11 * SIZE
    assert "aa00" in kept(home)
    assert "aa19" in kept(home)
    assert "aa01" not in kept(home)


def test_what_a_process_was_given_stays_while_it_lives_however_full_the_cache_is(home: Path) -> None:
    reader, held = opened(home)
    path = reader.path("aa1", writes())
    for n in range(5):
        cache, _ = opened(home, most_bytes=SIZE)
        cache.path(f"bb{n}", writes())
    assert path.read_bytes() == bytes(SIZE)
    assert "aa1" in kept(home)
    del reader, held
    opened(home, most_bytes=SIZE)[0].path("cc1", writes())
    assert "aa1" not in kept(home)
    assert not path.exists()


def test_a_machine_that_was_restarted_trusts_nothing_of_before(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut may leave files with their names and without their bytes."""
    opened(home)[0].path("aa1", writes())
    boot = home / "boot"
    boot.write_text("another-boot\n")
    monkeypatch.setattr("storage.caches.BOOT", boot)
    fetched = []
    opened(home)[0].path("aa1", lambda out: (fetched.append(out), out.write_bytes(b"new"))[0])
    assert len(fetched) == 1


def test_a_process_that_is_killed_lets_go_of_what_it_held(home: Path) -> None:
    body = f"""
import os, signal
from pathlib import Path
from storage.caches import Cache
from storage.scratch import Scratch
scratch = Scratch(Path({str(home / "scratch")!r}))
Cache(Path({str(home / "cache")!r}), scratch, 10**6).path("aa1", lambda out: out.write_bytes(bytes({SIZE})))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", body], check=False)
    assert kept(home) == ["aa1"]
    opened(home, most_bytes=SIZE // 2)[0].path("bb1", writes())
    assert kept(home) == ["bb1"]


class Elsewhere(FolderStore):
    """Objects that have no path on this machine, and whoever watches what is asked of them."""

    is_local = False
    watch: Callable[[], None] = staticmethod(lambda: None)

    def local_path(self, key: str) -> None:  # noqa: ARG002
        return None

    def put_file(self, key: str, path: Path, *, give: bool = False, durable: bool = True) -> None:
        self.watch()
        super().put_file(key, path, give=give, durable=durable)

    def get_file(self, key: str, path: Path) -> None:
        self.watch()
        super().get_file(key, path)


def test_no_transaction_of_the_database_is_open_while_a_store_elsewhere_works(catalog: Catalog, home: Path) -> None:
    objects = Elsewhere(home / "objects")
    open_connections: list[int] = []
    objects.watch = lambda: open_connections.append(catalog._database.connections_in_use)  # type: ignore[method-assign]
    job = catalog.add_job("dub", {}, "f")
    store = ArtifactStore(objects, catalog.uses_of(job.id), home / "scratch", cache=home / "cache")
    made = store.get_or_make(Recipe("speak", "1"), lambda out: out.write_text("hello"))
    other = ArtifactStore(objects, catalog, home / "scratch", cache=home / "elsewhere")
    assert other.path(made.sha256).read_text() == "hello"
    assert open_connections == [0, 0]


def test_what_is_damaged_elsewhere_is_made_again(catalog: Catalog, home: Path) -> None:
    objects = Elsewhere(home / "objects")
    maker = ArtifactStore(objects, catalog, home / "scratch", cache=home / "cache")
    recipe = Recipe("speak", "1")
    made = maker.get_or_make(recipe, lambda out: out.write_text("hello"))
    damaged = objects.root / key_of(made.sha256)
    damaged.chmod(0o644)
    damaged.write_text("HELLO")
    other = ArtifactStore(objects, catalog, home / "scratch", cache=home / "elsewhere")
    with pytest.raises(MissingObject, match="damaged"):
        other.path(made.sha256)
    assert other.get_or_make(recipe, lambda out: out.write_text("hello")).made
    assert other.path(made.sha256).read_text() == "hello"


def test_what_this_machine_made_is_not_fetched_back(catalog: Catalog, home: Path) -> None:
    objects = Elsewhere(home / "objects")
    store = ArtifactStore(objects, catalog, home / "scratch", cache=home / "cache")
    made = store.get_or_make(Recipe("speak", "1"), lambda out: out.write_text("hello"))
    objects.watch = never_asked  # type: ignore[method-assign]
    readers = [threading.Thread(target=store.path, args=(made.sha256,)) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert store.path(made.sha256).read_text() == "hello"


def never_asked() -> None:
    raise AssertionError("it was here")
