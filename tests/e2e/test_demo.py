"""The first of the README's two commands, as a newcomer types it."""

import subprocess
import sys
from pathlib import Path

import pytest

from bt_node.domain.study import Role
from bt_node.domain.tumour import Region

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.e2e
def test_the_demo_ends_well_and_shows_every_part_of_the_trip(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "bt_node", "demo", "--folder", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    for word in (*Role, *Region, "DONE", "0x0000", "SEG_DERIVED", "Tumour type", "research use only"):
        assert word in ran.stdout, word
    assert (tmp_path / "outline.png").stat().st_size > 10_000
