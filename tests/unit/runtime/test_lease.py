"""A lease is kept alive, and a lost one ends the trip."""

import threading
import time

import pytest

from bt_node.domain.errors import LeaseLostError
from bt_node.runtime.lease import Lease, WorkerStoppingError


class Book:
    def __init__(self, answers: list[bool | Exception]) -> None:
        self.answers, self.asked = answers, 0

    def renew_lease(self, job_id: int, token: int, lease_seconds: float) -> bool:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if isinstance(answer, Exception):
            raise answer
        return answer


def lease(book: Book, seconds: float = 0.4) -> Lease:
    return Lease(book, 7, 3, seconds, threading.Event())


def wait_until(condition, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_a_renewed_lease_outlives_its_length() -> None:
    book = Book([True])
    with lease(book) as kept:
        wait_until(lambda: book.asked >= 8)
        kept.check()


def test_a_lease_that_the_book_gave_to_another_ends_the_trip() -> None:
    book = Book([False])
    with lease(book) as lost:
        wait_until(lambda: book.asked >= 1)
        time.sleep(0.05)
        with pytest.raises(LeaseLostError):
            lost.check()


def test_a_database_that_is_away_for_one_renewal_loses_nothing() -> None:
    book = Book([ConnectionError("restarting"), True])
    with lease(book, 1.0) as kept:
        wait_until(lambda: book.asked >= 3)
        kept.check()


def test_a_database_that_stays_away_longer_than_the_lease_ends_nothing() -> None:
    book = Book([ConnectionError("gone")])
    with lease(book, 0.05) as kept:
        wait_until(lambda: book.asked >= 8)
        kept.check()
    book = Book([*[ConnectionError("gone")] * 8, False])
    with lease(book, 0.05) as lost:
        wait_until(lambda: book.asked >= 9)
        time.sleep(0.05)
        with pytest.raises(LeaseLostError):
            lost.check()


def test_a_stopping_worker_hands_the_job_back() -> None:
    stopping = threading.Event()
    stopping.set()
    with Lease(Book([True]), 7, 3, 5.0, stopping) as kept, pytest.raises(WorkerStoppingError):
        kept.check()
