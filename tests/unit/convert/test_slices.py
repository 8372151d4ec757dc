from __future__ import annotations

import numpy as np
import pytest

from bt_node.convert.slices import axial_slices, choose_classifier_slices
from bt_node.domain.geometry import Grid, Mask, Volume

ORIGIN = (0.0, 0.0, 0.0)

GRID = Grid((20, 6, 8), (1.0, 1.0, 1.0), ORIGIN)


def _brain(first: int = 2, last: int = 17) -> Mask:
    array = np.zeros(GRID.shape, dtype=bool)
    array[first : last + 1, 1:5, 1:7] = True
    return Mask(array, GRID)


def test_slices_are_rows_from_the_front_and_columns_from_the_right() -> None:
    array = np.arange(20 * 6 * 8, dtype=np.float32).reshape(GRID.shape)
    found = axial_slices(Volume(array, GRID), [3, 1])
    assert [one.shape for one in found] == [(6, 8), (6, 8)]
    np.testing.assert_array_equal(found[0], array[3])


def test_slices_of_a_tilted_grid_are_refused() -> None:
    tilted = Grid(GRID.shape, GRID.spacing, GRID.origin, (1, 0, 0, 0, 0.8, 0.6, 0, -0.6, 0.8))
    with pytest.raises(ValueError, match="axis-aligned"):
        axial_slices(Volume(np.zeros(GRID.shape, dtype=np.float32), tilted), [0])


@pytest.mark.parametrize("index", [-1, 20])
def test_an_index_outside_the_grid_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match="not all inside"):
        axial_slices(Volume(np.zeros(GRID.shape, dtype=np.float32), GRID), [index])


def test_the_slices_where_the_tumour_is_largest_are_chosen() -> None:
    tumour = np.zeros(GRID.shape, dtype=bool)
    for level, size in ((5, 1), (6, 3), (7, 5), (8, 2)):
        tumour[level, 0, :size] = True
    assert choose_classifier_slices(_brain(), tumour, 2) == (6, 7)
    assert choose_classifier_slices(_brain(), tumour, 9) == (5, 6, 7, 8)


@pytest.mark.parametrize("tumour", [None, np.zeros(GRID.shape, dtype=bool)])
def test_without_a_tumour_slices_are_spread_through_the_brain(tumour: np.ndarray | None) -> None:
    chosen = choose_classifier_slices(_brain(), tumour, 4)
    assert len(chosen) == 4
    assert chosen[0] >= 2
    assert chosen[-1] <= 17
    assert max(np.diff(chosen)) - min(np.diff(chosen)) <= 1


def test_an_empty_brain_gives_no_slices() -> None:
    assert choose_classifier_slices(Mask(np.zeros(GRID.shape, dtype=bool), GRID), None, 4) == ()


def test_a_count_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        choose_classifier_slices(_brain(), None, 0)
