"""The audit trail, which the database itself keeps from being changed.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_REFUSAL = "the audit trail is append-only"
_FUNCTION = "audit_trail_is_append_only()"
_BODY = f"BEGIN RAISE EXCEPTION '{_REFUSAL}'; END"
_CALL = f"EXECUTE FUNCTION {_FUNCTION}"
_GUARDS = {
    "sqlite": tuple(
        f"CREATE TRIGGER audit_trail_no_{word.lower()} BEFORE {word} ON audit_trail"
        f" BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        for word in ("UPDATE", "DELETE")
    ),
    "postgresql": (
        f"CREATE FUNCTION {_FUNCTION} RETURNS trigger LANGUAGE plpgsql AS $$ {_BODY} $$",
        f"CREATE TRIGGER audit_trail_no_change BEFORE UPDATE OR DELETE ON audit_trail FOR EACH ROW {_CALL}",
        f"CREATE TRIGGER audit_trail_no_truncate BEFORE TRUNCATE ON audit_trail FOR EACH STATEMENT {_CALL}",
    ),
}


def upgrade() -> None:
    op.create_table(
        "audit_trail",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit_trail"),
        sa.UniqueConstraint("previous", name="uq_audit_trail_previous"),
    )
    for statement in _GUARDS[op.get_bind().dialect.name]:
        op.execute(statement)
    op.create_table(
        "audit_exports",
        sa.Column("receiver", sa.String(255), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("receiver", name="pk_audit_exports"),
    )
    title = sa.Column("calling_ae_title", sa.String(16), server_default=sa.text("''"), nullable=False)
    op.add_column("open_associations", title)
    op.add_column(
        "open_associations", sa.Column("instances", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )


def downgrade() -> None:
    with op.batch_alter_table("open_associations") as table:
        table.drop_column("instances")
        table.drop_column("calling_ae_title")
    op.drop_table("audit_exports")
    op.drop_table("audit_trail")
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"DROP FUNCTION {_FUNCTION}")
