"""A PostgreSQL that is there and answers nothing, and locks that somebody holds: nobody waits for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from job_desk import received
from postgres import PostgresServer
from sqlalchemy import text

from bt_node.domain.errors import BookUnavailableError
from bt_node.jobs import Ear, JobBook, open_book, upgrade_schema
from bt_node.jobs import patient_connection as patience
from bt_node.jobs.database import make_engine

STUDY = "1.2.3"


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    made = postgres.create_database("silent")
    upgrade_schema(made)
    return made


@pytest.fixture
def book(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobBook]:
    monkeypatch.setattr(patience, "ANSWER_WITHIN_SECONDS", 2.0)
    monkeypatch.setattr(patience, "SPARED_SECONDS", 1.0)
    opened = open_book(f"{url}&connect_timeout=2")
    opened.record_instance(received(STUDY, 1), "listener/1")  # a connection waits in the pool
    yield opened
    opened.close()


@contextmanager
def given_up_within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    with pytest.raises(BookUnavailableError):
        yield
    assert time.monotonic() - began < seconds


def test_a_frozen_server_is_given_up_and_taken_up_again(postgres: PostgresServer, book: JobBook):
    with postgres.frozen():
        with given_up_within(4):
            book.record_instance(received(STUDY, 2), "listener/1")
        with given_up_within(0.5):  # who comes next need not wait as long again
            book.record_instance(received(STUDY, 2), "listener/1")
        time.sleep(1)
        with given_up_within(4):  # a new connection, which is not answered either
            book.held_instances([received(STUDY, 2).sop_instance_uid])
    time.sleep(1)
    book.record_instance(received(STUDY, 2), "listener/1")
    assert book.held_instances([received(STUDY, 2).sop_instance_uid])


def test_a_server_that_freezes_in_a_transaction_is_given_up(postgres: PostgresServer, book: JobBook, url: str):
    frozen, go_on = threading.Event(), threading.Event()
    holder = make_engine(url)

    def freeze() -> None:
        with holder.begin() as connection:
            connection.execute(text("LOCK TABLE instances"))
            frozen.set()
            time.sleep(0.5)  # the book waits for the lock now
            with postgres.frozen():
                go_on.wait(20)

    holding = threading.Thread(target=freeze)
    holding.start()
    frozen.wait(10)
    with given_up_within(6):
        book.record_instance(received(STUDY, 2), "listener/1")
    go_on.set()
    holding.join()
    holder.dispose()
    time.sleep(1)
    book.record_instance(received(STUDY, 2), "listener/1")


def test_a_lock_that_somebody_holds_is_not_waited_for_without_end(book: JobBook, url: str):
    short = open_book(f"{url}&options=-c%20lock_timeout%3D1s")
    holder = make_engine(url)
    with holder.begin() as connection:
        connection.execute(text("LOCK TABLE instances"))
        with given_up_within(5):
            short.record_instance(received(STUDY, 2), "listener/1")
    short.record_instance(received(STUDY, 2), "listener/1")
    holder.dispose()
    short.close()


def settings_of(url: str, *, unhurried: bool) -> tuple[str, str]:
    engine = make_engine(url, unhurried=unhurried)
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT current_setting('lock_timeout'), current_setting('statement_timeout')")
        ).one()
    engine.dispose()
    return found[0], found[1]


def test_statements_are_bounded_and_migrations_are_not(
    url: str, monkeypatch: pytest.MonkeyPatch, postgres: PostgresServer
):
    assert settings_of(url, unhurried=False) == ("10s", "20s")
    assert settings_of(url, unhurried=True) == ("0", "0")
    monkeypatch.setattr(patience, "ANSWER_WITHIN_SECONDS", 0.5)
    empty = postgres.create_database("migrated slowly")
    holder = make_engine(empty)
    with holder.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(108252208522341)"))  # as another node's upgrade does
        upgrading = threading.Thread(target=upgrade_schema, args=(empty,))
        upgrading.start()
        upgrading.join(2)
        assert upgrading.is_alive()
    upgrading.join(60)
    holder.dispose()
    open_book(empty).close()


def test_who_only_listens_may_hear_nothing_for_long(url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(patience, "ANSWER_WITHIN_SECONDS", 0.5)
    ear = Ear(url, lambda _state: None)
    ear.start()
    assert ear.listens(20)
    engine = make_engine(url)
    own = text("SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = 'silent'")
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        before = connection.execute(own).scalar_one()
        time.sleep(3)
        assert connection.execute(own).scalar_one() == before
    engine.dispose()
    ear.stop()
