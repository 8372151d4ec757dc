"""Which programs may work on this schema, so that old and new ones can work side by side during an upgrade.

A later migration that only adds (tables, columns with a default, wider words) says so with one more row:
`op.execute("INSERT INTO schema_compatibility VALUES ('0008', '0007')")`. One that takes away or renames adds none,
and every program but its own is refused. docs/deployment.md has the rule.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "schema_compatibility",
        sa.Column("revision", sa.String(32), nullable=False),
        sa.Column("oldest_program", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("revision", name="pk_schema_compatibility"),
    )


def downgrade() -> None:
    op.drop_table("schema_compatibility")
