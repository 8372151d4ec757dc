"""Unforeseen errors leave the place in the code in the log, and nothing of the patient."""

import logging

import pytest

from bt_node.domain.errors import SliceGapError
from bt_node.runtime.edges import log_error


def test_the_place_is_logged_and_a_foreign_message_is_not(caplog: pytest.LogCaptureFixture) -> None:
    patient = "Doe^Jane"  # as a header value would be quoted by a library
    try:
        int(patient)
    except ValueError as error:
        log_error(logging.getLogger("test"), "job 1", error)
    assert "test_edges.py" in caplog.text
    assert "ValueError" in caplog.text
    assert "Doe" not in caplog.text


def test_our_own_errors_are_logged_with_facts_and_code(caplog: pytest.LogCaptureFixture) -> None:
    log_error(logging.getLogger("test"), "job 1", SliceGapError("1.2", 10.0, 5.0, 20.0))
    assert "10.00 mm apart" in caplog.text
    assert "[slice-gap]" in caplog.text
