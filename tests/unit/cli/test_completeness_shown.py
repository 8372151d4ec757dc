"""The administrator at three in the morning sees why a study waits, or why it went on."""

from __future__ import annotations

from typing import Any

import pytest

from bt_node.cli.completeness import print_completeness

MR = {"series_number": 7, "modality": "MR", "counted": True}
EVIDENCE: dict[str, Any] = {
    "arrived": [{"series_instance_uid": "1.2.7", "series_number": 7, "instances": 25, "last_received_at": 1.8e9}],
    "asked": [
        {
            "source": "PACS",
            "series": [
                {"series_instance_uid": "1.2.7", "instances": 27, **MR},
                {"series_instance_uid": "1.2.9", **MR, "series_number": 9, "instances": None, "counted": False},
                {"series_instance_uid": "1.2.8", **MR, "series_number": 8, "instances": 1, "modality": "SR"},
            ],
        },
        {"source": "ROUTER", "series": None},
    ],
}
WAITS = {"begun_at": "t0", "at": "t1", "images": 25, "complete": False, "reason": "waits for series 7"}


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]


def test_decisions_and_the_counts_they_rest_on_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    print_completeness({"completeness": [WAITS | {"evidence": EVIDENCE}]})
    assert rows(capsys.readouterr().out) == [
        ["t0", "t1", "25", "waits", "waits for series 7"],
        ["7", "1.2.7", "25", "27 (counted)", "2027-01-15T08:00:00+00:00"],
        ["9", "1.2.9", "0", "not told", ""],
        ["8", "1.2.8", "0", "1 (counted) SR", ""],
    ]


def test_a_job_about_which_nothing_was_decided_yet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    print_completeness({"completeness": []})
    assert capsys.readouterr().out == ""


def test_a_decision_by_quiet_time_alone_has_no_counts(capsys: pytest.CaptureFixture[str]) -> None:
    print_completeness({"completeness": [WAITS | {"complete": True, "evidence": {}}]})
    assert rows(capsys.readouterr().out) == [["t0", "t1", "25", "goes on", "waits for series 7"]]
