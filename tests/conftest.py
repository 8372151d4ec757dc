"""What all tests share: peers, real data where it lies, and one thread for each of several workers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
# Workers of pytest-xdist share the cores: each computes with one thread, and so do the processes that it starts.
if "PYTEST_XDIST_WORKER" in os.environ:
    for _variable in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        os.environ.setdefault(_variable, "1")
# The environment's own programs (dciodvfy, segimage2itkimage, bt-node) are found without activating it.
_BESIDE_PYTHON = Path(sys.executable).parent
# pynetdicom installs programs of its own under dcmtk's names; a peer is the independent one.
_DCMTK_NAMES = frozenset({"echoscu", "echoscp", "storescu", "storescp", "findscu", "getscu", "movescu"})


@pytest.fixture(scope="session")
def peer() -> Callable[[str], str]:
    """Path of a peer program; missing means skip, or failure where BT_NODE_REQUIRE_PEERS=1 (as in CI)."""

    def find(name: str) -> str:
        folders = [str(_BESIDE_PYTHON), "/usr/sbin", *os.environ.get("PATH", "").split(os.pathsep)]
        if name in _DCMTK_NAMES:
            folders = [folder for folder in folders if Path(folder) != _BESIDE_PYTHON]
        found = shutil.which(name, path=os.pathsep.join(folders))
        if found:
            return found
        message = f"peer program {name!r} is not installed: run `make peers`"
        if os.environ.get("BT_NODE_REQUIRE_PEERS") == "1":
            pytest.fail(message)
        pytest.skip(message)

    return find


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data set, where the machine has one beside the repository."""
    folder = Path(os.environ.get("BT_NODE_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("real data is not on this machine (BT_NODE_SHARED_DATA)")
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB; none may be mounted: skip, or failure where BT_NODE_REQUIRE_PEERS=1 (as in CI)."""
    folder = tmp_path / "small-disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        message = "mounting a file system needs root"
        if os.environ.get("BT_NODE_REQUIRE_PEERS") == "1":
            pytest.fail(message)
        pytest.skip(message)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
