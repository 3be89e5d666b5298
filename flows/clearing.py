"""Clearing up after jobs: what `speechmill gc` does, and what it says of it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from speechmill.settings import settings
from storage.garbage import Cleared, clear_up
from storage.stores import object_store
from tasks.workplace import open_catalog


def clear(*, grace_days: float, finished_days: float | None, dry_run: bool) -> Cleared:
    """Clear up what the settings name."""
    chosen = settings()
    catalog = open_catalog(chosen)
    try:
        return clear_up(
            catalog,
            object_store(chosen.objects_url, chosen),
            chosen.scratch,
            grace=timedelta(days=grace_days),
            finished=None if finished_days is None else timedelta(days=finished_days),
            dry_run=dry_run,
        )
    finally:
        catalog.close()


def as_json(cleared: Cleared, *, dry_run: bool) -> dict[str, Any]:
    return {**asdict(cleared), "dry_run": dry_run}


def sentence(cleared: Cleared, *, dry_run: bool) -> str:
    return (
        f"speechmill: {'would remove' if dry_run else 'removed'} {cleared.artifacts} artifacts that no job needs, "
        f"{cleared.orphans} objects without a row, {cleared.uploads} uploads and {cleared.scratch} scratch folders "
        f"that were left: {cleared.freed_bytes / 2**20:.1f} MiB"
    )
