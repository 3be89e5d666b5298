"""Waiting: since when a job waits to be handed on, which its next try does not tell."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

NOW_S = {
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "extract(epoch FROM clock_timestamp())::double precision",
}


def upgrade() -> None:
    op.add_column("outbox", sa.Column("since_s", sa.Double()))
    op.execute(f"UPDATE outbox SET since_s = {NOW_S[op.get_bind().dialect.name]}")
    with op.batch_alter_table("outbox") as outbox:
        outbox.alter_column("since_s", existing_type=sa.Double(), nullable=False)


def downgrade() -> None:
    with op.batch_alter_table("outbox") as outbox:
        outbox.drop_column("since_s")
