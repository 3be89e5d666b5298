"""What is made once is found again, whatever happens in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechmill.errors import BadInput, EngineRefused, MissingObject, ToolFailed
from speechmill.recipes import Digest, Recipe, digest_of_bytes
from storage.artifacts import ArtifactStore, key_of
from storage.catalog import Catalog
from storage.objects import FolderStore
from tests.storage.making import RECIPE, kept, leftovers, never, opened, writes


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


def test_what_only_this_machine_asks_for_is_not_sent_away_and_made_again_elsewhere(home: Path, tmp_path: Path) -> None:
    catalog = Catalog.open(f"sqlite:///{home / 'catalog.db'}")

    def machine(name: str) -> ArtifactStore:
        return ArtifactStore(Elsewhere(home / "objects"), catalog, tmp_path / name)

    ours = machine("ours")
    sent = ours.get_or_make(RECIPE, writes(b"a take"))
    kept_here = ours.here().get_or_make(Recipe("extract", "1"), writes(b"a film, decoded"), ".wav")
    assert [each.key for each in FolderStore(home / "objects").list()] == [key_of(sent.sha256)]
    assert ours.path(kept_here.sha256).read_bytes() == b"a film, decoded"
    assert not machine("ours").here().get_or_make(Recipe("extract", "1"), never).made  # the next process finds it
    assert ours.tally == {("speak", "made"): 1, ("extract", "made"): 1}  # whoever counts counts both

    theirs = machine("theirs")
    assert not theirs.get_or_make(RECIPE, never).made
    assert theirs.here().find(Recipe("extract", "1")) is None
    assert theirs.here().get_or_make(Recipe("extract", "1"), writes(b"a film, decoded")).made
    with pytest.raises(MissingObject):
        machine("third").path(kept_here.sha256)
    catalog.close()


def test_with_a_folder_of_objects_everything_is_in_it(store: ArtifactStore, home: Path) -> None:
    made = store.here().get_or_make(RECIPE, writes(b"hello"))
    assert [path.name for path in kept(home)] == [made.sha256]
    assert not store.get_or_make(RECIPE, never).made
