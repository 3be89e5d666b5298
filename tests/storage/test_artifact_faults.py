"""Processes that are killed, and disks that are full: what is kept is whole, and the next run goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechmill.errors import DiskFull
from speechmill.recipes import Recipe, digest_of_bytes, digest_of_file
from storage.artifacts import ArtifactStore
from storage.catalog import Catalog
from storage.objects import FolderStore
from tests.storage.making import RECIPE, kept, leftovers, opened, writes


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
