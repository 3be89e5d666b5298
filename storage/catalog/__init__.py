"""The catalog: what was asked, where it stands and what came of it, in SQLite or PostgreSQL."""

from storage.catalog.catalog import Catalog
from storage.catalog.drops import PUBLISHED_IN, Drop, Sighting, Wanted
from storage.catalog.jobs import BATCH, BATCHES, PUBLISHED_TO, RUN, WAITS_FOR, WITHIN, Event, Job, new_job_id
from storage.catalog.leases import Lease, Order, OrderKey
from storage.catalog.outbox import Errand
from storage.catalog.results import Delivery
from storage.catalog.runs import Hold, Unsure
from storage.catalog.scripts import StoredLine
from storage.catalog.states import DropState, JobState, OrderState
from storage.catalog.uses import MOST_WAITING, Grace, JobUses

__all__ = [
    "BATCH",
    "BATCHES",
    "MOST_WAITING",
    "PUBLISHED_IN",
    "PUBLISHED_TO",
    "RUN",
    "WAITS_FOR",
    "WITHIN",
    "Catalog",
    "Delivery",
    "Drop",
    "DropState",
    "Errand",
    "Event",
    "Grace",
    "Hold",
    "Job",
    "JobState",
    "JobUses",
    "Lease",
    "Order",
    "OrderKey",
    "OrderState",
    "Sighting",
    "StoredLine",
    "Unsure",
    "Wanted",
    "new_job_id",
]
