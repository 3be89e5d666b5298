"""Announcements: what the engines of workers are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"

DOCUMENT = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "announcements",
        sa.Column("engine", sa.String(), nullable=False),
        sa.Column("told", DOCUMENT, nullable=False),
        sa.Column("announced_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("engine", name=op.f("pk_announcements")),
    )


def downgrade() -> None:
    op.drop_table("announcements")
