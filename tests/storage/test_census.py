"""The census counts everything, on both databases, and names every state that there is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from speechmill.recipes import Digest
from storage.catalog import Catalog, JobState, Order, OrderKey, Sighting, Wanted
from storage.catalog.states import DropState, OrderState

HOUR_S = 3600.0


def ordered(catalog: Catalog, job: str, engine: str, *items: str) -> list[Order]:
    orders = [
        Order(OrderKey(job, "transcribe", item, 1, Digest(item * 64)), "en", {"engine": engine}) for item in items
    ]
    catalog.order(f"round of {engine}", job, "transcribe", "en", orders)
    return orders


def accepted(catalog: Catalog, *keys: str, place: str = "/drop") -> list[str]:
    """Jobs of files that were dropped, which wait to be handed on."""
    drops = catalog.see(place, [Sighting(key, "1", 1, datetime.now(UTC)) for key in keys])
    claimed = catalog.claim_drops([drop.id for drop in drops], DropState.SEEN, "sweeper", 60, len(keys))
    return catalog.accept([Wanted(drop, "dub", {"source": drop.key}, drop.key * 8, "/out") for drop in claimed])


def pass_time(catalog: Catalog, seconds: float) -> None:
    """Everything that waits has waited for so much longer."""
    with catalog._database.writing() as session:
        session.execute(sa.text("UPDATE outbox SET since_s = since_s - :s"), {"s": seconds})
        session.execute(sa.text("UPDATE orders SET ordered_s = ordered_s - :s"), {"s": seconds})


def test_a_census_of_nothing(catalog: Catalog) -> None:
    found = catalog.census()
    assert set(found.jobs) == set(JobState)
    assert set(found.drops) == set(DropState)
    assert sum([*found.jobs.values(), *found.orders.values(), *found.drops.values()]) == 0
    assert found.oldest_order_s == {}
    assert found.outbox_lag_s == 0


def test_jobs_and_orders_are_counted_and_the_oldest_of_each_engine_is_timed(catalog: Catalog) -> None:
    job = catalog.add_job("dub", {}, "0" * 64, "/out")
    catalog.move_job(job.id, JobState.RUNNING)
    orders = ordered(catalog, job.id, "mimo", "0", "1")
    pass_time(catalog, HOUR_S)
    ordered(catalog, job.id, "offline", "2")
    assert catalog.lease(orders[0].key, "worker", 60) is not None
    found = catalog.census()
    assert (found.jobs[JobState.RUNNING], found.jobs[JobState.QUEUED]) == (1, 0)
    assert (found.orders[OrderState.ORDERED], found.orders[OrderState.LEASED]) == (2, 1)
    assert found.oldest_order_s == {"mimo": pytest.approx(HOUR_S, abs=60), "offline": pytest.approx(0, abs=60)}
    catalog.check()


def test_an_accepted_job_waits_since_it_was_accepted_however_often_it_was_tried(catalog: Catalog) -> None:
    accepted(catalog, "a")
    assert catalog.census().outbox_lag_s == pytest.approx(0, abs=60)
    pass_time(catalog, HOUR_S)
    errand = catalog.claim_errand("relay", 60)
    assert errand is not None
    catalog.errand_left(errand, 10)  # Prefect is away
    assert catalog.census().outbox_lag_s == pytest.approx(HOUR_S, abs=60)


def test_what_waits_for_others_of_its_place_to_end_does_not_count_as_forgotten(catalog: Catalog) -> None:
    """Eight jobs of five hundred are under way at a time; the rest waits for hours, and nobody is to be called."""
    accepted(catalog, "a", "b")
    errand = catalog.claim_errand("relay", 60)
    assert errand is not None
    catalog.errand_done(errand)
    pass_time(catalog, HOUR_S)
    assert catalog.census().outbox_lag_s == 0
    accepted(catalog, "c", place="/another")
    pass_time(catalog, HOUR_S)
    assert catalog.census().outbox_lag_s == pytest.approx(HOUR_S, abs=60)


def test_a_job_that_is_sent_again_waits_anew(catalog: Catalog) -> None:
    (job,) = accepted(catalog, "a")
    errand = catalog.claim_errand("relay", 60)
    assert errand is not None
    catalog.errand_done(errand)
    pass_time(catalog, HOUR_S)
    catalog.move_job(job, JobState.RUNNING)
    catalog.move_job(job, JobState.FAILED)
    catalog.send_again(job, 5)
    assert catalog.census().outbox_lag_s == pytest.approx(0, abs=60)
