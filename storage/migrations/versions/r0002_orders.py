"""Orders: all work that others do, with its leases. A take is only what came of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

DOCUMENT = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
OF_WORK = ("state", "attempts", "owner", "lease_until_s", "fence", "error")


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("recipe", sa.String(), nullable=False),
        sa.Column("payload", DOCUMENT, nullable=False),
        sa.Column("round", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String()),
        sa.Column("lease_until_s", sa.Double()),
        sa.Column("ordered_s", sa.Double(), nullable=False),
        sa.Column("send_at_s", sa.Double()),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("tally", DOCUMENT, nullable=False),
        sa.Column("error", sa.String()),
        sa.CheckConstraint(
            "state IN ('ordered', 'leased', 'done', 'failed', 'withdrawn')", name=op.f("ck_orders_state")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_orders_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "kind", "item", "number", "language", name=op.f("pk_orders")),
    )
    op.create_index(op.f("ix_orders_round_state"), "orders", ["round", "state"])

    # Takes that were not done are made when their job is run again.
    op.execute("DELETE FROM takes WHERE state <> 'done' OR verdict IS NULL")
    op.drop_index(op.f("ix_takes_job_id_language_state"), "takes")
    with op.batch_alter_table("takes") as takes:
        takes.drop_constraint(op.f("ck_takes_state"), type_="check")
        for column in OF_WORK:
            takes.drop_column(column)
        takes.alter_column("verdict", existing_type=sa.String(), nullable=False)


def downgrade() -> None:
    with op.batch_alter_table("takes") as takes:
        takes.alter_column("verdict", existing_type=sa.String(), nullable=True)
        takes.add_column(sa.Column("state", sa.String(), nullable=False, server_default="done"))
        takes.add_column(sa.Column("attempts", sa.Integer(), nullable=False, server_default="1"))
        takes.add_column(sa.Column("owner", sa.String()))
        takes.add_column(sa.Column("lease_until_s", sa.Double()))
        takes.add_column(sa.Column("fence", sa.Integer(), nullable=False, server_default="1"))
        takes.add_column(sa.Column("error", sa.String()))
        takes.create_check_constraint(op.f("ck_takes_state"), "state IN ('ordered', 'leased', 'done', 'failed')")
    with op.batch_alter_table("takes") as takes:
        takes.alter_column("state", server_default=None)
        takes.alter_column("attempts", server_default=None)
        takes.alter_column("fence", server_default=None)
    op.create_index(op.f("ix_takes_job_id_language_state"), "takes", ["job_id", "language", "state"])
    op.drop_table("orders")
