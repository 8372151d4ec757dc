"""OHIF and a browser; both are fetched by `make viewer`, and their absence is a failure there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from orthanc import OrthancServer, orthanc

__all__ = ["orthanc"]

DIST = Path(os.environ.get("BT_NODE_OHIF", Path(__file__).resolve().parents[2] / "var" / "ohif" / "package" / "dist"))


@pytest.fixture(scope="module")
def ohif(orthanc: OrthancServer, peer: Callable[[str], str]) -> Iterator[object]:
    """OHIF over the session's Orthanc."""
    if not (DIST / "index.html").exists():
        pytest.fail(f"OHIF is not in {DIST}: run `make viewer`")
    from ohif import viewer

    with viewer(peer("chromium"), DIST, orthanc.http_port) as opened:
        yield opened
