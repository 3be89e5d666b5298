"""Uses: which job needs which artifacts, so that what nobody needs can be told from what somebody does.

A use is written before its artifact is handed to the job, and refers to the artifact's row: the database itself then
refuses to let that row go. What a job's last complete run did not ask for is let go of, and counts as unused after a
grace time.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from speechmill.recipes import Artifact, Digest
from storage.catalog.database import Database, now_s
from storage.catalog.models import ArtifactRow, JobRow, TakeRow, UseRow, VoiceRow
from storage.catalog.results import Results, use
from storage.catalog.states import JobState

MOST_WAITING = 500  # uses of an earlier run that are confirmed in one statement
COMPLETED = [state for state in JobState if state.is_completed]


class JobUses:
    """The catalog's artifacts for one run of a job: an ``ArtifactIndex`` that writes down what the job needs.

    ``together`` is how many uses known from an earlier run are confirmed at a time. With 1 this is for a message, a
    part of somebody's run; with more it is the run itself, which ends with ``settle``.
    """

    def __init__(self, catalog: Uses, database: Database, job_id: str, together: int) -> None:
        self._catalog, self._database, self._job_id, self._together = catalog, database, job_id, together
        self._guard = threading.Lock()
        self._waiting: set[Digest] = set()
        self._began_s = math.inf if together == 1 else catalog.now_s()

    def recall(self, recipe: Digest) -> Artifact | None:
        found = self._database.ask(_RECALL, {"a_job": self._job_id, "a_recipe": recipe})
        if found is None:
            return None
        if found.used_at_s is None or found.let_go_at_s is not None:
            if not self._used(recipe):
                return None  # it was removed in this moment
        elif found.used_at_s < self._began_s:
            self._confirm(recipe)
        return Artifact(Digest(found.sha256), found.size_bytes)

    def remember(self, recipe: Digest, operation: str, artifact: Artifact) -> None:
        self._catalog.remember(recipe, operation, artifact, used_by=self._job_id)

    def settle(self) -> None:
        """The run is complete: what the job used before and not in this run is let go of."""
        if math.isinf(self._began_s):
            raise ValueError("a message is no run")
        with self._guard:
            self._flush()
        self._database.tell(_LET_GO, {"a_job": self._job_id, "a_time": self._began_s})

    def _used(self, recipe: Digest) -> bool:
        try:
            self._database.tell(use(is_sqlite=self._database.is_sqlite), {"job_id": self._job_id, "recipe": recipe})
        except sa.exc.IntegrityError:
            return False
        return True

    def _confirm(self, recipe: Digest) -> None:
        with self._guard:
            self._waiting.add(recipe)
            if len(self._waiting) >= self._together:
                self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._database.tell(_CONFIRM, {"a_job": self._job_id, "some": sorted(self._waiting)})
            self._waiting.clear()


@dataclass(frozen=True, slots=True)
class Unused:
    """An artifact of a recipe that nobody needs."""

    recipe: Digest
    artifact: Artifact


@dataclass(frozen=True, slots=True)
class Grace:
    """What still counts as needed. ``finished_before``: jobs that were completed before need nothing any more."""

    made_before: datetime
    let_go_before_s: float
    finished_before: datetime | None = None


class Uses(Results):
    """The catalog's uses."""

    def uses_of(self, job_id: str, *, together: int = 1) -> JobUses:
        """The artifacts as one run of a job uses them; asked for when the run, or a message, begins."""
        return JobUses(self, self._database, job_id, together)

    def now_s(self) -> float:
        """The time by the database's clock, in seconds since 1970."""
        found = self._database.ask(sa.select(now_s().label("s")), {})
        assert found is not None
        return float(found.s)

    def unused(self, grace: Grace) -> list[Unused]:
        """Artifacts that no job needs and that were made before the grace time."""
        needed = sa.select(UseRow.recipe).where(UseRow.recipe == ArtifactRow.recipe, *_holding(grace)).exists()
        query = (
            sa.select(ArtifactRow.recipe, ArtifactRow.sha256, ArtifactRow.size_bytes)
            .where(ArtifactRow.made_at < grace.made_before, ~needed)
            .where(*(ArtifactRow.sha256.not_in(spoken) for spoken in _referred(grace)))
            .order_by(ArtifactRow.made_at)
        )
        with self._database.reading() as session:
            return [
                Unused(Digest(row.recipe), Artifact(Digest(row.sha256), row.size_bytes))
                for row in session.execute(query)
            ]

    def drop_unused(self, recipe: Digest, grace: Grace) -> bool:
        """Forget an artifact, unless somebody has come to need it meanwhile."""
        try:
            with self._database.writing() as session:
                session.execute(sa.delete(UseRow).where(UseRow.recipe == recipe, sa.not_(sa.and_(*_holding(grace)))))
                session.execute(sa.delete(ArtifactRow).where(ArtifactRow.recipe == recipe))
        except sa.exc.IntegrityError:
            return False
        return True

    def known(self, digests: Collection[Digest]) -> set[Digest]:
        """Those of some artifacts' digests that the catalog has or refers to."""
        found: set[Digest] = set()
        with self._database.reading() as session:
            for column in (ArtifactRow.sha256, TakeRow.audio, VoiceRow.reference):
                found |= {
                    Digest(each) for each in session.scalars(sa.select(column).where(column.in_(digests))) if each
                }
        return found


def _holding(grace: Grace) -> list[sa.ColumnElement[bool]]:
    """Uses that hold an artifact."""
    holding = [sa.or_(UseRow.let_go_at_s.is_(None), UseRow.let_go_at_s >= grace.let_go_before_s)]
    if grace.finished_before is not None:
        holding.append(UseRow.job_id.not_in(_finished(grace.finished_before)))
    return holding


def _referred(grace: Grace) -> Sequence[sa.Select[Any]]:
    """Digests that takes and voices name."""
    named = []
    for row, column in ((TakeRow, TakeRow.audio), (VoiceRow, VoiceRow.reference)):
        query = sa.select(column).where(column.is_not(None))
        if grace.finished_before is not None:
            query = query.where(row.job_id.not_in(_finished(grace.finished_before)))
        named.append(query)
    return named


def _finished(before: datetime) -> sa.Select[Any]:
    return sa.select(JobRow.id).where(JobRow.state.in_(COMPLETED), JobRow.updated_at < before)


# Asked for every artifact, so built once.
_RECALL = (
    sa.select(ArtifactRow.sha256, ArtifactRow.size_bytes, UseRow.used_at_s, UseRow.let_go_at_s)
    .outerjoin(UseRow, sa.and_(UseRow.recipe == ArtifactRow.recipe, UseRow.job_id == sa.bindparam("a_job")))
    .where(ArtifactRow.recipe == sa.bindparam("a_recipe"))
)
_CONFIRM = (
    sa.update(UseRow)
    .where(UseRow.job_id == sa.bindparam("a_job"), UseRow.recipe.in_(sa.bindparam("some", expanding=True)))
    .values(used_at_s=now_s())
)
_LET_GO = (
    sa.update(UseRow)
    .where(
        UseRow.job_id == sa.bindparam("a_job"),
        UseRow.used_at_s < sa.bindparam("a_time", type_=sa.Double()),
        UseRow.let_go_at_s.is_(None),
    )
    .values(let_go_at_s=now_s())
)
