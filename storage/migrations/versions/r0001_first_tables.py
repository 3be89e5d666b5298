"""The first tables: jobs, lines, voices, takes, artifacts, deliveries, events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

DOCUMENT = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
UTC = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("request", DOCUMENT, nullable=False),
        sa.Column("facts", DOCUMENT, nullable=False),
        sa.Column("out", sa.String(), nullable=False),
        sa.Column("created_at", UTC, nullable=False),
        sa.Column("updated_at", UTC, nullable=False),
        sa.Column("cancel_requested_at", UTC),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'completed', 'completed_with_review', 'stale', 'failed', 'cancelled')",
            name=op.f("ck_jobs_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index(op.f("ix_jobs_created_at"), "jobs", ["created_at"])
    op.create_index(op.f("ix_jobs_fingerprint_created_at"), "jobs", ["fingerprint", "created_at"])

    op.create_table(
        "lines",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("line_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("speaker", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("spoken", sa.String(), nullable=False),
        sa.Column("style", sa.String(), nullable=False),
        sa.Column("start_samples", sa.BigInteger()),
        sa.Column("end_samples", sa.BigInteger()),
        sa.Column("words", DOCUMENT, nullable=False),
        sa.Column("doubts", DOCUMENT, nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("edited", sa.Boolean(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        _of_job("lines"),
        sa.PrimaryKeyConstraint("job_id", "language", "line_id", name=op.f("pk_lines")),
    )

    op.create_table(
        "voices",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("speaker", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("engine", sa.String(), nullable=False),
        sa.Column("settings", DOCUMENT, nullable=False),
        sa.Column("reference", sa.String()),
        sa.Column("consent", DOCUMENT),
        _of_job("voices"),
        sa.PrimaryKeyConstraint("job_id", "language", "speaker", name=op.f("pk_voices")),
    )

    op.create_table(
        "takes",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("line_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("recipe", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String()),
        sa.Column("lease_until_s", sa.Double()),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("audio", sa.String()),
        sa.Column("measured", DOCUMENT),
        sa.Column("verdict", sa.String()),
        sa.Column("reasons", DOCUMENT, nullable=False),
        sa.Column("error", sa.String()),
        sa.CheckConstraint("state IN ('ordered', 'leased', 'done', 'failed')", name=op.f("ck_takes_state")),
        sa.ForeignKeyConstraint(
            ["job_id", "language", "line_id"],
            ["lines.job_id", "lines.language", "lines.line_id"],
            name=op.f("fk_takes_job_id_language_line_id_lines"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", "language", "line_id", "number", name=op.f("pk_takes")),
    )
    op.create_index(op.f("ix_takes_job_id_language_state"), "takes", ["job_id", "language", "state"])

    op.create_table(
        "artifacts",
        sa.Column("recipe", sa.String(), nullable=False),
        sa.Column("operation", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("made_at", UTC, nullable=False),
        sa.PrimaryKeyConstraint("recipe", name=op.f("pk_artifacts")),
    )
    op.create_index(op.f("ix_artifacts_sha256"), "artifacts", ["sha256"])

    op.create_table(
        "deliveries",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("outputs", DOCUMENT, nullable=False),
        sa.Column("checks", DOCUMENT, nullable=False),
        sa.Column("updated_at", UTC, nullable=False),
        _of_job("deliveries"),
        sa.PrimaryKeyConstraint("job_id", "language", name=op.f("pk_deliveries")),
    )

    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("at", UTC, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("detail", DOCUMENT, nullable=False),
        _of_job("events"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_job_id"), "events", ["job_id"])


def downgrade() -> None:
    for table in ("events", "deliveries", "artifacts", "takes", "voices", "lines", "jobs"):
        op.drop_table(table)


def _of_job(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f(f"fk_{table}_job_id_jobs"), ondelete="CASCADE")
