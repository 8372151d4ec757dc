"""What a disk lost is found by reading it again, slowly, and named."""

from __future__ import annotations

import pytest
from node_bench import Bench

from bt_node.runtime.scrub import Scrubber

MIB = 1024 * 1024


def named(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


def test_damaged_and_lost_files_are_named_and_sound_ones_are_not(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    files = [bench.spool.absolute(bench.receive(number).path) for number in range(1, 5)]
    scrubber = Scrubber(bench.book, bench.spool, 1.0)
    for _ in range(2):  # it begins anywhere
        scrubber.round()
    assert named(caplog) == []
    files[1].write_bytes(b"")
    files[2].unlink()
    for _ in range(2):
        scrubber.round()
    assert set(named(caplog)) == {
        "job 1: instance 1.2.3.1.2 is not what was received; send it again",
        "job 1: instance 1.2.3.1.3 is gone from the spool; send it again",
    }
    caplog.clear()
    for number in (2, 3):
        bench.receive(number)
    for _ in range(2):
        scrubber.round()
    assert named(caplog) == []


def test_its_pace_is_bounded_and_it_comes_to_every_file(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 9):
        bench.receive(number, size_bytes=MIB)
    read: list[str] = []
    monkeypatch.setattr(Scrubber, "_read", lambda _, file: read.append(file.sop_instance_uid))
    scrubber = Scrubber(bench.book, bench.spool, 2.0)
    counts = []
    for _ in range(12):
        before = len(read)
        scrubber.round()
        counts.append(len(read) - before)
    assert max(counts) == 2
    assert len(set(read)) == 8


def test_a_large_file_is_made_up_for_in_the_rounds_after(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 4):
        bench.receive(number, size_bytes=10 * MIB)
    read: list[str] = []
    monkeypatch.setattr(Scrubber, "_read", lambda _, file: read.append(file.sop_instance_uid))
    monkeypatch.setattr("random.randint", lambda low, _: low)
    scrubber = Scrubber(bench.book, bench.spool, 2.0)
    for _ in range(10):
        scrubber.round()
    assert len(read) == 2


def test_what_retention_takes_away_meanwhile_is_not_missed(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = bench.make_ready()
    bench.book.cancel(job_id, "test")
    look = Scrubber._look_at

    def purged_first(scrubber: Scrubber, file: object) -> object:
        if bench.book.view(job_id)["purged_at"] is None:
            bench.book.purge(job_id, lambda paths: [bench.spool.remove(path) for path in paths])
        return look(scrubber, file)

    monkeypatch.setattr(Scrubber, "_look_at", purged_first)
    scrubber = Scrubber(bench.book, bench.spool, 1.0)
    for _ in range(2):
        scrubber.round()
    assert named(caplog) == []
