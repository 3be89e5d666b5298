"""The catalog: the facts of every job, in one database. Safe to use from any number of threads."""

from __future__ import annotations

from typing import Self

from storage.catalog.announcements import Announcements
from storage.catalog.batches import Batches
from storage.catalog.census import Counting
from storage.catalog.database import Database
from storage.catalog.drops import Drops
from storage.catalog.forgetting import Forgetting
from storage.catalog.jobs import Jobs
from storage.catalog.orders import Orders
from storage.catalog.outbox import Outbox
from storage.catalog.runs import Runs
from storage.catalog.scripts import Scripts
from storage.catalog.takes import Takes
from storage.catalog.uses import Uses
from storage.migrations import bring_up_to_date


class Catalog(Jobs, Scripts, Takes, Orders, Uses, Announcements, Drops, Batches, Outbox, Runs, Forgetting, Counting):
    """Jobs and events, lines, casts and takes, orders and leases, artifacts and uses, what engines workers have,
    deliveries, drops and batches of them, the outbox, who runs what."""

    @classmethod
    def open(cls, url: str, *, upgrade: bool = True) -> Self:
        """Open the catalog of a URL, making its tables or bringing them up to date where that is needed.

        With ``upgrade=False``, for workers beside others of another version, tables that are not up to date raise
        ``Unavailable``; so does a database that cannot be reached or was made by a newer Speechmill.
        """
        database = Database(url)
        try:
            bring_up_to_date(database, allowed=upgrade)
        except BaseException:
            database.close()
            raise
        return cls(database)

    def close(self) -> None:
        """Let go of the database; a catalog that is used again opens it again."""
        self._database.close()
