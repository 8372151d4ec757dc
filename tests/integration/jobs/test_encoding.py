"""A PostgreSQL made without an encoding (SQL_ASCII, as initdb makes it where no locale is set) serves as well."""

from __future__ import annotations

from job_desk import received
from postgres import PostgresServer

from bt_node.jobs import open_book, upgrade_schema


def test_a_database_without_an_encoding_takes_text_and_gives_it_back(postgres: PostgresServer) -> None:
    url = postgres.create_database("ascii")
    postgres.execute('DROP DATABASE "ascii"')
    postgres.execute("CREATE DATABASE \"ascii\" ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    upgrade_schema(url)
    book = open_book(url)
    try:
        book.record_instance(received("1.2.3", 1), "listener/1")
        assert book.held_instances([received("1.2.3", 1).sop_instance_uid])
    finally:
        book.close()
