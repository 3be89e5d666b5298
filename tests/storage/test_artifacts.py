"""What is made once is found again, whatever happens in between."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechmill.errors import BadInput, DiskFull, EngineRefused, MissingObject, SpeechmillError, ToolFailed
from speechmill.recipes import Digest, Recipe, digest_of_bytes, digest_of_file
from storage.artifacts import ArtifactStore
from storage.catalog import Catalog
from storage.objects import FolderStore

RECIPE = Recipe("speak", "1", text="hello")


def writes(content: bytes) -> Callable[[Path], None]:
    def make(out: Path) -> None:
        out.write_bytes(content)

    return make


def never(_: Path) -> None:
    raise AssertionError("this was to be found, not made")


def leftovers(home: Path) -> list[Path]:
    """Everything under scratch that somebody's work left there."""
    found = (home / "scratch").rglob("*")
    return [path for path in found if path.is_file() and path.name not in (".alive", ".lock")]


def kept(home: Path) -> list[Path]:
    return sorted(path for path in (home / "objects").rglob("*") if path.is_file())


@contextlib.contextmanager
def opened(home: Path) -> Iterator[ArtifactStore]:
    """The same store as another process sees it."""
    catalog = Catalog.open(f"sqlite:///{home / 'catalog.db'}")
    try:
        yield ArtifactStore(FolderStore(home / "objects"), catalog, home / "scratch")
    finally:
        catalog.close()


def script(home: Path, body: str) -> subprocess.Popen[str]:
    """Another process with the same store as ``store``."""
    head = f"""
import os, resource, sys, time
from pathlib import Path
from speechmill.recipes import Recipe
from storage.artifacts import ArtifactStore
from storage.catalog import Catalog
from storage.objects import FolderStore
home = Path({str(home)!r})
catalog = Catalog.open(f"sqlite:///{{home / 'catalog.db'}}")
store = ArtifactStore(FolderStore(home / "objects"), catalog, home / "scratch")
"""
    return subprocess.Popen([sys.executable, "-c", head + body], stdout=subprocess.PIPE, text=True)


def test_what_was_made_is_found_again(store: ArtifactStore, home: Path) -> None:
    made = store.get_or_make(RECIPE, writes(b"hello"))
    assert made.made
    assert store.path(made.sha256).read_bytes() == b"hello"
    found = store.get_or_make(RECIPE, never)
    assert (found.sha256, found.size_bytes, found.made) == (digest_of_bytes(b"hello"), 5, False)
    with opened(home) as other:
        assert other.find(RECIPE) == found
    assert store.tally == {("speak", "made"): 1, ("speak", "reused"): 1}


def test_another_recipe_is_made_for_itself(store: ArtifactStore) -> None:
    store.get_or_make(RECIPE, writes(b"hello"))
    for other in (Recipe("speak", "2", text="hello"), Recipe("speak", "1", text="bye"), Recipe("judge", "1")):
        assert store.find(other) is None
        assert store.get_or_make(other, writes(b"hello")).made


def test_the_maker_is_given_a_name_with_the_ending_it_needs(store: ArtifactStore) -> None:
    names = []

    def make(out: Path) -> None:
        names.append(out.name)
        soundfile.write(out, np.zeros(480), 48_000)

    store.get_or_make(RECIPE, make, suffix=".wav")
    assert names[0].endswith(".wav")


def test_what_is_kept_cannot_be_written(store: ArtifactStore, tmp_path: Path) -> None:
    source = tmp_path / "elsewhere"
    source.write_bytes(b"x" * 10)
    made = store.get_or_make(RECIPE, writes(b"hello"))
    assert store.path(made.sha256).stat().st_mode & 0o777 == 0o444


def test_large_files_are_moved_into_place(store: ArtifactStore) -> None:
    inodes = []

    def make(out: Path) -> None:
        out.write_bytes(b"large")
        inodes.append(out.stat().st_ino)

    artifact = store.get_or_make(RECIPE, make)
    assert store.path(artifact.sha256).stat().st_ino == inodes[0]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: (path.chmod(0o644), path.write_bytes(b"hel"))])
def test_what_is_lost_or_cut_short_is_made_again(store: ArtifactStore, damage: Callable[[Path], object]) -> None:
    artifact = store.get_or_make(RECIPE, writes(b"hello"))
    damage(store.path(artifact.sha256))
    assert store.find(RECIPE) is None
    again = store.get_or_make(RECIPE, writes(b"hello"))
    assert again.made
    assert store.path(again.sha256).read_bytes() == b"hello"


@pytest.mark.parametrize("error", [EngineRefused("no"), KeyboardInterrupt(), ZeroDivisionError()])
def test_what_fails_leaves_nothing(store: ArtifactStore, home: Path, error: BaseException) -> None:
    def make(out: Path) -> None:
        out.write_bytes(b"half")
        raise error

    with pytest.raises(type(error)):
        store.get_or_make(RECIPE, make)
    assert kept(home) == leftovers(home) == []
    assert store.tally == {}
    assert store.get_or_make(RECIPE, writes(b"hello")).made


def test_a_maker_that_writes_nothing_is_named(store: ArtifactStore) -> None:
    with pytest.raises(ToolFailed, match="speak"):
        store.get_or_make(RECIPE, lambda _: None)


def test_of_threads_that_want_the_same_one_makes_it(store: ArtifactStore) -> None:
    begun = threading.Barrier(8)
    made = []

    def make(out: Path) -> None:
        made.append(out)
        time.sleep(0.2)
        out.write_bytes(b"hello")

    def ask(_: int) -> bool:
        begun.wait()
        return store.get_or_make(RECIPE, make).made

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert len(made) == 1
    assert answers.count(True) == 1
    assert store.tally == {("speak", "made"): 1, ("speak", "reused"): 7}


def test_when_the_first_maker_fails_the_next_makes_it(store: ArtifactStore) -> None:
    tries = []

    def make(out: Path) -> None:
        tries.append(out)
        time.sleep(0.1)
        if len(tries) == 1:
            raise EngineRefused("not today")
        out.write_bytes(b"hello")

    def ask(_: int) -> bool:
        try:
            return store.get_or_make(RECIPE, make).made
        except EngineRefused:
            return False

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert len(tries) == 2
    assert answers.count(True) == 1


def test_of_processes_that_want_the_same_one_makes_it(home: Path) -> None:
    body = """
def make(out):
    with open(home / "made", "a") as log:
        log.write("x")
    time.sleep(0.3)
    out.write_bytes(b"hello")
for i in range(3):
    print(store.get_or_make(Recipe("speak", "1", text=i), make).sha256)
"""
    processes = [script(home, body) for _ in range(3)]
    digests = {line for process in processes for line in process.communicate(timeout=60)[0].split()}
    assert [process.returncode for process in processes] == [0] * 3
    assert digests == {digest_of_bytes(b"hello")}
    assert (home / "made").read_text() == "xxx"


def test_a_process_killed_in_the_middle_leaves_a_store_that_works(home: Path) -> None:
    body = """
def make(out):
    out.write_bytes(b"half")
    print("now", flush=True)
    time.sleep(60)
store.get_or_make(Recipe("speak", "1", text="hello"), make)
"""
    process = script(home, body)
    assert process.stdout is not None
    assert process.stdout.readline() == "now\n"
    assert len(leftovers(home)) == 2  # the half-made file and the lock
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with opened(home) as store:
        assert store.find(RECIPE) is None
        made = store.get_or_make(RECIPE, writes(b"hello"))
        assert made.made
        assert store.path(made.sha256).read_bytes() == b"hello"
        assert leftovers(home) == []


def test_killed_at_any_moment_whatever_is_indexed_is_whole(home: Path) -> None:
    body = """
import random
print("now", flush=True)
for i in range(100_000):
    data = str(i).encode() * 50_000
    store.get_or_make(Recipe("speak", "1", n=i), lambda out: out.write_bytes(data))
"""
    random.seed(5)
    for _ in range(3):
        process = script(home, body)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(random.uniform(0.02, 0.3))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    with opened(home) as store:
        found = 0
        while artifact := store.find(Recipe("speak", "1", n=found)):
            assert digest_of_file(store.path(artifact.sha256)) == artifact.sha256
            found += 1
        assert found > 0
        for path in kept(home):
            assert digest_of_file(path) == path.name
        store.get_or_make(Recipe("speak", "1", n=found), writes(b"next"))
        assert leftovers(home) == []


def test_a_process_at_work_keeps_its_scratch(home: Path) -> None:
    with opened(home) as store, store.scratch() as folder:
        (folder / "work").write_text("mine")
        body = """
with store.scratch() as folder:
    print(folder)
"""
        assert script(home, body).communicate(timeout=60)[0].strip() != str(folder)
        assert (folder / "work").read_text() == "mine"


def test_a_file_beyond_the_limit_is_a_full_disk(home: Path) -> None:
    body = """
from speechmill.errors import DiskFull
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
def make(out):
    with out.open("wb") as file:
        for _ in range(100):
            file.write(bytes(100_000))
try:
    store.get_or_make(Recipe("speak", "1", text="large"), make)
except DiskFull as error:
    print("full:", error)
store.get_or_make(Recipe("speak", "1", text="small"), lambda out: out.write_bytes(b"small"))
"""
    process = script(home, body)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert said.startswith("full: the disk is full")
    assert [path.read_bytes() for path in kept(home)] == [b"small"]
    assert leftovers(home) == []


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a tiny disk needs rights that we do not have here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_named_whoever_meets_it_and_the_next_run_goes_on(tiny: Path, tmp_path: Path) -> None:
    def numpy_writes(out: Path) -> None:
        np.zeros(2_000_000).tofile(out)

    def soundfile_writes(out: Path) -> None:
        soundfile.write(out, np.zeros(2_000_000), 48_000)

    catalog = Catalog.open(f"sqlite:///{tmp_path / 'catalog.db'}")
    store = ArtifactStore(FolderStore(tiny / "objects"), catalog, tiny / "scratch")
    for make in (numpy_writes, soundfile_writes):
        with pytest.raises(DiskFull):
            store.get_or_make(RECIPE, make, suffix=".wav")
        assert leftovers(tiny) == []
    source = tmp_path / "film.mp4"
    with source.open("wb") as file:
        file.truncate(6_000_000)
    with pytest.raises(DiskFull):
        store.add(source)
    assert leftovers(tiny) == []
    assert kept(tiny) == []
    assert store.get_or_make(RECIPE, writes(b"hello")).made
    catalog.close()


def test_a_full_disk_under_the_catalog_is_named(tiny: Path) -> None:
    catalog = Catalog.open(f"sqlite:///{tiny / 'catalog.db'}")
    job = catalog.add_job("dub", {}, "f")
    with pytest.raises(DiskFull, match="catalog"):
        catalog.add_event(job.id, "large", text="x" * 5_000_000)
    assert catalog.job(job.id) == job
    catalog.close()


def test_a_source_is_linked_not_copied_and_keeps_its_mode(store: ArtifactStore, tmp_path: Path) -> None:
    source = tmp_path / "talk.mp4"
    source.write_bytes(b"film")
    source.chmod(0o640)
    added = store.add(source)
    assert (added.sha256, added.size_bytes, added.made) == (digest_of_bytes(b"film"), 4, True)
    assert store.path(added.sha256).stat().st_ino == source.stat().st_ino
    assert source.stat().st_mode & 0o777 == 0o640
    assert not store.add(source).made
    source.unlink()
    assert store.path(added.sha256).read_bytes() == b"film"


def test_a_source_that_was_changed_is_not_taken_for_the_old_one(
    store: ArtifactStore, home: Path, tmp_path: Path
) -> None:
    source = tmp_path / "talk.mp4"
    source.write_bytes(b"film")
    old = store.add(source)
    source.write_bytes(b"FILM")  # in place, as an editor that saves does
    with pytest.raises(MissingObject):
        store.path(old.sha256)
    new = store.add(source)
    assert store.path(new.sha256).read_bytes() == b"FILM"
    with opened(home) as other:
        assert other.path(new.sha256).read_bytes() == b"FILM"
        with pytest.raises(MissingObject):
            other.path(old.sha256)


def test_a_source_that_comes_back_as_it_was_is_used_again(store: ArtifactStore, home: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.mp4", tmp_path / "second.mp4"
    first.write_bytes(b"film")
    second.write_bytes(b"film")
    added = store.add(first)
    first.write_bytes(b"FILM")  # the store's link now leads to other bytes, of the same length
    with opened(home) as other:
        assert other.add(second).sha256 == added.sha256
        assert other.path(added.sha256).read_bytes() == b"film"
    assert first.read_bytes() == b"FILM"


def test_a_source_behind_a_link_is_the_file_itself(store: ArtifactStore, tmp_path: Path) -> None:
    (tmp_path / "talk.mp4").write_bytes(b"film")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "talk.mp4")
    added = store.add(tmp_path / "link.mp4")
    assert not store.path(added.sha256).is_symlink()
    assert store.path(added.sha256).read_bytes() == b"film"


def test_a_source_that_is_not_there_is_named(store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(SpeechmillError, match=r"none\.mp4"):
        store.add(tmp_path / "none.mp4")


@pytest.mark.parametrize("digest", ["../../etc/passwd", "", "x/../y"])
def test_a_digest_that_is_none_opens_nothing(store: ArtifactStore, digest: str) -> None:
    with pytest.raises((BadInput, MissingObject)):
        store.path(Digest(digest))


class Elsewhere(FolderStore):
    """Objects that have no path on this machine."""

    is_local = False

    def local_path(self, key: str) -> None:  # noqa: ARG002
        return None


def test_what_is_kept_elsewhere_is_fetched_once_and_checked(store: ArtifactStore, home: Path) -> None:
    artifact = store.get_or_make(RECIPE, writes(b"hello"))
    other = store.get_or_make(Recipe("speak", "1", text="other"), writes(b"other"))
    remote = ArtifactStore(Elsewhere(home / "objects"), store, home / "scratch")  # type: ignore[arg-type]
    path = remote.path(artifact.sha256)
    assert path.read_bytes() == b"hello"
    assert path.stat().st_mode & 0o777 == 0o444
    damaged = store.path(other.sha256)
    damaged.chmod(0o644)
    damaged.write_bytes(b"OTHER")
    with pytest.raises(MissingObject):
        remote.path(other.sha256)
    for object_ in kept(home):
        object_.unlink()
    assert remote.path(artifact.sha256) == path
