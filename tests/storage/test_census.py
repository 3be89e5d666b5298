"""The census counts everything, on both databases, and names every state that there is."""

from __future__ import annotations

import pytest

from speechmill.recipes import Digest
from storage.catalog import Catalog, JobState, Order, OrderKey
from storage.catalog.states import DropState, OrderState


def test_a_census_of_nothing(catalog: Catalog) -> None:
    found = catalog.census()
    assert set(found.jobs) == set(JobState)
    assert set(found.drops) == set(DropState)
    assert sum([*found.jobs.values(), *found.orders.values(), *found.drops.values()]) == 0
    assert found.oldest_order_s == found.outbox_lag_s == 0


def test_jobs_and_orders_are_counted_and_the_oldest_is_timed(catalog: Catalog) -> None:
    job = catalog.add_job("dub", {}, "0" * 64, "/out")
    catalog.move_job(job.id, JobState.RUNNING)
    recipes = [Digest(str(n) * 64) for n in range(3)]
    orders = [Order(OrderKey(job.id, "transcribe", str(n), 1, recipe), "en", {}) for n, recipe in enumerate(recipes)]
    catalog.order("round", job.id, "transcribe", "en", orders)
    assert catalog.lease(orders[0].key, "worker", 60) is not None
    found = catalog.census()
    assert (found.jobs[JobState.RUNNING], found.jobs[JobState.QUEUED]) == (1, 0)
    assert (found.orders[OrderState.ORDERED], found.orders[OrderState.LEASED]) == (2, 1)
    assert found.oldest_order_s == pytest.approx(0, abs=60)
    catalog.check()
