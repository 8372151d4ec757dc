"""SQLite's audit trail refuses INSERT OR REPLACE, which takes a row away and fires no DELETE trigger.

PostgreSQL's ON CONFLICT DO UPDATE fires the UPDATE trigger: there is nothing to do.

Revision ID: 0008
Revises: 0007
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Whatever a row can be in the way of: its number, the entry it follows, and SQLite's own number of the row.
_GUARD = (
    "CREATE TRIGGER audit_trail_no_replace BEFORE INSERT ON audit_trail"
    " WHEN EXISTS (SELECT 1 FROM audit_trail"
    " WHERE number = NEW.number OR previous = NEW.previous OR rowid = NEW.rowid)"
    " BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(_GUARD)
    op.execute("INSERT INTO schema_compatibility VALUES ('0008', '0007')")


def downgrade() -> None:
    op.execute("DELETE FROM schema_compatibility WHERE revision = '0008'")
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_trail_no_replace")
