"""The job book is a receipt book: the listener's contract, on both databases."""

from __future__ import annotations

import pytest
from contract.receipt_book import ReceiptBookContract

from bt_node.domain.states import JobState
from bt_node.jobs import JobBook


class TestJobBookAsReceiptBook(ReceiptBookContract):
    @pytest.fixture
    def book(self, url: str, clock):
        from bt_node.jobs import open_book

        opened = open_book(url, now=clock)
        yield opened
        opened.close()

    def open_studies(self, book: JobBook) -> set[str]:
        studies = [summary.study_instance_uid for summary in book.summaries(JobState.RECEIVING)]
        return {uid for uid in studies if "open association" in book.view(uid)["waiting_for"]}
