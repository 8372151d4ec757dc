"""What is kept of a study's results for the same patient's next study.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "remembered",
        sa.Column("result_id", sa.Integer(), nullable=False),
        sa.Column("subject_hash", sa.String(64), nullable=False),
        sa.Column("study_day", sa.String(10), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["result_id"], ["results.id"], name="fk_remembered_result_id"),
        sa.PrimaryKeyConstraint("result_id", name="pk_remembered"),
    )
    op.create_index("ix_remembered_subject", "remembered", ["subject_hash", "study_day"])


def downgrade() -> None:
    op.drop_table("remembered")
