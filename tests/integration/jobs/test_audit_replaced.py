"""What SQLite calls INSERT OR REPLACE takes a row away and fires no DELETE trigger."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError, IntegrityError

from bt_node.domain.audit import AuditEvent, AuditRecord
from bt_node.domain.errors import BookUnavailableError
from bt_node.jobs import JobBook
from bt_node.jobs.database import Database

_AS_THE_LAST = "SELECT {rowid}{number}, at, event, '{{}}', {previous}, hash FROM audit_trail WHERE number = 3"
_COLUMNS = "number, at, event, entry, previous, hash"


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("columns", "values"),
    [
        (_COLUMNS, _AS_THE_LAST.format(rowid="", number="number", previous="previous")),
        (_COLUMNS, _AS_THE_LAST.format(rowid="", number="number", previous="'other'")),
        (_COLUMNS, _AS_THE_LAST.format(rowid="", number="number + 1", previous="previous")),
        (f"rowid, {_COLUMNS}", _AS_THE_LAST.format(rowid="rowid, ", number="number + 1", previous="'other'")),
    ],
    ids=["itself", "by its number", "by what it follows", "by its place"],
)
def test_no_entry_can_be_replaced(url: str, book: JobBook, columns: str, values: str):
    for _ in range(3):
        book.note_audit(AuditRecord(AuditEvent.STARTED, "one"))
    before = book.verify_audit()
    with (
        pytest.raises((DatabaseError, BookUnavailableError), match="append-only"),
        Database(url).write() as tx,
    ):
        tx.execute(text(f"INSERT OR REPLACE INTO audit_trail ({columns}) {values}"))
    assert book.verify_audit() == before
    book.note_audit(AuditRecord(AuditEvent.STOPPED, "one"))
    assert (book.verify_audit().entries, book.verify_audit().problems) == (4, ())


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_postgresql_takes_on_conflict_for_the_update_that_it_is(url: str, book: JobBook):
    book.note_audit(AuditRecord(AuditEvent.STARTED, "one"))
    insert = f"INSERT INTO audit_trail SELECT {_COLUMNS} FROM audit_trail ON CONFLICT"
    with pytest.raises((DatabaseError, BookUnavailableError), match="append-only"), Database(url).write() as tx:
        tx.execute(text(f"{insert} (number) DO UPDATE SET entry = '{{}}'"))
    with pytest.raises(IntegrityError), Database(url).write() as tx:
        tx.execute(text(insert.removesuffix(" ON CONFLICT")))
    assert (book.verify_audit().entries, book.verify_audit().problems) == (1, ())


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_missing_guard_against_replacing_is_noticed(url: str, book: JobBook):
    with Database(url).write() as tx:
        tx.execute(text("DROP TRIGGER audit_trail_no_replace"))
    assert any("triggers are gone" in found for found in book.verify_audit().problems)
