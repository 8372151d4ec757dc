"""A SQLite file that somebody locks, deletes or exchanges while the node runs."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from job_desk import received
from receive_cases import encoded as encoded_dataset
from receive_cases import mr_slice

from bt_node.domain.errors import BookUnavailableError
from bt_node.jobs import JobBook, open_book, sqlite_file, upgrade_schema
from bt_node.receive.instance import StoreRequest
from bt_node.receive.spool import Spool
from bt_node.receive.store import StoreScp

LOCK = 2.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "book.db"
    upgrade_schema(f"sqlite:///{made}")
    return made


@pytest.fixture
def book(file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobBook]:
    monkeypatch.setattr(sqlite_file, "LOCK_SECONDS", LOCK)
    opened = open_book(f"sqlite:///{file}")
    yield opened
    opened.close()


@contextmanager
def locked(file: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.execute("ROLLBACK")


def c_store(scp: StoreScp, number: int) -> tuple[int, float]:
    """Status, and how long it took (s)."""
    ds = mr_slice(number)
    uids = (str(ds.SOPClassUID), str(ds.SOPInstanceUID), str(ds.SOPClassUID))
    began = time.monotonic()
    reception = scp.begin(StoreRequest(*uids, "1.2.840.10008.1.2.1", "SCANNER", "BT_NODE"), "listener/1")
    reception.write(encoded_dataset(ds))
    status = reception.answer().status
    return status, time.monotonic() - began


def test_a_c_store_on_a_locked_book_waits_once_and_not_three_times(book: JobBook, file: Path, tmp_path: Path) -> None:
    scp = StoreScp(Spool(tmp_path / "spool"), book)
    assert c_store(scp, 1)[0] == 0x0000
    with locked(file):
        status, seconds = c_store(scp, 2)
        assert status == 0xA700
        assert seconds < 1.5 * LOCK
        for number in (1, 2):  # sent again: the next one need not wait as long for what nobody gets
            status, seconds = c_store(scp, number)
            assert (status, seconds < LOCK / 2) == (0xA700, True)
    assert c_store(scp, 2)[0] == 0x0000


def test_many_that_come_while_one_waits_wait_no_longer_in_all(book: JobBook, file: Path, tmp_path: Path) -> None:
    scp = StoreScp(Spool(tmp_path / "spool"), book)
    with locked(file), ThreadPoolExecutor(8) as senders:
        answers = list(senders.map(lambda number: c_store(scp, number), range(1, 9)))
    assert {status for status, _ in answers} == {0xA700}
    assert max(seconds for _, seconds in answers) < 2 * LOCK


def test_a_short_lock_is_waited_for(book: JobBook, file: Path) -> None:
    begun, over = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(file):
            begun.set()
            over.wait(LOCK / 4)

    holding = threading.Thread(target=hold)
    holding.start()
    begun.wait(10)
    book.record_instance(received("1.2.3", 1), "")
    holding.join()


def test_migrations_wait_longer_than_the_node_does(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "LOCK_SECONDS", 0.1)
    with locked(file):
        upgrading = threading.Thread(target=upgrade_schema, args=(f"sqlite:///{file}",))
        upgrading.start()
        upgrading.join(1.0)
        assert upgrading.is_alive()
    upgrading.join(30)
    assert not upgrading.is_alive()


def with_companions(file: Path) -> list[Path]:
    return [path for path in (file, Path(f"{file}-wal"), Path(f"{file}-shm")) if path.exists()]


@pytest.mark.parametrize("instead", ["nothing", "another database"])
def test_a_file_that_was_deleted_or_exchanged_is_noticed_and_none_is_made(
    book: JobBook, file: Path, tmp_path: Path, instead: str
) -> None:
    """What is written to a deleted file is written nowhere, and every answer would be a lie."""
    book.record_instance(received("1.2.3", 1), "")
    aside = tmp_path / "aside"
    aside.mkdir()
    moved = [path.rename(aside / path.name) for path in with_companions(file)]
    if instead != "nothing":
        upgrade_schema(f"sqlite:///{file}")
    for _ in range(3):
        with pytest.raises(BookUnavailableError, match="deleted or exchanged"):
            book.record_instance(received("1.2.3", 2), "")
        with pytest.raises(BookUnavailableError, match="deleted or exchanged"):
            book.held_leases()
    assert file.exists() is (instead != "nothing")
    for path in with_companions(file):
        path.unlink()
    for path in moved:
        path.rename(file.with_name(path.name))
    book.record_instance(received("1.2.3", 2), "")
    assert book.view("1.2.3")["instances"] == 2
