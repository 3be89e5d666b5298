"""Drops: what was dropped where, and the jobs that are still to be started."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"

DOCUMENT = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
UTC = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "drops",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("etag", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", UTC, nullable=False),
        sa.Column("first_seen_s", sa.Double(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("job_id", sa.String()),
        sa.Column("facts", DOCUMENT, nullable=False),
        sa.Column("reason", DOCUMENT),
        sa.Column("owner", sa.String()),
        sa.Column("lease_until_s", sa.Double()),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "state IN ('seen', 'accepted', 'rejected', 'done', 'quarantined', 'gone')", name=op.f("ck_drops_state")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_drops_job_id_jobs"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drops")),
        sa.UniqueConstraint("place", "key", "etag", name=op.f("uq_drops_place_key_etag")),
    )
    op.create_index(op.f("ix_drops_place_state"), "drops", ["place", "state"])
    op.create_index(op.f("ix_drops_job_id"), "drops", ["job_id"])

    op.create_table(
        "drop_events",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("drop_id", sa.Integer(), nullable=False),
        sa.Column("at", UTC, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("detail", DOCUMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["drop_id"], ["drops.id"], name=op.f("fk_drop_events_drop_id_drops"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drop_events")),
    )
    op.create_index(op.f("ix_drop_events_drop_id"), "drop_events", ["drop_id"])

    op.create_table(
        "outbox",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before_s", sa.Double(), nullable=False),
        sa.Column("handed_at_s", sa.Double()),
        sa.Column("owner", sa.String()),
        sa.Column("lease_until_s", sa.Double()),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_outbox_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_outbox")),
    )
    op.create_index(op.f("ix_outbox_place_handed_at_s"), "outbox", ["place", "handed_at_s"])


def downgrade() -> None:
    for table in ("outbox", "drop_events", "drops"):
        op.drop_table(table)
