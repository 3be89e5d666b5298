"""Uses: which job needs which artifacts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "uses",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("recipe", sa.String(), nullable=False),
        sa.Column("used_at_s", sa.Double(), nullable=False),
        sa.Column("let_go_at_s", sa.Double()),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_uses_job_id_jobs"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["recipe"], ["artifacts.recipe"], name=op.f("fk_uses_recipe_artifacts")),
        sa.PrimaryKeyConstraint("job_id", "recipe", name=op.f("pk_uses")),
    )
    op.create_index(op.f("ix_uses_recipe"), "uses", ["recipe"])
    # Until now nobody wrote down who used what: an artifact belongs to the jobs that were at work when it was made.
    op.execute(
        "INSERT INTO uses (job_id, recipe, used_at_s) SELECT jobs.id, artifacts.recipe, 0 FROM artifacts "
        "JOIN jobs ON artifacts.made_at >= jobs.created_at "
        "AND (artifacts.made_at <= jobs.updated_at OR jobs.state NOT IN ('completed', 'completed_with_review'))"
    )


def downgrade() -> None:
    op.drop_table("uses")
