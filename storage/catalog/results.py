"""Results: which recipe made which artifact, and what a job delivered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from speechmill.recipes import Artifact, Digest
from storage.catalog.database import now_s
from storage.catalog.jobs import JobTables
from storage.catalog.models import ArtifactRow, DeliveryRow, UseRow


@dataclass(frozen=True, slots=True)
class Delivery:
    """The outputs of a job in one language, and what was checked of them."""

    language: str
    state: str
    outputs: dict[str, Any]
    checks: list[Any]
    updated_at: datetime


class Results(JobTables):
    """The catalog's artifacts and deliveries."""

    def remember(self, recipe: Digest, operation: str, artifact: Artifact, *, used_by: str | None = None) -> None:
        """A recipe made this artifact, which a job uses; what it made before is forgotten."""
        values = artifact_values(recipe, operation, artifact)
        if used_by is None:
            self._database.tell(remember(is_sqlite=self._database.is_sqlite), values)
        elif not self._database.is_sqlite:
            self._database.tell(_remember_with_use(), values | {"a_job": used_by})
        else:
            with self._database.changing() as connection:
                compiled = self._database.compiled
                connection.execute(compiled(remember(is_sqlite=True)), values)
                connection.execute(compiled(use(is_sqlite=True)), {"job_id": used_by, "recipe": recipe})

    def recall(self, recipe: Digest) -> Artifact | None:
        """What a recipe made."""
        found = self._database.ask(_RECALL, {"a_recipe": recipe})
        return None if found is None else Artifact(Digest(found.sha256), found.size_bytes)

    def settle(self) -> None:
        """Nothing: the catalog itself belongs to no job."""

    def put_delivery(
        self, job_id: str, language: str, outputs: Mapping[str, object], checks: Sequence[object], state: str
    ) -> None:
        """What a job delivers in a language; what it delivered before is replaced."""
        values: dict[str, Any] = {
            "state": state, "outputs": dict(outputs), "checks": list(checks), "updated_at": datetime.now(UTC)
        }  # fmt: skip
        insert = self._database.insert(DeliveryRow).values(job_id=job_id, language=language, **values)
        with self._database.writing() as session:
            self._job_row(session, job_id)
            session.connection().execute(
                insert.on_conflict_do_update(index_elements=["job_id", "language"], set_=values)
            )

    def deliveries(self, job_id: str) -> list[Delivery]:
        """What a job delivered, by language."""
        query = sa.select(DeliveryRow).where(DeliveryRow.job_id == job_id).order_by(DeliveryRow.language)
        with self._database.reading() as session:
            return [
                Delivery(row.language, row.state, row.outputs, row.checks, row.updated_at)
                for row in session.scalars(query)
            ]


# Asked for every artifact, so built once.
@cache
def use(*, is_sqlite: bool) -> sa.Executable:
    """A statement: a job uses an artifact, now and, where it did so before, again."""
    insert = sqlite.insert(UseRow) if is_sqlite else postgresql.insert(UseRow)
    used = insert.values(
        job_id=sa.bindparam("job_id"), recipe=sa.bindparam("recipe"), used_at_s=now_s(), let_go_at_s=None
    )
    return used.on_conflict_do_update(index_elements=_USE, set_=_AGAIN)


@cache
def remember(*, is_sqlite: bool) -> sqlite.Insert | postgresql.Insert:
    """A statement: a recipe made an artifact, whatever it made before."""
    insert = sqlite.insert(ArtifactRow) if is_sqlite else postgresql.insert(ArtifactRow)
    fresh = {name: insert.excluded[name] for name in ("operation", "sha256", "size_bytes", "made_at")}
    return insert.on_conflict_do_update(index_elements=["recipe"], set_=fresh)


@cache
def _remember_with_use() -> sa.Executable:
    """For PostgreSQL: both in one statement, and so in one way to the server."""
    columns = ArtifactRow.__table__.c
    named = {name: sa.bindparam(name, type_=columns[name].type) for name in columns.keys()}  # noqa: SIM118 (by key)
    return use_of(remember(is_sqlite=False).values(named).returning(ArtifactRow.recipe).cte("kept"))


def use_of(kept: sa.CTE) -> postgresql.Insert:
    """For PostgreSQL: a job (``a_job``) uses the artifacts that another part of the statement writes."""
    used = sa.select(sa.bindparam("a_job", type_=sa.String()), kept.c.recipe, now_s(), sa.null())
    insert = postgresql.insert(UseRow).from_select(["job_id", "recipe", "used_at_s", "let_go_at_s"], used)
    return insert.on_conflict_do_update(index_elements=_USE, set_=_AGAIN)


def artifact_values(recipe: Digest, operation: str, artifact: Artifact) -> dict[str, Any]:
    """The columns of an artifact."""
    return {
        "recipe": recipe,
        "operation": operation,
        "sha256": artifact.sha256,
        "size_bytes": artifact.size_bytes,
        "made_at": datetime.now(UTC),
    }


_USE = ["job_id", "recipe"]
_AGAIN: dict[str, Any] = {"used_at_s": now_s(), "let_go_at_s": None}
_RECALL = sa.select(ArtifactRow.sha256, ArtifactRow.size_bytes).where(ArtifactRow.recipe == sa.bindparam("a_recipe"))
