"""Clearing up after jobs: what `speechmill gc` does, and what it says of it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from flows.report_links import LINK_S, REPORTS
from speechmill.settings import settings
from storage.garbage import Cleared, clear_up
from storage.stores import object_store
from tasks.workplace import open_catalog


def clear(
    *, grace_days: float, finished_days: float | None = None, forget_days: float | None = None, dry_run: bool = False
) -> Cleared:
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
            forget=None if forget_days is None else timedelta(days=forget_days),
            passing={REPORTS: timedelta(seconds=LINK_S)},  # nobody can follow their links any more
            dry_run=dry_run,
        )
    finally:
        catalog.close()


def as_json(cleared: Cleared, *, dry_run: bool) -> dict[str, Any]:
    return {**asdict(cleared), "dry_run": dry_run}


def sentence(cleared: Cleared, *, dry_run: bool) -> str:
    forgotten = ""
    if cleared.jobs or cleared.drops:
        forgotten = f"; {'would forget' if dry_run else 'forgot'} {cleared.jobs} jobs and {cleared.drops} dropped files"
    return (
        f"speechmill: {'would remove' if dry_run else 'removed'} {cleared.artifacts} artifacts that no job needs, "
        f"{cleared.orphans} objects without a row, {cleared.passed} reports whose links have run out, "
        f"{cleared.uploads} uploads and {cleared.scratch} scratch folders that were left: "
        f"{cleared.freed_bytes / 2**20:.1f} MiB{forgotten}"
    )
