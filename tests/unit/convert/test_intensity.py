"""z-scores inside the brain: the one normalisation of node and training."""

import numpy as np
import pytest

from bt_node.convert.intensity import zscore_inside


def test_inside_has_mean_zero_and_deviation_one_and_outside_is_zero() -> None:
    array = np.random.default_rng(1).normal(500, 80, (8, 9, 10)).astype(np.float32)
    brain = np.zeros(array.shape, np.bool_)
    brain[2:6, 2:7, 3:8] = True
    result = zscore_inside(array, brain)
    assert result[brain].mean() == pytest.approx(0, abs=1e-5)
    assert result[brain].std() == pytest.approx(1, abs=1e-5)
    assert not result[~brain].any()


def test_the_scanner_unit_does_not_matter() -> None:
    array = np.random.default_rng(2).uniform(0, 100, (4, 4, 4)).astype(np.float32)
    brain = np.ones(array.shape, np.bool_)
    np.testing.assert_allclose(zscore_inside(array * 7 + 30, brain), zscore_inside(array, brain), atol=1e-4)


@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_nor_does_how_small_it_is(unit: float) -> None:
    array = np.random.default_rng(3).normal(100, 15, size=(4, 5, 6)).astype(np.float32)
    brain = np.ones(array.shape, dtype=np.bool_)
    np.testing.assert_allclose(zscore_inside(array * unit, brain), zscore_inside(array, brain), atol=1e-4)


def test_an_empty_mask_and_a_nan_are_refused() -> None:
    array = np.ones((2, 2, 2), np.float32)
    with pytest.raises(ValueError, match="empty"):
        zscore_inside(array, np.zeros((2, 2, 2), np.bool_))
    array[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        zscore_inside(array, np.ones((2, 2, 2), np.bool_))
