"""Statuses in words, pauses, and the values of a delivery."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bt_node.deliver.folder import FolderSummary
from bt_node.deliver.pause import pause_before_attempt
from bt_node.deliver.peer import Peer
from bt_node.deliver.statuses import verdict
from bt_node.domain.result import SendOutcome


@pytest.mark.parametrize("status", [0x0000, 0xB000, 0xB006, 0xB007])
def test_success_and_the_three_storage_warnings_mean_stored(status: int) -> None:
    assert verdict(status).delivered
    assert verdict(status).detail.startswith("stored")


@pytest.mark.parametrize(
    ("status", "words", "permanent"),
    [
        (0xA700, "out of resources", False),
        (0xA7FF, "out of resources", False),
        (0xA900, "data set does not match SOP class", True),
        (0xC000, "cannot understand", True),
        (0xCFFE, "cannot understand", True),
        (0x0122, "SOP class not supported", True),
        (0x0124, "not authorised", False),
        (0x0110, "processing failure", False),
        (0xB001, "unknown status", False),
        (0x1234, "unknown status", False),
    ],
)
def test_a_failure_is_named_with_its_number_and_whether_a_repeat_can_help(
    status: int, words: str, permanent: bool
) -> None:
    said = verdict(status)
    assert not said.delivered
    assert said.detail == f"refused: {words} (0x{status:04X})"
    assert said.permanent is permanent


@given(st.integers(0, 0xFFFF))
def test_only_four_statuses_count_as_delivered(status: int) -> None:
    assert verdict(status).delivered is (status in {0x0000, 0xB000, 0xB006, 0xB007})


def test_pauses_double_from_the_first_to_the_longest() -> None:
    assert [pause_before_attempt(n, 30, 600) for n in range(7)] == [0, 30, 60, 120, 240, 480, 600]


@given(st.integers(1, 100_000), st.floats(0.1, 100), st.floats(100, 10_000))
def test_a_pause_never_shrinks_and_never_exceeds_the_longest(attempt: int, first: float, longest: float) -> None:
    assert first <= pause_before_attempt(attempt, first, longest) <= longest
    assert pause_before_attempt(attempt, first, longest) <= pause_before_attempt(attempt + 1, first, longest)


@pytest.mark.parametrize(
    ("title", "host", "port"),
    [
        ("", "pacs", 104),
        (" ", "pacs", 104),
        ("SEVENTEEN_LETTERS", "pacs", 104),
        ("A\\B", "pacs", 104),
        ("PÄCS", "pacs", 104),
        ("PACS", "", 104),
        ("PACS", "pacs", 0),
        ("PACS", "pacs", 65536),
    ],
)
def test_a_peer_that_no_association_can_name_is_not_born(title: str, host: str, port: int) -> None:
    with pytest.raises(ValueError, match=r"AE title|host|port"):
        Peer(title, host, port)


def test_the_summary_counts_each_answer_and_what_was_skipped() -> None:
    outcomes = tuple(SendOutcome(f"1.{n}", 0, delivered=True, detail="stored") for n in range(3))
    refused = SendOutcome("1.9", 0xA700, delivered=False, detail="refused: out of resources (0xA700)")
    summary = FolderSummary((*outcomes, refused), directories=1, others=2)
    assert not summary.all_stored
    assert str(summary).splitlines() == [
        "3 of 4 objects stored",
        "  3 × stored",
        "  1 × refused: out of resources (0xA700)",
        "  skipped: 1 DICOMDIR, 2 not DICOM",
    ]
    assert FolderSummary(outcomes).all_stored
    assert not FolderSummary(()).all_stored
