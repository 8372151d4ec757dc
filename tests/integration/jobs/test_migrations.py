"""Every migration, up and down, on both engines, with rows in every table that there is at that moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Boolean, Connection, Float, Integer, MetaData, String, Table, insert, select
from sqlalchemy.types import JSON

from bt_node.jobs import downgrade_schema, open_book, schema_revision, upgrade_schema
from bt_node.jobs.database import WRITES, make_engine
from bt_node.jobs.schema import upgrade_to

MIGRATIONS = Path(__file__).resolve().parents[3] / "alembic"
REVISIONS = [script.revision for script in reversed(list(ScriptDirectory(str(MIGRATIONS)).walk_revisions()))]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'book.db'}"
    return str(request.getfixturevalue("postgres").create_database("migrated"))


def value_for(table: Table, name: str, number: int) -> Any:
    """A value of the column's type; references lead to row `number`."""
    column = table.c[name]
    if name == "state":
        return "DONE" if table.name == "jobs" else "SENT"
    if name == "id" or column.foreign_keys:
        return number
    match column.type:
        case Boolean():
            return True
        case JSON():
            return {}
        case Integer() | Float():
            return number
        case String():
            return str(number)[: column.type.length or 10]
    return "x"


def fill(connection: Connection, number: int) -> None:
    """One row with the number `number` in every table."""
    tables = MetaData()
    tables.reflect(connection)
    for table in tables.sorted_tables:
        if table.name != "alembic_version":
            row = {name: value_for(table, name, number) for name in table.c.keys()}  # noqa: SIM118
            connection.execute(insert(table).values(row))


def rows(url: str) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables."""
    engine = make_engine(url)
    with engine.connect() as connection:
        tables = MetaData()
        tables.reflect(connection)
        found = {
            table.name: sorted((dict(row) for row in connection.execute(select(table)).mappings()), key=repr)
            for table in tables.sorted_tables
            if table.name != "alembic_version"
        }
    engine.dispose()
    return found


def write(url: str, number: int) -> None:
    engine = make_engine(url)
    with engine.connect() as connection:
        connection.execution_options(**{WRITES: True})
        with connection.begin():
            fill(connection, number)
    engine.dispose()


def kept(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> None:
    """Every row of a table that is in both is still there, with the same values in the columns of both.

    But for schema_compatibility: which programs may work is what a revision itself says.
    """
    for name in (before.keys() & after.keys()) - {"schema_compatibility"}:
        assert len(before[name]) == len(after[name]), name
        for old, new in zip(before[name], after[name], strict=True):
            shared = old.keys() & new.keys() - {"state"}  # a revision may give a state another word
            assert {key: old[key] for key in shared} == {key: new[key] for key in shared}, name


def test_every_revision_keeps_the_rows_on_its_way_up_and_down(url: str) -> None:
    for number, revision in enumerate(REVISIONS, start=1):
        before = rows(url) if number > 1 else {}
        upgrade_to(url, revision)
        assert schema_revision(url)[0] == revision
        kept(before, rows(url))
        write(url, number)
    open_book(url).close()
    for revision in reversed(REVISIONS[:-1]):
        before = rows(url)
        downgrade_schema(url, revision)
        kept(before, rows(url))
        assert all(rows(url).values()), "each table that is left has its rows"
    upgrade_schema(url)
    assert len(rows(url)["jobs"]) == len(REVISIONS)
    downgrade_schema(url, "base")
