"""A database that goes back in time under living processes: a dump is restored, a replica that lagged takes over."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from receive_cases import encoded, mr_slice
from sqlalchemy import insert, select, text

from bt_node.domain.errors import BookUnavailableError, LeaseLostError
from bt_node.jobs import JobBook, RunRecord, open_book
from bt_node.jobs.database import make_engine
from bt_node.jobs.tables import metadata
from bt_node.receive.instance import StoreRequest
from bt_node.receive.spool import Spool
from bt_node.receive.store import StoreScp
from bt_node.runtime.reconciler import Reconciler

Dump = Callable[[], Callable[[], None]]
PASSES = 3  # after two that found it in order a folder is left alone


@pytest.fixture
def dump(url: str) -> Dump:
    """Keeps what is in the database now; what it returns puts that back, while others have it open."""
    return _sqlite_dump(url) if url.startswith("sqlite") else _postgres_dump(url)


def _sqlite_dump(url: str) -> Dump:
    file = url.removeprefix("sqlite:///")

    def keep() -> Callable[[], None]:
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(f"{file}.dump")) as target:
            source.backup(target)

        def restore() -> None:
            with closing(sqlite3.connect(f"{file}.dump")) as source, closing(sqlite3.connect(file)) as target:
                source.backup(target)

        return restore

    return keep


def _postgres_dump(url: str) -> Dump:
    def keep() -> Callable[[], None]:
        engine = make_engine(url)
        with engine.begin() as connection:
            kept = {table: connection.execute(select(table)).mappings().all() for table in metadata.sorted_tables}
            numbers = {
                name: connection.execute(text(f"SELECT last_value, is_called FROM {name}")).one()
                for name in connection.execute(text("SELECT sequencename FROM pg_sequences")).scalars().all()
            }

        def restore() -> None:
            with engine.begin() as connection:
                connection.execute(text("SET session_replication_role = replica"))  # the audit trail refuses DELETE
                for table in reversed(metadata.sorted_tables):
                    connection.execute(table.delete())
                for table, rows in kept.items():
                    if rows:
                        connection.execute(insert(table), [dict(row) for row in rows])
                for name, (last, called) in numbers.items():
                    connection.execute(text(f"SELECT setval('{name}', {last}, {called})"))
                connection.execute(text("SET session_replication_role = DEFAULT"))
            engine.dispose()

        return restore

    return keep


class Node:
    """A listener's C-STORE and a worker's reconciler that go on living."""

    def __init__(self, url: str, folder: Path) -> None:
        self.book: JobBook = open_book(url)
        spool = Spool(folder / "spool")
        self._scp, self._reconciler = StoreScp(spool, self.book), Reconciler(self.book, spool)

    def receive(self, number: int, study: str, series: int = 1) -> None:
        facts = {"StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.{series}"}
        ds = mr_slice(number, SOPInstanceUID=f"{study}.{series}.{number}", **facts)
        uids = (str(ds.SOPClassUID), str(ds.SOPInstanceUID), str(ds.SOPClassUID))
        reception = self._scp.begin(StoreRequest(*uids, "1.2.840.10008.1.2.1", "SCANNER", "BT_NODE"), "listener/1")
        reception.write(encoded(ds))
        assert reception.answer().status == 0

    def reconcile(self, passes: int = PASSES) -> None:
        for _ in range(passes):
            self._reconciler.mend()

    def has(self, study: str) -> int:
        return self.book.recorded_by_study().get(study, 0)


@pytest.fixture
def node(url: str, tmp_path: Path) -> Iterator[Node]:
    made = Node(url, tmp_path)
    yield made
    made.book.close()


def test_what_was_acknowledged_since_is_known_again_after_the_next_pass(node: Node, dump: Dump) -> None:
    node.receive(1, "1.2.3")
    restore = dump()
    node.receive(2, "1.2.3")
    node.receive(1, "1.2.4")
    node.reconcile()
    restore()
    assert (node.has("1.2.3"), node.has("1.2.4")) == (1, 0)
    node.reconcile(1)
    assert (node.has("1.2.3"), node.has("1.2.4")) == (2, 1)


def test_as_many_new_images_do_not_hide_those_that_the_database_lost(node: Node, dump: Dump) -> None:
    node.receive(1, "1.2.3")
    restore = dump()
    node.receive(2, "1.2.3")
    node.reconcile()
    restore()
    node.receive(3, "1.2.3", series=2)
    assert node.has("1.2.3") == 2
    node.reconcile(1)
    assert node.has("1.2.3") == 3


def test_tables_that_are_away_while_a_dump_is_restored_are_a_book_that_is_away(node: Node, url: str) -> None:
    """Else a worker that ends a run this moment would take it for a mistake, and throw its results away."""
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE jobs RENAME TO away"))
    with pytest.raises(BookUnavailableError):
        node.book.held_leases()
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO jobs"))
    engine.dispose()
    assert node.book.held_leases() == []


def test_what_the_dump_has_and_what_was_purged_is_not_taken_for_new(node: Node, dump: Dump) -> None:
    node.receive(1, "1.2.3")
    node.reconcile()
    dump()()
    node.reconcile()
    assert node.has("1.2.3") == 1


def test_a_worker_cannot_end_another_study_that_has_the_number_of_its_job_now(node: Node, dump: Dump) -> None:
    """Job numbers and the count of claims go back, too."""
    restore = dump()
    node.receive(1, "1.2.3")
    node.book.association_closed("listener/1")
    [number] = node.book.sweep_complete(0.0, 300.0)
    before = node.book.claim("one", 60.0)
    restore()
    node.receive(1, "1.2.4")
    node.book.association_closed("listener/1")
    again = node.book.sweep_complete(0.0, 300.0)
    now = node.book.claim("other", 60.0)
    assert before is not None
    assert now is not None
    assert now.study_instance_uid == "1.2.4"
    assert again == [number]
    with pytest.raises(LeaseLostError):
        node.book.publish(before.id, before.token, RunRecord(), [], ())
    assert not node.book.renew_lease(before.id, before.token, 60.0)
    node.book.publish(now.id, now.token, RunRecord(), [], ())
