"""The node's brain mask on real brains in synthetic heads, as `python -m bench.brainmask` measures it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.brainmask import measure, read_case

pytestmark = [pytest.mark.integration, pytest.mark.shared_data]


@pytest.mark.parametrize("name", ["Brats18_2013_11_1", "Brats18_CBICA_ABM_1"])
def test_the_brain_is_found_in_thin_and_thick_slices(shared_data: Path, name: str) -> None:
    for kind, found in measure(read_case(shared_data / "segmentation" / name), seed=1).items():
        assert found.dice > 0.92, kind
        assert found.sensitivity > 0.87, kind
