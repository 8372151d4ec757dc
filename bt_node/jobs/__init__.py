"""The job book: tables, guarded moves, claims, leases, history, outbox. SQLAlchemy lives here."""
