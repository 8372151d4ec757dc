"""The database's schema and its revisions. Alembic is imported where it is used: `jobs list` never needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from bt_node.jobs.database import WRITES, make_engine, trouble_worded
from bt_node.jobs.sqlite_file import file_trouble_worded

_MIGRATIONS = Path(__file__).resolve().parents[2] / "alembic"
# Any number that nothing else in the database locks: two nodes that start together upgrade one after the other.
_UPGRADE_LOCK = 0x62746E6F6465


def upgrade_schema(url: str) -> None:
    """Bring the database at `url` to this program's schema; creates a missing SQLite file and its folder.

    Raises:
        BookUnavailableError: the database cannot be reached or written.
    """
    upgrade_to(url, "head")


def upgrade_to(url: str, revision: str) -> None:
    """Bring the database up to one revision, which need not be the newest; raises as `upgrade_schema` does."""
    from alembic import command  # noqa: PLC0415 - 0.2 s

    with _connected(url) as connection:
        command.upgrade(_settings(connection), revision)


def downgrade_schema(url: str, revision: str) -> None:
    """Take the database back to an earlier revision ("base": no tables at all). Rows of dropped tables are lost."""
    from alembic import command  # noqa: PLC0415

    with _connected(url) as connection:
        command.downgrade(_settings(connection), revision)


def schema_revision(url: str) -> tuple[str | None, str]:
    """The database's revision (None: no schema yet) and the newest one that this program has.

    Raises:
        BookUnavailableError: the database cannot be reached.
    """
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    head = ScriptDirectory(str(_MIGRATIONS)).as_revision_number("head")
    with _connected(url, create=False) as connection:
        current = MigrationContext.configure(connection).get_current_revision() if connection else None
    return current, str(head)


def _settings(connection: Connection) -> Any:
    from alembic.config import Config  # noqa: PLC0415

    settings = Config()
    settings.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    settings.attributes["connection"] = connection
    return settings


def _is_there(file: Path, *, create: bool) -> bool:
    """Whether there is a SQLite file; with `create` it is made, with its folder."""
    with file_trouble_worded():
        if create:
            file.parent.mkdir(parents=True, exist_ok=True)
            # For this account alone; SQLite gives its other files (-wal, -shm) the same mode.
            file.touch(mode=0o600)
        return file.exists()


@contextmanager
def _connected(url: str, *, create: bool = True) -> Iterator[Any]:
    """One transaction on the database; None where its SQLite file is missing and should not be created."""
    engine = make_engine(url, unhurried=create)
    file = Path(engine.url.database or "") if engine.dialect.name == "sqlite" else None
    try:
        if file and not _is_there(file, create=create):
            yield None
            return
        with trouble_worded(), engine.connect() as connection:
            connection.execution_options(**{WRITES: create})
            with connection.begin():
                if create and engine.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _UPGRADE_LOCK})
                yield connection
    finally:
        engine.dispose()
