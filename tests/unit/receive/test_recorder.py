"""Recording for several associations at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from fakes.receipt_book import FakeReceiptBook

from bt_node.domain.errors import BookUnavailableError, InstanceConflictError
from bt_node.domain.receipt import ReceivedInstance
from bt_node.receive.recorder import GroupRecorder


def instance(number: int, digest: str = "") -> ReceivedInstance:
    return ReceivedInstance(
        f"1.2.3.{number}", "1.2", "1.2.3", "1.2.3", "1.2.840.10008.1.2", "p", 1, digest or str(number), "A"
    )


class CountingBook(FakeReceiptBook):
    """Holds its first call until told, and notes how many came with each."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []
        self.go = threading.Event()

    def record_instances(self, received):
        self.calls.append(len(received))
        if len(self.calls) == 1:
            self.go.wait(10)
        if any(one.sop_instance_uid == "1.2.3.666" for one, _ in received):
            raise OSError("a row that the database does not take")
        return super().record_instances(received)


def together(recorder: GroupRecorder, book: CountingBook, numbers: list[int]) -> list[object]:
    """Record one, and the others while it is being recorded."""

    def record(number: int) -> object:
        try:
            recorder.record(instance(number), f"listener/{number}")
        except Exception as error:  # noqa: BLE001 - looked at by the test
            return error
        return None

    with ThreadPoolExecutor(len(numbers)) as pool:
        first = pool.submit(record, numbers[0])
        while not book.calls:
            pass
        others = [pool.submit(record, number) for number in numbers[1:]]
        while len(recorder._waiting) < len(numbers) - 1:
            pass
        book.go.set()
        return [each.result(10) for each in (first, *others)]


def test_who_comes_while_another_records_is_recorded_with_the_rest():
    book = CountingBook()
    assert together(GroupRecorder(book), book, list(range(1, 10))) == [None] * 9
    assert book.calls == [1, 8]
    assert len(book.instances) == 9


def test_a_conflict_is_told_to_whom_it_concerns_only():
    book = CountingBook()
    book.instances["1.2.3.5"] = replace(instance(5), digest="another")
    answers = together(GroupRecorder(book), book, [1, 4, 5, 6])
    assert [type(each) for each in answers] == [type(None), type(None), InstanceConflictError, type(None)]


def test_a_row_that_cannot_be_recorded_does_not_take_the_others_with_it():
    book = CountingBook()
    answers = together(GroupRecorder(book), book, [1, 2, 666, 3])
    assert [type(each) for each in answers] == [type(None), type(None), OSError, type(None)]
    assert set(book.instances) == {"1.2.3.1", "1.2.3.2", "1.2.3.3"}


def test_a_book_that_is_away_is_asked_once_for_all_who_wait():
    book = CountingBook()
    book.failing = BookUnavailableError("the server does not answer")
    answers = together(GroupRecorder(book), book, list(range(1, 10)))
    assert {type(each) for each in answers} == {BookUnavailableError}
    assert book.calls == [1, 8]


def test_a_book_that_is_away_is_told_to_everyone_and_comes_back():
    book = FakeReceiptBook()
    recorder = GroupRecorder(book)
    book.failing = OSError("away")
    for _ in range(3):
        with pytest.raises(OSError, match="away"):
            recorder.record(instance(1), "listener/1")
    book.failing = None
    recorder.record(instance(1), "listener/1")
    assert list(book.instances) == ["1.2.3.1"]


def test_many_threads_lose_no_row():
    book = FakeReceiptBook()
    recorder = GroupRecorder(book)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: recorder.record(instance(number), "listener/1"), range(2000)))
    assert len(book.instances) == 2000
    assert not recorder._recording
