"""What the catalog forgets, and what it keeps however old it is; on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from storage.catalog import Catalog, DropState, JobState, Sighting, Wanted
from storage.catalog.models import Base
from tests.storage.facts import completed, line, take

NOW = datetime.now(UTC)
SOON = NOW + timedelta(days=1)  # when all of this is old


def rows(catalog: Catalog) -> dict[str, int]:
    """How many rows each table has, where it has any."""
    with catalog._database.reading() as session:
        counted = {
            name: session.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for name, table in Base.metadata.tables.items()
        }
    return {name: count for name, count in counted.items() if count}


def job(catalog: Catalog, state: JobState, **request: object) -> str:
    made = catalog.add_job("dub", request, "f").id
    if state is not JobState.QUEUED:
        catalog.move_job(made, JobState.RUNNING)
    if state not in (JobState.QUEUED, JobState.RUNNING):
        catalog.move_job(made, JobState.COMPLETED if state is JobState.STALE else state)
    if state is JobState.STALE:
        catalog.move_job(made, JobState.STALE)
    return made


def dropped(catalog: Catalog, key: str) -> str:
    """The job of a file that was dropped and accepted, and handed on."""
    (drop,) = catalog.see("/drop", [Sighting(key, "1", 1, NOW)])
    claimed = catalog.claim_drops([drop.id], DropState.SEEN, "sweeper", 60, 1)
    (made,) = catalog.accept([Wanted(claimed[0], "dub", {}, key * 8, "/out")])
    errand = catalog.claim_errand("relay", 60)
    assert errand is not None
    catalog.errand_done(errand)
    return made


def forget(catalog: Catalog, before: datetime = SOON) -> int:
    return sum(catalog.forget_job(each, before) for each in catalog.old_jobs(before))


def test_a_job_that_ended_long_ago_is_forgotten_with_all_that_is_known_of_it(catalog: Catalog) -> None:
    made = catalog.job(job(catalog, JobState.QUEUED))
    catalog.put_lines(made.id, "es", [line(0)])
    catalog.put_takes(made.id, "es", [take(0, "r")])
    catalog.put_delivery(made.id, "es", {"audio": "talk.es.m4a"}, [], "completed")
    completed(catalog, made)
    assert {"jobs", "lines", "takes", "events", "deliveries"} <= rows(catalog).keys()
    assert forget(catalog, NOW - timedelta(days=1)) == 0
    assert forget(catalog) == 1
    assert rows(catalog) == {}


@pytest.mark.parametrize("state", list(JobState))
def test_what_somebody_may_go_on_with_is_kept(catalog: Catalog, state: JobState) -> None:
    job(catalog, state)
    kept = state in (JobState.QUEUED, JobState.RUNNING, JobState.STALE)
    assert forget(catalog) == (0 if kept else 1)


def test_a_digest_that_was_delivered_is_kept_since_it_knows_what_was_heard(catalog: Catalog) -> None:
    heard = job(catalog, JobState.QUEUED, collected={"documents": {"a.md": "0" * 64}})
    catalog.put_delivery(heard, "en", {}, [], "completed")
    catalog.move_job(heard, JobState.RUNNING)
    catalog.move_job(heard, JobState.COMPLETED)
    job(catalog, JobState.FAILED, collected={"documents": {"b.md": "1" * 64}})
    job(catalog, JobState.COMPLETED, collected=None)
    assert forget(catalog) == 2
    assert [found.id for found in catalog.jobs()] == [heard]


def test_the_row_of_a_file_goes_after_its_job_and_not_while_it_lies_there(catalog: Catalog) -> None:
    made = dropped(catalog, "in/a.mp4")
    catalog.move_job(made, JobState.RUNNING)
    catalog.move_job(made, JobState.FAILED)
    assert forget(catalog) == 0, "its file still lies in in/"
    (due,) = catalog.due_drops("/drop")
    (claimed,) = catalog.claim_drops([due], DropState.ACCEPTED, "sweeper", 60, 1)
    catalog.move_drop(claimed, DropState.DONE)
    assert catalog.forget_drops(SOON) == 0, "its job is known"
    assert forget(catalog) == 1
    assert catalog.forget_drops(NOW - timedelta(days=1)) == 0
    assert catalog.forget_drops(SOON, dry_run=True) == 1
    assert catalog.forget_drops(SOON) == 1
    assert rows(catalog) == {}


def test_a_job_that_is_about_to_be_started_again_is_kept(catalog: Catalog) -> None:
    made = dropped(catalog, "in/a.mp4")
    catalog.move_job(made, JobState.RUNNING)
    catalog.move_job(made, JobState.FAILED)
    catalog.send_again(made, 60)
    assert forget(catalog) == 0


def test_whoever_comes_back_to_a_job_in_the_last_moment_keeps_it(catalog: Catalog) -> None:
    made = job(catalog, JobState.FAILED)
    assert catalog.old_jobs(SOON) == [made]
    catalog.move_job(made, JobState.RUNNING)
    assert not catalog.forget_job(made, SOON)
