"""Proof that a destination keeps what it acknowledged; destinations that are down wait as a whole.

What was SENT before counts as DELIVERED, as it did then. On the way back, what still waits for proof is sent again.

Revision ID: 0006
Revises: 0005
"""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic.operations import BatchOperations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

EMPTY, ZERO = sa.text("''"), sa.text("0")
# Revision 0001 gave its constraint this name: the naming convention was applied to a name that was whole already.
OLD_NAME, NEW_NAME = "ck_deliveries_ck_deliveries_state", "ck_deliveries_state"
OLD_WORDS = "state IN ('PENDING', 'SENT', 'FAILED')"
NEW_WORDS = "state IN ('PENDING', 'SENT', 'DELIVERED', 'FAILED')"


def upgrade() -> None:
    with _swapped(OLD_NAME, NEW_NAME, NEW_WORDS) as batch:
        batch.add_column(sa.Column("proof", sa.String(64), server_default=EMPTY, nullable=False))
        batch.add_column(sa.Column("proof_attempts", sa.Integer(), server_default=ZERO, nullable=False))
        batch.add_column(sa.Column("times_lost", sa.Integer(), server_default=ZERO, nullable=False))
    op.execute("UPDATE deliveries SET state = 'DELIVERED' WHERE state = 'SENT'")
    op.create_table(
        "destinations",
        sa.Column("destination", sa.String(64), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=ZERO, nullable=False),
        sa.Column("next_attempt_at", sa.Double(), nullable=False),
        sa.Column("detail", sa.Text(), server_default=EMPTY, nullable=False),
        sa.Column("courier", sa.String(128), nullable=True),
        sa.Column("courier_until", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("destination", name="pk_destinations"),
    )
    op.create_table(
        "commitments",
        sa.Column("transaction_uid", sa.String(64), nullable=False),
        sa.Column("result_id", sa.Integer(), nullable=False),
        sa.Column("destination", sa.String(64), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("pause_s", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["result_id"], ["results.id"], name="fk_commitments_result_id"),
        sa.PrimaryKeyConstraint("transaction_uid", "result_id", name="pk_commitments"),
    )
    op.create_index("ix_commitments_result_id", "commitments", ["result_id"])


def downgrade() -> None:
    op.drop_table("commitments")
    op.drop_table("destinations")
    op.execute("UPDATE deliveries SET state = 'PENDING' WHERE state = 'SENT'")
    op.execute("UPDATE deliveries SET state = 'SENT' WHERE state = 'DELIVERED'")
    with _swapped(NEW_NAME, OLD_NAME, OLD_WORDS) as batch:
        for column in ("proof", "proof_attempts", "times_lost"):
            batch.drop_column(column)


@contextmanager
def _swapped(old: str, new: str, condition: str) -> Iterator[BatchOperations]:
    """A batch on `deliveries`, before it without the constraint `old` on its state and after it with `new`."""
    with op.batch_alter_table("deliveries") as batch:
        batch.drop_constraint(op.f(old), type_="check")
        yield batch
    with op.batch_alter_table("deliveries") as batch:
        batch.create_check_constraint(op.f(new), condition)
