"""Clearing up: artifacts that no job needs any more, objects that the catalog does not know, what killed processes have
left and, where that is asked for, jobs that ended long ago. What a job needs is not touched, however often this runs
and whatever runs meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from speechmill.recipes import Digest
from storage.artifacts import PREFIX, ArtifactStore, key_of
from storage.catalog import Catalog, Grace
from storage.objects import ObjectStore, StoredObject
from storage.scratch import Scratch

WRITING = timedelta(hours=1)
"""An object this young may be one whose row is still to be written: it is never taken for an orphan."""
UPLOADING = timedelta(days=1)
"""An upload this young may still be running."""
BATCH = 500  # objects that the catalog is asked about at a time


@dataclass(frozen=True, slots=True)
class Cleared:
    """What was removed, or in a dry run would be."""

    jobs: int  # that ended long ago
    drops: int  # rows of what was dropped long ago
    artifacts: int  # that no job needs
    orphans: int  # objects that the catalog does not know
    passed: int  # objects that had their time
    freed_bytes: int
    uploads: int  # that were cut off
    scratch: int  # folders of processes that were killed


def clear_up(
    catalog: Catalog,
    objects: ObjectStore,
    scratch: Path,
    *,
    grace: timedelta,
    finished: timedelta | None = None,
    forget: timedelta | None = None,
    passing: Mapping[str, timedelta] | None = None,
    dry_run: bool = False,
) -> Cleared:
    """Remove what nothing has referred to for ``grace``. With ``finished``, jobs that were completed that long ago
    need nothing any more: a retake of one makes everything again. With ``forget``, jobs that ended that long ago are
    not known any more. ``passing`` are beginnings of keys whose objects are of use for so long only."""
    now = datetime.now(UTC)
    jobs, drops = (0, 0) if forget is None else _forget(catalog, now - forget, dry_run=dry_run)
    store = ArtifactStore(objects, catalog, scratch)
    mercy = Grace(now - grace, catalog.now_s() - grace.total_seconds(), None if finished is None else now - finished)
    artifacts, freed_bytes = _clear_artifacts(catalog, objects, store, mercy, dry_run=dry_run)
    orphans, orphaned_bytes = _clear_orphans(catalog, objects, store, now - max(grace, WRITING), dry_run=dry_run)
    passed, passed_bytes = _clear_passed(objects, passing or {}, now, dry_run=dry_run)
    return Cleared(
        jobs,
        drops,
        artifacts,
        orphans,
        passed,
        freed_bytes + orphaned_bytes + passed_bytes,
        objects.clear_unfinished(now - max(grace, UPLOADING), dry_run=dry_run),
        Scratch(scratch).clear_dead(dry_run=dry_run),
    )


def _forget(catalog: Catalog, before: datetime, *, dry_run: bool) -> tuple[int, int]:
    old = catalog.old_jobs(before)
    jobs = len(old) if dry_run else sum(catalog.forget_job(job_id, before) for job_id in old)
    return jobs, catalog.forget_drops(before, dry_run=dry_run)


def _clear_passed(
    objects: ObjectStore, passing: Mapping[str, timedelta], now: datetime, *, dry_run: bool
) -> tuple[int, int]:
    old = [
        found for prefix, lasts in passing.items() for found in objects.list(prefix) if found.modified_at < now - lasts
    ]
    for found in [] if dry_run else old:
        objects.delete(found.key)
    return len(old), sum(found.size_bytes for found in old)


def _clear_artifacts(
    catalog: Catalog, objects: ObjectStore, store: ArtifactStore, grace: Grace, *, dry_run: bool
) -> tuple[int, int]:
    count, sizes = 0, {}
    for unused in catalog.unused(grace):
        key, digest = key_of(unused.artifact.sha256), unused.artifact.sha256
        if not dry_run and not catalog.drop_unused(unused.recipe, grace):
            continue
        count += 1
        with store.alone(digest):
            if objects.head(key) and (dry_run or not catalog.known([digest])):  # by another recipe
                sizes[digest] = unused.artifact.size_bytes
                if not dry_run:
                    objects.delete(key)
    return count, sum(sizes.values())


def _clear_orphans(
    catalog: Catalog, objects: ObjectStore, store: ArtifactStore, before: datetime, *, dry_run: bool
) -> tuple[int, int]:
    count = freed_bytes = 0
    for batch in _batches(objects.list(PREFIX)):
        old = {_digest(found.key): found for found in batch if found.modified_at < before}
        old.pop(None, None)  # not ours
        for digest in old.keys() - catalog.known([digest for digest in old if digest]):
            assert digest is not None
            if dry_run or _remove_orphan(catalog, objects, store, digest, before):
                count, freed_bytes = count + 1, freed_bytes + old[digest].size_bytes
    return count, freed_bytes


def _remove_orphan(
    catalog: Catalog, objects: ObjectStore, store: ArtifactStore, digest: Digest, before: datetime
) -> bool:
    with store.alone(digest):
        found = objects.head(key_of(digest))
        if found is None or found.modified_at >= before or catalog.known([digest]):
            return False  # somebody has made it again meanwhile
        objects.delete(found.key)
        return True


def _digest(key: str) -> Digest | None:
    digest = Digest(key.rpartition("/")[2])
    return digest if len(digest) == 64 and key == key_of(digest) else None


def _batches(found: Iterator[StoredObject]) -> Iterator[list[StoredObject]]:
    while batch := list(islice(found, BATCH)):
        yield batch
