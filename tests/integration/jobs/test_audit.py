"""The audit trail: what is told, that nobody can change it unseen, and that many writers keep one chain."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from job_desk import Desk, received, refused
from postgres import PostgresServer
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from bt_node.domain.audit import AuditEvent, AuditRecord, Outcome
from bt_node.domain.errors import BookUnavailableError, IllegalMoveError
from bt_node.domain.states import JobState
from bt_node.jobs import JobBook, open_book, upgrade_schema
from bt_node.jobs.database import Database, make_engine

STUDY = "1.2.3"


def told(book: JobBook) -> list[tuple[str, str, dict[str, int], str]]:
    records = [entry.record for entry in book.audit_entries()]
    return [(each.event.value, each.actor, dict(each.studies), each.peer) for each in records]


def tamper(url: str, *statements: str) -> None:
    """What somebody with the database owner's rights can do."""
    engine = make_engine(url)
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE audit_trail DISABLE TRIGGER USER"))
        else:
            for name in ("update", "delete"):
                connection.execute(text(f"DROP TRIGGER audit_trail_no_{name}"))
        for statement in statements:
            connection.execute(text(statement))
        if connection.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE audit_trail ENABLE TRIGGER USER"))
    engine.dispose()


def test_an_association_is_one_entry_however_many_instances_it_brought(desk: Desk):
    desk.receive(STUDY, 5)
    assert told(desk.book) == [("instances-received", "listener", {STUDY: 5}, "SCANNER")]


def test_an_association_is_told_with_the_address_it_came_from(desk: Desk):
    desk.book.record_instance(received(STUDY, 1), "listener/1")
    desk.book.association_closed("listener/1", "10.1.2.3")
    (entry,) = desk.book.audit_entries()
    assert (entry.record.peer, entry.record.address) == ("SCANNER", "10.1.2.3")


def test_an_association_that_brought_nothing_leaves_no_entry(desk: Desk):
    desk.book.association_closed("listener/7")
    assert desk.book.audit_entries() == []


def test_what_a_killed_listener_had_received_is_told_at_its_next_start(desk: Desk):
    desk.book.record_instance(received(STUDY, 1), "listener/1")
    desk.book.listener_started("listener")
    (entry,) = desk.book.audit_entries()
    assert entry.record.outcome == Outcome.MINOR_FAILURE
    assert dict(entry.record.studies) == {STUDY: 1}


def test_reading_sending_and_deleting_are_told(desk: Desk):
    job_id = desk.publish(("1.9.1",))
    desk.book.record_delivery(job_id, "archive", refused("1.9.1"), 0.0, give_up=False)
    desk.deliver(job_id)
    desk.purge(job_id)
    assert told(desk.book)[1:] == [
        ("instances-accessed", "worker-1", {STUDY: 2}, ""),
        ("instances-sent", "delivery", {STUDY: 1}, "archive"),
        ("instances-sent", "delivery", {STUDY: 1}, "archive"),
        ("study-deleted", "retention", {STUDY: 3}, ""),
    ]
    sent = [entry.record.outcome for entry in desk.book.audit_entries() if entry.record.event == AuditEvent.SENT]
    assert sent == [Outcome.MINOR_FAILURE, Outcome.SUCCESS]


@pytest.mark.parametrize(
    ("state", "decide", "word"),
    [
        (JobState.READY, lambda book, job: book.cancel(job, "cli:ann"), "cancel"),
        (JobState.FAILED, lambda book, job: book.retry(job, "cli:ann"), "retry"),
        (JobState.HELD, lambda book, job: book.reject(job, "cli:ann", "no brain", ()), "reject"),
    ],
)
def test_what_a_person_decides_is_told_with_the_account(
    desk: Desk, state: JobState, decide: Callable[[JobBook, int], object], word: str
):
    job_id = desk.bring_to(state)
    decide(desk.book, job_id)
    last = desk.book.latest_audit_entries(1)[0].record
    assert (last.event, last.actor, last.detail) == (AuditEvent.DECIDED, "cli:ann", word)


def test_what_was_refused_to_a_person_is_not_told_as_done(desk: Desk):
    job_id = desk.bring_to(JobState.DONE)
    before = len(desk.book.audit_entries())
    with pytest.raises(IllegalMoveError):
        desk.book.cancel(job_id, "cli:ann")
    assert len(desk.book.audit_entries()) == before


CHANGES = ("UPDATE audit_trail SET entry = '{}'", "DELETE FROM audit_trail", "TRUNCATE audit_trail")


@pytest.mark.parametrize("change", CHANGES)
def test_the_database_refuses_changes(url: str, book: JobBook, change: str):
    if url.startswith("sqlite"):
        change = change.replace("TRUNCATE", "DELETE FROM")  # which it does not have
    book.note_audit(AuditRecord(AuditEvent.STARTED, "listener"))
    with pytest.raises((DatabaseError, BookUnavailableError), match="append-only"), Database(url).write() as tx:
        tx.execute(text(change))
    assert book.verify_audit().problems == ()
    assert book.verify_audit().entries == 1


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE audit_trail SET entry = replace(entry, 'one', 'two') WHERE number = 2", "entry 2 was changed"),
        ("UPDATE audit_trail SET at = at + 1 WHERE number = 2", "entry 2 was changed"),
        ("DELETE FROM audit_trail WHERE number = 2", "entries 2 to 2 are missing"),
        ("DELETE FROM audit_trail WHERE number = 1", "entries 1 to 1 are missing"),
    ],
)
def test_a_change_by_the_owner_of_the_database_is_found(url: str, book: JobBook, statement: str, problem: str):
    for _ in range(3):
        book.note_audit(AuditRecord(AuditEvent.STARTED, "one"))
    assert book.verify_audit().problems == ()
    tamper(url, statement)
    assert any(problem in found for found in book.verify_audit().problems)
    if url.startswith("sqlite"):
        assert any("triggers are gone" in found for found in book.verify_audit().problems)


def test_a_trail_cut_at_its_end_is_found_by_an_entry_kept_elsewhere(url: str, book: JobBook):
    for _ in range(3):
        book.note_audit(AuditRecord(AuditEvent.STARTED, "one"))
    kept = book.verify_audit()
    anchor = (kept.entries, kept.last_hash)
    assert book.verify_audit(anchor).problems == ()
    tamper(url, "DELETE FROM audit_trail WHERE number = 3")
    assert any("ends with entry 2, but entry 3 was there" in each for each in book.verify_audit(anchor).problems)
    book.note_audit(AuditRecord(AuditEvent.STOPPED, "one"))
    assert any("entry 3 is not the one" in each for each in book.verify_audit(anchor).problems)


def test_several_processes_write_one_chain(url: str, book: JobBook):
    code = """
import sys
import threading
from bt_node.domain.audit import AuditEvent, AuditRecord
from bt_node.jobs import open_book
book = open_book(sys.argv[1])
for number in range(20):
    book.note_audit(AuditRecord(AuditEvent.STARTED, sys.argv[2]))
"""
    writers = [subprocess.Popen([sys.executable, "-c", code, url, f"writer-{number}"]) for number in range(3)]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    found = book.verify_audit()
    assert (found.entries, found.problems) == (60, ())


def test_what_cannot_be_told_does_not_happen(url: str, desk: Desk):
    job_id = desk.make_ready(STUDY)
    before = len(desk.book.audit_entries())
    if url.startswith("sqlite"):
        full = "CREATE TRIGGER full_disk BEFORE INSERT ON audit_trail BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        room = "DROP TRIGGER full_disk"
    else:
        full = "ALTER TABLE audit_trail ADD CONSTRAINT full_disk CHECK (number < 0) NOT VALID"
        room = "ALTER TABLE audit_trail DROP CONSTRAINT full_disk"
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(text(full))
    try:
        with pytest.raises((DatabaseError, BookUnavailableError)):
            desk.book.cancel(job_id, "cli:ann")
        with pytest.raises((DatabaseError, BookUnavailableError)):
            desk.book.claim("worker", 60)
        assert desk.state(job_id) == JobState.READY
    finally:
        with engine.begin() as connection:
            connection.execute(text(room))
        engine.dispose()
    desk.book.cancel(job_id, "cli:ann")
    assert len(desk.book.audit_entries()) == before + 1


def test_a_receiver_is_never_set_back(book: JobBook):
    assert book.exported_until("syslog") == 0
    book.note_exported("syslog", 7)
    book.note_exported("syslog", 3)
    assert book.exported_until("syslog") == 7


def test_the_trail_goes_through_a_new_connection_unchanged(url: str, book: JobBook):
    record = AuditRecord(
        AuditEvent.RECEIVED, "listener", {"1.2": 3}, "SCANNER", "10.0.0.1", "a word", Outcome.SUCCESS
    )
    book.note_audit(record)
    again = open_book(url)
    (entry,) = again.audit_entries()
    again.close()
    assert entry.record == record
    assert entry.number == 1


def test_an_account_that_owns_nothing_can_add_to_the_trail_and_not_switch_off_its_guard(postgres: PostgresServer):
    upgrade_schema(postgres.create_database("granted"))
    rights = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO bt_node_app"
    sequences = "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO bt_node_app"
    audit_only = "REVOKE UPDATE, DELETE ON audit_trail FROM bt_node_app"
    postgres.execute(f"CREATE ROLE bt_node_app LOGIN; {rights}; {sequences}; {audit_only}", "granted")
    url = postgres.url("granted").replace("postgres@", "bt_node_app@")
    book = open_book(url)
    book.record_instance(received(STUDY, 1), "listener/1")
    book.association_closed("listener/1")
    assert (book.verify_audit().entries, book.verify_audit().problems) == (1, ())
    with pytest.raises(DatabaseError, match=r"must be owner|permission denied"):
        tamper(url, "DELETE FROM audit_trail")
    book.close()


def test_who_waits_for_a_row_does_not_hold_the_trail(postgres: PostgresServer):
    """Or two transactions, each with what the other wants, would wait for one another until one is thrown out."""
    url = postgres.create_database("waiting")
    upgrade_schema(url)
    book = open_book(url)
    book.record_instance(received(STUDY, 1), "listener/1")
    engine = make_engine(url)
    closing = threading.Thread(target=book.association_closed, args=("listener/1",))
    with engine.begin() as connection:
        connection.execute(text("SELECT * FROM open_associations FOR UPDATE"))
        closing.start()
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        while not connection.execute(waiting).scalar_one():
            closing.join(0.02)
            assert closing.is_alive()
        held = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted")
        assert connection.execute(held).scalar_one() == 0
    closing.join(60)
    engine.dispose()
    assert len(book.audit_entries()) == 1
    book.close()
