"""The node's brain mask on a real brain in a synthetic head, as `python -m bench.brainmask` measures it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.brainmask import measure, read_case, shipped_brain_finder

pytestmark = [pytest.mark.integration, pytest.mark.shared_data]

KEPT_APART = "Brats18_CBICA_ABM_1"  # from the training of the segmenter


def test_the_brain_is_found_in_thin_and_thick_slices(shared_data: Path) -> None:
    stripped = read_case(shared_data / "segmentation" / KEPT_APART)
    for kind, found in measure(stripped, 1, shipped_brain_finder()).items():
        assert found.dice > 0.95, kind
        assert found.sensitivity > 0.93, kind
