"""Migrations, the database's own clock, durability, and what is said when the database is not fit."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from job_desk import received
from sqlalchemy import inspect, text

from bt_node.domain.errors import BookUnavailableError, SchemaError
from bt_node.jobs import downgrade_schema, open_book, schema_revision, upgrade_schema
from bt_node.jobs.database import Database, make_engine, normalised, patience
from bt_node.jobs.tables import SCHEMA_REVISION, metadata

REPOSITORY = Path(__file__).resolve().parents[3]
PATIENT_WORDS = ("name", "birth", "patient", "description", "sex", "age", "accession")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that no migration has seen."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new folder' / '50% book.db'}"
    return str(request.getfixturevalue("postgres").create_database("empty"))


def test_the_migrations_make_exactly_the_tables_that_the_code_uses(empty_url: str):
    upgrade_schema(empty_url)
    engine = make_engine(empty_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_a_schema_goes_up_down_and_up_again(empty_url: str):
    assert schema_revision(empty_url) == (None, SCHEMA_REVISION)
    upgrade_schema(empty_url)
    upgrade_schema(empty_url)  # a second time changes nothing
    assert schema_revision(empty_url) == (SCHEMA_REVISION, SCHEMA_REVISION)
    downgrade_schema(empty_url, "base")
    assert schema_revision(empty_url)[0] is None
    engine = make_engine(empty_url)
    assert inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()
    upgrade_schema(empty_url)
    open_book(empty_url).close()


def test_two_nodes_that_start_together_upgrade_one_after_the_other(empty_url: str):
    code = "import sys; from bt_node.jobs import upgrade_schema; upgrade_schema(sys.argv[1])"
    nodes = [subprocess.Popen([sys.executable, "-c", code, empty_url]) for _ in range(2)]
    assert [node.wait(timeout=60) for node in nodes] == [0, 0]
    open_book(empty_url).close()


def test_a_database_without_schema_is_refused_with_the_command_that_makes_it(empty_url: str):
    with pytest.raises(SchemaError, match=r"has no schema.*bt-node db upgrade"):
        open_book(empty_url)


def test_asking_for_a_book_or_its_revision_creates_no_file(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'none.db'}"
    schema_revision(url)
    with pytest.raises(SchemaError):
        open_book(url)
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_a_newer_program_is_refused(url: str):
    with Database(url).write() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    try:
        with pytest.raises(
            SchemaError, match=f"has schema revision 9999, .* needs revision {SCHEMA_REVISION}.*newer"
        ):
            open_book(url)
    finally:
        with Database(url).write() as tx:
            tx.execute(text(f"UPDATE alembic_version SET version_num = '{SCHEMA_REVISION}'"))


@pytest.mark.parametrize(("oldest_program", "may"), [(SCHEMA_REVISION, True), ("0001", True), ("9998", False)])
def test_an_old_program_works_on_a_newer_schema_that_says_it_may(url: str, oldest_program: str, may: bool):
    with Database(url).write() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        tx.execute(text("INSERT INTO schema_compatibility VALUES ('9999', :oldest)"), oldest=oldest_program)
        # What the next version's migration added: a column with a default, and a table.
        tx.execute(text("ALTER TABLE jobs ADD COLUMN of_tomorrow INTEGER NOT NULL DEFAULT 0"))
    try:
        if not may:
            with pytest.raises(SchemaError, match="newer"):
                open_book(url)
            return
        book = open_book(url)
        book.record_instance(received("1.2.3", 1), "listener/1")
        book.association_closed("listener/1")
        book.sweep_complete(0, 300)
        assert book.claim("old worker", 60) is not None
        assert book.view("1.2.3")["state"] == "RUNNING"
        assert book.verify_audit().problems == ()
        book.close()
    finally:
        with Database(url).write() as tx:
            tx.execute(text("ALTER TABLE jobs DROP COLUMN of_tomorrow"))
            tx.execute(text("DELETE FROM schema_compatibility WHERE revision = '9999'"))
            tx.execute(text(f"UPDATE alembic_version SET version_num = '{SCHEMA_REVISION}'"))


def test_a_program_refuses_the_schema_of_the_one_before_it(url: str):
    with Database(url).write() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '0006'"))
    try:
        with pytest.raises(SchemaError, match=r"has schema revision 0006.*Run `bt-node db upgrade`"):
            open_book(url)
    finally:
        with Database(url).write() as tx:
            tx.execute(text(f"UPDATE alembic_version SET version_num = '{SCHEMA_REVISION}'"))


def test_times_come_from_the_database_and_are_seconds_since_1970(url: str):
    with Database(url).read() as tx:
        assert abs(tx.now - time.time()) < 5  # one machine here, so the clocks agree
    book = open_book(url)
    book.record_instance(received("1.2.3", 1), "")
    assert book.sweep_complete(3600, 300) == []
    assert len(book.sweep_complete(0, 300)) == 1
    job = book.claim("worker", 600)
    assert abs(job.analysed_at.timestamp() - time.time()) < 5
    book.close()


def test_sqlite_keeps_what_it_committed_through_a_power_cut(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'book.db'}"
    upgrade_schema(url)
    with Database(url).read() as tx:
        settings = {
            name: tx.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10000}


def test_a_reader_does_not_wait_for_a_writer(url: str):
    database = Database(url)
    with database.write() as writing:
        writing.execute(text("UPDATE jobs SET priority = 1"))
        started = time.monotonic()
        with database.read() as reading:
            reading.execute(text("SELECT count(*) FROM jobs"))
        assert time.monotonic() - started < 5
    database.close()


def test_a_transaction_that_raises_leaves_nothing_behind(url: str):
    database = Database(url)
    with pytest.raises(ZeroDivisionError), database.write() as tx:  # noqa: PT012
        tx.execute(text("INSERT INTO refusals VALUES (1, 0, 0, '', '', '', '')"))
        _ = 1 / 0
    with database.read() as tx:
        assert tx.execute(text("SELECT count(*) FROM refusals")).scalar_one() == 0
    database.close()


def test_a_server_that_is_down_is_said_without_the_password():
    with pytest.raises(BookUnavailableError) as caught:
        open_book("postgresql://node:geheim@127.0.0.1:1/book")
    assert "refused" in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_a_network_that_swallows_everything_is_not_waited_for_unless_the_url_says_so():
    assert patience(normalised("postgresql://db/book"))["tcp_user_timeout"] == 20_000
    own = patience(normalised("postgresql://db/book?tcp_user_timeout=90000"))
    assert "tcp_user_timeout" not in own
    assert own["connect_timeout"] == 10


def test_a_database_file_that_is_no_database_is_said_so(tmp_path: Path):
    file = tmp_path / "book.db"
    file.write_text("not a database" * 100)
    with pytest.raises(BookUnavailableError, match="not a database"):
        open_book(f"sqlite:///{file}")


def test_no_column_is_made_for_patient_data():
    columns = [f"{table.name}.{column.name}" for table in metadata.tables.values() for column in table.columns]
    assert [name for name in columns if any(word in name.split(".")[1].split("_") for word in PATIENT_WORDS)] == []


def test_the_migrations_folder_does_not_hide_the_library():
    code = "import alembic, alembic.command; print(alembic.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert not Path(done.stdout.strip()).is_relative_to(REPOSITORY / "alembic")
    assert not (REPOSITORY / "alembic" / "__init__.py").exists()
