"""The spool writes durably, privately, and leaves nothing half-done."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bt_node.receive.errors import SpoolFullError, SpoolWriteError
from bt_node.receive.spool import Spool, instance_path

PATH = instance_path("1.2", "1.2.1", "1.2.1.1")


@pytest.fixture
def spool(tmp_path) -> Spool:
    return Spool(tmp_path / "deep" / "spool")


def files(spool: Spool) -> list[str]:
    return sorted(path.name for path in spool.root.rglob("*") if path.is_file())


def test_a_written_file_holds_its_parts_and_lies_where_its_uids_say(spool):
    assert spool.write(PATH, (b"head", b"body")) == 8
    assert (spool.root / "instances" / "1.2" / "1.2.1" / "1.2.1.1.dcm").read_bytes() == b"headbody"
    assert list(spool.stored()) == [PATH]


def test_folders_and_files_are_for_their_owner_only(spool):
    previous = os.umask(0)
    try:
        spool.write(PATH, (b"x",))
    finally:
        os.umask(previous)
    path = spool.absolute(PATH)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in path.parents[:4]:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_everything_is_synced_in_the_order_that_makes_it_durable(spool, monkeypatch):
    order = []
    real_fsync, real_link = os.fsync, os.link

    def fsync(descriptor):
        order.append(("fsync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
        real_fsync(descriptor)

    def link(source, target):
        order.append(("place", str(target)))
        real_link(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    spool.write(PATH, (b"x",))
    path = spool.absolute(PATH)
    folders = [str(folder) for folder in path.parents if folder == spool.root or spool.root in folder.parents]
    synced = [name for verb, name in order if verb == "fsync"]
    # Every folder made, and the one the first was made in, holds a new name that must reach the disk.
    assert set(synced) >= {*folders, str(spool.root.parent), str(spool.root.parent.parent)}
    placed = order.index(("place", str(path)))
    assert order[placed - 1][0] == "fsync"
    assert order[placed - 1][1].endswith(".part")
    assert order[-1] == ("fsync", str(path.parent))


def test_a_second_file_in_the_folder_syncs_the_file_and_the_folder_only(spool, monkeypatch):
    spool.write(PATH, (b"x",))
    calls = []
    real_fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(fd), real_fsync(fd))[1])
    spool.write(instance_path("1.2", "1.2.1", "1.2.1.2"), (b"x",))
    assert len(calls) == 2


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("call", ["write", "fsync", "link"])
def test_a_disk_that_refuses_leaves_no_file_and_a_clean_error(spool, monkeypatch, fault, call):
    spool.write(instance_path("1.2", "1.2.1", "1.2.1.9"), (b"x",))
    real = getattr(os, call)

    def failing(*args, **kwargs):
        if call == "fsync" and not Path(f"/proc/self/fd/{args[0]}").readlink().name.endswith(".part"):
            return real(*args, **kwargs)
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(SpoolWriteError, match=errno.errorcode[fault]):
        spool.write(PATH, (b"x" * 1000,))
    assert files(spool) == ["1.2.1.9.dcm"]


def test_a_short_write_is_continued(spool, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:7]))
    spool.write(PATH, (b"0123456789" * 5,))
    assert spool.absolute(PATH).read_bytes() == b"0123456789" * 5


def test_less_space_than_the_guard_wants_is_full_before_a_byte_is_written(tmp_path):
    spool = Spool(tmp_path / "spool", min_free_mib=1e12)
    with pytest.raises(SpoolFullError, match="MiB must be"):
        spool.write(PATH, (b"x",))
    assert not spool.root.exists()


def test_a_full_file_system_is_a_clean_error(small_disk, monkeypatch):
    spool = Spool(small_disk)
    spool.write(PATH, (b"x" * 100_000,))
    # Another writer takes the space between our look at it and our write.
    monkeypatch.setattr(spool, "free_mib", lambda: 1e6)
    with pytest.raises(SpoolWriteError, match="ENOSPC"):
        spool.write(instance_path("1.2", "1.2.1", "1.2.1.2"), (b"x" * 2_000_000,))
    assert files(spool) == ["1.2.1.1.dcm"]
    spool.write(instance_path("1.2", "1.2.1", "1.2.1.3"), (b"x" * 100_000,))


def test_a_stored_instance_is_never_written_over(spool):
    spool.write(PATH, (b"first",))
    with pytest.raises(SpoolWriteError, match="EEXIST"):
        spool.write(PATH, (b"second",))
    assert spool.absolute(PATH).read_bytes() == b"first"
    assert files(spool) == ["1.2.1.1.dcm"]


def test_a_file_system_without_hard_links_gets_a_rename(spool, monkeypatch):
    def no_links(*_):
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    spool.write(PATH, (b"x",))
    assert files(spool) == ["1.2.1.1.dcm"]


def test_a_result_replaces_that_of_an_earlier_run(spool):
    assert spool.store_result(7, "1.2.3", b"one") == "results/7/1.2.3.dcm"
    spool.store_result(7, "1.2.3", b"two")
    assert (spool.result_folder(7) / "1.2.3.dcm").read_bytes() == b"two"
    with pytest.raises(ValueError, match="not a UID"):
        spool.store_result(7, "../../evil", b"")


def test_a_folder_that_retention_removed_is_made_again(spool):
    spool.write(PATH, (b"x",))
    shutil.rmtree(spool.root / "instances")
    spool.write(PATH, (b"x",))
    assert files(spool) == ["1.2.1.1.dcm"]


def test_leftovers_of_dead_writers_go_and_those_of_live_ones_stay(spool):
    spool.write(PATH, (b"x",))
    folder = spool.absolute(PATH).parent
    dead, live = folder / ".1.2.dead.part", folder / ".1.2.live.part"
    dead.write_bytes(b"half")
    with live.open("wb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert _sweep(spool) == 1
        assert live.exists()
    assert not dead.exists()
    assert _sweep(spool) == 1
    assert files(spool) == ["1.2.1.1.dcm"]


def test_half_written_promises_of_dead_writers_go(spool):
    folder = spool.root / "commitments"
    folder.mkdir(parents=True)
    (folder / ".abc.12.part").write_bytes(b"half")
    assert spool.remove_leftovers() == 1


def _sweep(spool: Spool) -> int:
    return spool.remove_leftovers() + sum(spool.remove_leftovers_in(folder) for folder, _ in spool.series_folders())


def test_leftovers_may_be_removed_while_others_write(spool):
    stop = threading.Event()

    def sweep():
        while not stop.is_set():
            _sweep(spool)

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            outcomes = list(pool.map(lambda n: _try_write(spool, n), range(200)))
    finally:
        stop.set()
        sweeper.join()
    written = {instance_path("1.2", "1.2.1", f"1.2.1.{n}") for n in range(200) if outcomes[n]}
    assert set(spool.stored()) == written
    assert not list(spool.root.rglob("*.part"))


def _try_write(spool: Spool, number: int) -> bool:
    try:
        spool.write(instance_path("1.2", "1.2.1", f"1.2.1.{number}"), (b"x" * 1000,))
    except SpoolWriteError:  # swept in the instant before its lock: refused, and the peer sends again
        return False
    return True


def test_free_space_is_known_before_the_folder_exists(tmp_path):
    assert Spool(Path(tmp_path / "a" / "b")).free_mib() > 0
