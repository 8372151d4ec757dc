"""Below min_free_mib nothing new is begun, and it goes on by itself."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from bt_node.config import Config, Storage
from bt_node.receive.spool import Spool
from bt_node.runtime.disk_guard import DiskGuard, why_paused
from bt_node.runtime.timetable import build_timetable


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Free MiB at every spool; the test sets them."""
    mib = [5000.0]
    monkeypatch.setattr(Spool, "free_mib", lambda _: mib[0])
    return mib


def test_it_says_why_it_pauses(tmp_path: Path, free: list[float]):
    spool = Spool(tmp_path, 2048)
    assert why_paused(spool) == ""
    free[0] = 12.3
    assert why_paused(spool) == "paused: 12 MiB free at the spool, less than min_free_mib = 2048"


def test_it_is_logged_when_it_begins_and_when_it_ends(
    tmp_path: Path, free: list[float], caplog: pytest.LogCaptureFixture
):
    guard = DiskGuard(Spool(tmp_path, 2048))
    with caplog.at_level(logging.INFO):
        seen = []
        for free[0] in (5000, 10, 9, 8, 2048):
            seen.append(guard.has_room())
    assert seen == [True, False, False, False, True]
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_the_worker_claims_nothing_while_the_disk_is_full(tmp_path: Path, free: list[float]):
    ran: list[int] = []

    class Runner:
        def run_next(self) -> bool:
            ran.append(1)
            return False

    config = Config(storage=Storage(spool=tmp_path, min_free_mib=2048))
    keeper = SimpleNamespace(sweep=None, complete=None, mend=None, retain=None, scrub=None)
    work = build_timetable(config, Runner(), [], keeper).action("work")
    free[0] = 10
    work()
    assert ran == []
    free[0] = 5000
    work()
    assert ran == [1]
