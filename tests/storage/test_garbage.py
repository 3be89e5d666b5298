"""What nobody needs is removed, and nothing else, whatever runs meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from speechmill.recipes import Digest, Recipe
from storage.artifacts import ArtifactStore, key_of
from storage.catalog import Catalog, Grace, JobState
from storage.catalog.models import ArtifactRow
from storage.garbage import Cleared, clear_up
from storage.migrations import migrate
from storage.objects import FolderStore, ObjectStore

NONE = timedelta(0)
DAY = timedelta(days=1)
TICK_S = 0.003  # SQLite's clock tells milliseconds: what comes later is later by one


class Studio:
    """A catalog and its objects, and jobs at work there."""

    def __init__(self, catalog: Catalog, objects: ObjectStore, home: Path) -> None:
        self.catalog, self.objects, self.scratch = catalog, objects, home / "scratch"

    def job(self) -> str:
        job = self.catalog.add_job("dub", {}, "f")
        self.catalog.move_job(job.id, JobState.RUNNING)
        return job.id

    def store(self, job: str) -> ArtifactStore:
        """The artifacts as one run of a job uses them."""
        return ArtifactStore(self.objects, self.catalog.uses_of(job, together=3), self.scratch)

    def run(self, job: str, *texts: str) -> list[Digest]:
        """One complete run of a job, which needs an artifact for each text."""
        time.sleep(TICK_S)
        store = self.store(job)
        made = [store.get_or_make(Recipe("speak", "1", text=text), writes(text)).sha256 for text in texts]
        store.settle()
        return made

    def clear(self, **options: Any) -> Cleared:
        time.sleep(TICK_S)
        return clear_up(self.catalog, self.objects, self.scratch, **{"grace": NONE, **options})

    def kept(self) -> set[Digest]:
        return {Digest(found.key.rpartition("/")[2]) for found in self.objects.list("artifacts/")}


def tomorrow() -> datetime:
    return datetime.now(UTC) + DAY


def writes(text: str) -> Callable[[Path], None]:
    def make(out: Path) -> None:
        out.write_text(text)

    return make


def age(objects: FolderStore, digest: Digest, days: float) -> None:
    """Have an object look as if it was written long ago."""
    then = time.time() - days * 86_400
    os.utime(objects.root / key_of(digest), (then, then))


@pytest.fixture
def studio(catalog: Catalog, tmp_path: Path) -> Studio:
    return Studio(catalog, FolderStore(tmp_path / "objects"), tmp_path)


def test_what_a_line_needed_before_it_was_edited_is_removed(studio: Studio) -> None:
    job = studio.job()
    shared, old = studio.run(job, "good morning", "good bye")
    _, new = studio.run(job, "good morning", "so long")
    assert studio.clear(dry_run=True).artifacts == 1
    assert studio.kept() == {shared, old, new}
    cleared = studio.clear()
    assert (cleared.artifacts, cleared.freed_bytes) == (1, len("good bye"))
    assert studio.kept() == {shared, new}
    assert studio.clear().artifacts == 0


def test_what_another_job_needs_is_kept(studio: Studio) -> None:
    one, other = studio.job(), studio.job()
    (old,) = studio.run(one, "good bye")
    studio.run(other, "good bye")
    (new,) = studio.run(one, "so long")
    assert studio.clear().artifacts == 0
    assert studio.kept() == {old, new}


def test_what_was_let_go_of_and_is_used_again_is_kept(studio: Studio) -> None:
    job = studio.job()
    (old,) = studio.run(job, "good bye")
    studio.run(job, "so long")
    studio.run(job, "good bye")
    studio.clear()
    assert studio.kept() == {old}


def test_a_run_that_was_cut_off_lets_go_of_nothing(studio: Studio) -> None:
    job = studio.job()
    before = studio.run(job, "one", "two", "three")
    studio.store(job).get_or_make(Recipe("speak", "1", text="one"), writes("one"))
    studio.clear()
    assert studio.kept() == set(before)


def test_nothing_is_removed_within_its_grace_time(studio: Studio) -> None:
    job = studio.job()
    studio.run(job, "good bye")
    studio.run(job, "so long")
    assert studio.clear(grace=DAY) == Cleared(0, 0, 0, 0, 0, 0, 0, 0)
    assert len(studio.kept()) == 2


def test_jobs_that_were_finished_long_ago_need_nothing_where_that_is_asked_for(studio: Studio) -> None:
    done, running = studio.job(), studio.job()
    studio.run(done, "done")
    (needed,) = studio.run(running, "running")
    studio.catalog.move_job(done, JobState.COMPLETED)
    assert studio.clear().artifacts == studio.clear(finished=DAY).artifacts == 0
    assert studio.clear(finished=NONE).artifacts == 1
    assert studio.kept() == {needed}


def test_a_forgotten_job_needs_nothing_any_more(studio: Studio) -> None:
    done, running = studio.job(), studio.job()
    studio.run(done, "done")
    (needed,) = studio.run(running, "running")
    studio.catalog.move_job(done, JobState.COMPLETED)
    assert studio.clear(forget=DAY).jobs == 0
    found = studio.clear(forget=NONE, dry_run=True)
    assert (found.jobs, found.artifacts) == (1, 0), "what it needed is counted once it is forgotten"
    cleared = studio.clear(forget=NONE)
    assert (cleared.jobs, cleared.artifacts, cleared.freed_bytes) == (1, 1, len("done"))
    assert studio.kept() == {needed}
    assert [job.id for job in studio.catalog.jobs()] == [running]


def test_what_only_links_lead_to_goes_when_they_have_run_out(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "report").write_text("report")
    for key in ("reports/one/report.html", "films/mine.mp4"):
        studio.objects.put_file(key, tmp_path / "report")
    assert studio.clear(passing={"reports/": DAY}).passed == 0
    assert studio.clear(passing={"reports/": NONE}, dry_run=True).passed == 1
    assert studio.clear(passing={"reports/": NONE}).passed == 1
    assert [found.key for found in studio.objects.list()] == ["films/mine.mp4"]


def test_bytes_that_two_recipes_made_stay_while_one_is_needed(studio: Studio) -> None:
    job = studio.job()
    (same,) = studio.run(job, "same")
    store = studio.store(job)
    store.get_or_make(Recipe("shout", "1"), writes("same"))
    store.settle()
    cleared = studio.clear()
    assert (cleared.artifacts, cleared.freed_bytes) == (1, 0)
    assert studio.kept() == {same}


def test_an_object_that_nobody_knows_is_removed_once_it_is_old(studio: Studio, tmp_path: Path) -> None:
    digest = Digest("ab" * 32)
    (tmp_path / "orphan").write_bytes(b"orphan")
    studio.objects.put_file(key_of(digest), tmp_path / "orphan")
    studio.objects.put_file("films/mine.mp4", tmp_path / "orphan")
    assert studio.clear().orphans == 0  # its row may be about to be written
    assert isinstance(studio.objects, FolderStore)
    age(studio.objects, digest, days=2)
    assert studio.clear(dry_run=True).orphans == 1
    assert studio.clear().orphans == 1
    assert [found.key for found in studio.objects.list()] == ["films/mine.mp4"]


def test_killed_between_the_object_and_its_row_a_retry_makes_it_and_what_is_left_is_removed(tmp_path: Path) -> None:
    body = f"""
import os, signal, sys
from pathlib import Path
from speechmill.recipes import Recipe
from storage.artifacts import ArtifactStore
from storage.catalog import Catalog
from storage.objects import FolderStore
home = Path({str(tmp_path)!r})
catalog = Catalog.open(f"sqlite:///{{home / 'catalog.db'}}")
catalog.remember = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
job = catalog.add_job("dub", {{}}, "f")
store = ArtifactStore(FolderStore(home / "objects"), catalog.uses_of(job.id), home / "scratch")
store.get_or_make(Recipe("speak", "1", text=sys.argv[1]), lambda out: out.write_text(sys.argv[1]))
"""
    for text in ("again", "never again"):
        assert subprocess.run([sys.executable, "-c", body, text]).returncode == -9
    catalog = Catalog.open(f"sqlite:///{tmp_path / 'catalog.db'}")
    objects = FolderStore(tmp_path / "objects")
    studio = Studio(catalog, objects, tmp_path)
    orphans = studio.kept()
    assert len(orphans) == 2
    for digest in orphans:
        age(objects, digest, days=2)
    (again,) = studio.run(studio.job(), "again")
    cleared = studio.clear()
    assert (cleared.artifacts, cleared.orphans, cleared.freed_bytes) == (0, 1, len("never again"))
    assert studio.kept() == {again}
    catalog.close()


def test_what_a_running_job_needs_survives_clearing_all_the_time(studio: Studio) -> None:
    """Two jobs make, find and let go of the same things, while everything unneeded is removed at once."""
    over = threading.Event()
    removed = 0

    def clear() -> None:
        nonlocal removed
        while not over.is_set():
            removed += studio.clear().artifacts

    def work(job: str) -> None:
        for run in range(6):
            store = studio.store(job)
            needed = [
                store.get_or_make(Recipe("speak", "1", text=f"{n}"), writes(f"{n}")).sha256
                for n in range(run % 3, run % 3 + 8)
            ]
            for digest in needed:
                store.path(digest).read_text()  # raises MissingObject where it was removed
            store.settle()

    threads = [threading.Thread(target=clear)]
    failures: list[BaseException] = []

    def guarded(job: str) -> None:
        try:
            work(job)
        except BaseException as error:
            failures.append(error)

    threads += [threading.Thread(target=guarded, args=(studio.job(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads[1:]:
        thread.join()
    over.set()
    threads[0].join()
    assert failures == []
    assert removed > 0


def test_the_database_itself_keeps_what_a_job_came_to_need_in_the_last_moment(studio: Studio) -> None:
    first, second = studio.job(), studio.job()
    studio.run(first, "good bye")
    studio.run(first, "so long")
    grace = Grace(tomorrow(), studio.catalog.now_s() + 1)
    (found,) = studio.catalog.unused(grace)
    studio.run(second, "good bye")
    assert not studio.catalog.drop_unused(found.recipe, grace)
    assert studio.catalog.recall(found.recipe) is not None


def test_scratch_of_a_killed_process_is_removed(studio: Studio, tmp_path: Path) -> None:
    body = f"""
import os, signal
from pathlib import Path
from storage.scratch import Scratch
scratch = Scratch(Path({str(tmp_path / "scratch")!r}))
scratch.home
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", body])
    assert studio.clear(dry_run=True).scratch == 1
    assert studio.clear().scratch >= 1


@pytest.fixture
def old_catalog(database_url: str) -> Iterator[Catalog]:
    """A catalog of before uses were written down, with a running job and an artifact it has made."""
    catalog = Catalog.open(database_url)
    migrate(catalog._database, "0002")
    yield catalog
    catalog.close()


def test_what_was_made_before_uses_were_written_down_belongs_to_the_job_that_was_at_work(
    old_catalog: Catalog, database_url: str, tmp_path: Path
) -> None:
    job = old_catalog.add_job("dub", {}, "f")
    old_catalog.move_job(job.id, JobState.RUNNING)
    with old_catalog._database.writing() as session:
        session.execute(
            sa.insert(ArtifactRow).values(
                recipe="r" * 64, operation="speak", sha256="a" * 64, size_bytes=1, made_at=tomorrow()
            )
        )
    catalog = Catalog.open(database_url)
    assert Studio(catalog, FolderStore(tmp_path / "objects"), tmp_path).clear(grace=-2 * DAY).artifacts == 0
    catalog.close()
