"""Regions nest as BraTS has them, and findings are valid at birth."""

import numpy as np
import pytest

from bt_node.domain.geometry import Grid
from bt_node.domain.tumour import LabelMap, Region, ReleaseIdentity, TumourType, TumourTypeFinding

GRID = Grid((1, 1, 4), (1.0, 2.0, 5.0), (0.0, 0.0, 0.0))
LABELS = LabelMap(np.array([[[0, 1, 2, 3]]], np.uint8), GRID)
RELEASE = ReleaseIdentity("c", "1", "ab")


def test_core_is_necrosis_and_enhancement_and_whole_is_all_three() -> None:
    assert LABELS.mask(Region.TC).ravel().tolist() == [False, True, False, True]
    assert LABELS.mask(Region.WT).ravel().tolist() == [False, True, True, True]
    assert LABELS.mask(Region.ET).ravel().tolist() == [False, False, False, True]


def test_volume_is_voxels_times_voxel_volume() -> None:
    assert LABELS.volume_ml(Region.WT) == pytest.approx(0.030)


def test_a_label_that_is_none_of_ours_is_refused() -> None:
    with pytest.raises(ValueError, match="labels above 3: 4"):
        LabelMap(np.full((1, 1, 4), 4, np.uint8), GRID)


def test_probabilities_must_cover_all_types_and_sum_to_one() -> None:
    with pytest.raises(ValueError, match="every tumour type"):
        TumourTypeFinding({TumourType.GLIOMA: 1.0}, 1, RELEASE)
    with pytest.raises(ValueError, match="sum to 1"):
        TumourTypeFinding(dict.fromkeys(TumourType, 0.3), 1, RELEASE)


def test_the_top_type_is_the_most_probable() -> None:
    finding = TumourTypeFinding(
        {TumourType.GLIOMA: 0.1, TumourType.MENINGIOMA: 0.6, TumourType.PITUITARY: 0.2, TumourType.NONE: 0.1},
        3,
        RELEASE,
    )
    assert finding.top is TumourType.MENINGIOMA
    assert finding.certainty == 0.6
