"""Announcements: what the engines of workers are, for flows on machines that do not have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from speechmill.recipes import Json
from storage.catalog.jobs import JobTables
from storage.catalog.models import AnnouncementRow


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the worker that was started last told of an engine."""

    told: Mapping[str, Any]
    at: datetime


class Announcements(JobTables):
    """The catalog's announcements."""

    def announce(self, engine: str, told: Mapping[str, Json]) -> None:
        """Workers have this engine from now on; what was told of it before is forgotten."""
        values: dict[str, Any] = {"told": dict(told), "announced_at": datetime.now(UTC)}
        insert = self._database.insert(AnnouncementRow).values(engine=engine, **values)
        with self._database.writing() as session:
            session.connection().execute(insert.on_conflict_do_update(index_elements=["engine"], set_=values))

    def announced(self, engine: str) -> Announcement | None:
        """What workers have told of an engine, whether or not any of them is there now."""
        query = sa.select(AnnouncementRow).where(AnnouncementRow.engine == engine)
        with self._database.reading() as session:
            row = session.scalars(query).one_or_none()
            return None if row is None else Announcement(row.told, row.announced_at)
