"""Runs the migrations: on the connection that bt_node.jobs.schema hands over, or on config.toml's database.

This folder must have no `__init__.py`: without one, `import alembic` finds the library also from the repository root.
"""

import os

from sqlalchemy import Connection

from alembic import context
from bt_node.config import load_config
from bt_node.jobs.database import make_engine
from bt_node.jobs.tables import metadata


def run_on(connection: Connection) -> None:
    # SQLite changes tables by copying them (batch); both databases roll a half-done migration back.
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=True,
        transactional_ddl=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


handed_over = context.config.attributes.get("connection")
if handed_over is not None:
    run_on(handed_over)
else:
    with make_engine(load_config(None, os.environ).database.url, unhurried=True).begin() as own:
        run_on(own)
