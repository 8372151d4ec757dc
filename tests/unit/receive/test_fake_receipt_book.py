"""The fake that the receive tests use passes the contract of the real job book."""

from __future__ import annotations

import pytest
from contract.receipt_book import ReceiptBookContract
from fakes.receipt_book import FakeReceiptBook


class TestFakeReceiptBook(ReceiptBookContract):
    @pytest.fixture
    def book(self) -> FakeReceiptBook:
        return FakeReceiptBook()

    def open_studies(self, book: FakeReceiptBook) -> set[str]:
        return {study for _, study in book.open}
