"""The spool is moved away, or its disk is not mounted: nothing is written beside it, and nothing is given up."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from node_bench import STUDY, Bench, encoded
from receive_cases import Node, associate, mr_slice, send

from bt_node.config import Config, Database, Storage
from bt_node.deliver.peer import OutgoingFile
from bt_node.domain.states import JobState
from bt_node.jobs import RunRecord, StoredResult
from bt_node.receive.errors import SpoolGoneError, WrongSpoolError
from bt_node.receive.spool import MARK, Spool
from bt_node.runtime.courier import Courier, CourierSettings
from bt_node.runtime.disk_guard import why_paused
from bt_node.runtime.health import run_checks
from bt_node.runtime.housekeeping import Housekeeper
from bt_node.runtime.own_spool import own_spool


@pytest.fixture
def config(bench: Bench) -> Config:
    return Config(
        storage=Storage(spool=bench.spool.root, min_free_mib=0, retention_days=1e-9), database=Database(url=bench.url)
    )


def spool_check(config: Config) -> tuple[bool, str]:
    return next((each.ok, each.detail) for each in run_checks(config) if each.name == "spool")


def test_a_new_spool_is_marked_at_its_first_use(bench: Bench, config: Config) -> None:
    assert spool_check(config)[0]
    assert not bench.spool.root.exists(), "check changes nothing"
    own_spool(config, bench.book)
    assert (bench.spool.root / MARK).is_file()


def test_the_spool_of_an_older_version_is_known_by_its_files(bench: Bench, config: Config) -> None:
    bench.receive()
    assert spool_check(config)[0]
    own_spool(config, bench.book)
    assert (bench.spool.root / MARK).is_file()


@pytest.mark.parametrize("left", ["nothing", "an empty folder"])
def test_a_folder_without_marker_and_files_is_not_taken_for_the_spool(
    bench: Bench, config: Config, left: str
) -> None:
    own_spool(config, bench.book)
    bench.receive()
    bench.spool.root.rename(bench.spool.root.with_name("elsewhere"))
    if left != "nothing":
        bench.spool.root.mkdir()
    with pytest.raises(WrongSpoolError, match="touch"):
        own_spool(config, bench.book)
    ok, words = spool_check(config)
    assert not ok
    assert "not the spool" in words
    assert not list(bench.spool.root.glob("*"))
    if left == "nothing":
        bench.spool.root.mkdir()
    (bench.spool.root / MARK).touch()  # as the message says
    own_spool(config, bench.book)


def test_what_comes_while_the_spool_is_gone_is_refused_and_taken_when_it_is_back(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.spool.take_up([])
    node.listener.start()
    elsewhere = tmp_path / "elsewhere"
    try:
        association = associate(node.port)
        assert send(association, mr_slice(1)).Status == 0x0000
        node.spool.root.rename(elsewhere)
        answer = send(association, mr_slice(2))
        assert (answer.Status, answer.ErrorComment) == (
            0xA700,
            "spool: its marker file is gone, is the disk mounted?",
        )
        assert not node.spool.root.exists()
        node.spool.root.mkdir()  # the mount point without its disk
        assert send(association, mr_slice(2)).Status == 0xA700
        assert not list(node.spool.root.iterdir())
        assert "mounted" in why_paused(node.spool)
        node.spool.root.rmdir()
        elsewhere.rename(node.spool.root)
        assert send(association, mr_slice(2)).Status == 0x0000
        assert why_paused(node.spool) == ""
        association.release()
    finally:
        node.listener.stop(grace_s=0.5)


def test_a_mount_that_is_lost_damages_no_result_and_purges_no_study(bench: Bench, config: Config) -> None:
    """Its results would be made again, and its rows be forgotten while the files stay."""
    spool: Spool = own_spool(config, bench.book)
    job_id = bench.make_ready()
    job = bench.book.claim("worker", 60.0)
    assert job is not None
    made = encoded(1)
    path = spool.store_result(job_id, made.sop_instance_uid, made.content)
    stored = StoredResult.of(made, path, hashlib.sha256(made.content).hexdigest())
    bench.book.publish(job_id, job.token, RunRecord(), [stored], ("pacs",))
    ended = bench.make_ready("1.2.4")
    bench.book.cancel(ended, "test")
    spool.root.rename(spool.root.with_name("elsewhere"))
    keeper = Housekeeper(bench.book, spool, config, None)

    class Unused:
        def send(self, objects: list[OutgoingFile], *_: object) -> None:
            raise AssertionError("nothing may be sent")

    courier = Courier("pacs", Unused(), bench.book, spool, CourierSettings(1.0, 1.0, 3600.0))
    for action in (keeper.mend, keeper.retain, courier.deliver_due):
        with pytest.raises(SpoolGoneError):
            action()
    assert bench.book.view(STUDY)["state"] == JobState.DELIVERING
    assert bench.book.view(ended)["purged_at"] is None
