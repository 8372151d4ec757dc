"""An independent validator finds the phantom's files to be MR images."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bt_node.simulate.phantom import make_phantom

pytestmark = pytest.mark.integration

# Vendors write M, P, R, I as the third value; the tool knows only the terms of the standard.
ALLOWED = "Unrecognized defined term <M> for value 3 of attribute <Image Type>"


def test_dciodvfy_has_nothing_to_say(peer: Callable[[str], str], tmp_path: Path) -> None:
    study = make_phantom(tmp_path, coarse=4)
    program = peer("dciodvfy")
    for series in (study.localizer, *study.series.values()):
        done = subprocess.run(
            [program, str(series.paths[0])], check=False, capture_output=True, text=True, timeout=30
        )
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line and ALLOWED not in line]
        assert lines == ["MRImage"]
