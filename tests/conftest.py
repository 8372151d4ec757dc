"""What all tests share: peers, real data where it lies, and one thread for torch."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
# The environment's own programs (dciodvfy, segimage2itkimage, bt-node) are found without activating it.
_BESIDE_PYTHON = Path(sys.executable).parent


@pytest.fixture(scope="session")
def peer() -> Callable[[str], str]:
    """Path of a peer program; missing means skip, or failure where BT_NODE_REQUIRE_PEERS=1 (as in CI)."""

    def find(name: str) -> str:
        found = shutil.which(name, path=f"{_BESIDE_PYTHON}:/usr/sbin:{os.environ.get('PATH', '')}")
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
