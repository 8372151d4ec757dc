from __future__ import annotations

import numpy as np
import pytest

from bt_node.convert.slices import axial_slices, choose_classifier_slices, slices_of_volume, why_not_axial
from bt_node.domain.geometry import Grid, Mask, Volume
from bt_node.domain.tumour import SliceBasis

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


NOTHING = np.zeros(GRID.shape, dtype=bool)


def _mass(areas: dict[int, int]) -> np.ndarray:
    tumour = NOTHING.copy()
    for level, area in areas.items():
        tumour[level].ravel()[:area] = True
    return tumour


def test_slices_with_at_least_half_of_the_largest_core_are_chosen_and_weighed_by_it() -> None:
    core, whole = _mass({5: 1, 6: 3, 7: 5, 8: 2}), _mass(dict.fromkeys(range(3, 12), 20))
    choice = choose_classifier_slices(_brain(), core, whole, 9)
    assert choice.indices == (6, 7)
    assert choice.weights == (3.0, 5.0)
    assert choice.basis is SliceBasis.CORE


def test_without_a_core_the_whole_tumour_decides() -> None:
    choice = choose_classifier_slices(_brain(), NOTHING, _mass({9: 4, 10: 8}), 9)
    assert (choice.indices, choice.basis) == ((9, 10), SliceBasis.WHOLE)


def test_of_many_slices_some_from_all_through_the_tumour_are_taken() -> None:
    whole = _mass(dict.fromkeys(range(3, 15), 10))
    indices = choose_classifier_slices(_brain(), NOTHING, whole, 3).indices
    assert len(indices) == 3
    assert indices[0] in (4, 5)
    assert indices[2] in (12, 13)


def test_without_a_tumour_slices_are_spread_through_the_brain() -> None:
    choice = choose_classifier_slices(_brain(), NOTHING, NOTHING, 4)
    assert len(choice.indices) == 4
    assert choice.indices[0] >= 2
    assert choice.indices[-1] <= 17
    assert max(np.diff(choice.indices)) - min(np.diff(choice.indices)) <= 1
    assert choice.weights == (1.0,) * 4
    assert choice.basis is SliceBasis.SPREAD


def test_an_empty_brain_gives_no_slices() -> None:
    assert choose_classifier_slices(Mask(NOTHING, GRID), NOTHING, NOTHING, 4).indices == ()


def test_a_count_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        choose_classifier_slices(_brain(), NOTHING, NOTHING, 0)


AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
SAGITTAL = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # index axes: back, up, left
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0)
TILTED = (1.0, 0.0, 0.0, 0.0, 0.9, -0.436, 0.0, 0.436, 0.9)  # 26 degrees about x


@pytest.mark.parametrize(("direction", "slice_mm"), [(AXIAL, 6.0), (TILTED, 6.0), (SAGITTAL, 1.0), (CORONAL, 2.0)])
def test_axial_slices_and_thin_slices_of_any_plane_may_be_shown(
    direction: tuple[float, ...], slice_mm: float
) -> None:
    assert why_not_axial(Grid((30, 8, 8), (0.9, 0.9, slice_mm), ORIGIN, direction)) == ""


@pytest.mark.parametrize(("direction", "plane"), [(SAGITTAL, "sagittal"), (CORONAL, "coronal")])
def test_thick_slices_of_another_plane_are_refused_with_their_distance(
    direction: tuple[float, ...], plane: str
) -> None:
    reason = why_not_axial(Grid((30, 8, 8), (0.9, 0.9, 5.5), ORIGIN, direction))
    assert plane in reason
    assert "5.5 mm" in reason


def test_a_volume_of_any_orientation_gives_axial_slices_with_square_pixels() -> None:
    array = np.zeros((4, 6, 8), dtype=np.float32)  # sagittal: x (right to left), z (upwards), y (backwards)
    array[:, 2, :] = np.arange(4)[:, None] + 10 * np.arange(8)[None, :]
    volume = Volume(array, Grid(array.shape, (1.0, 1.0, 2.0), ORIGIN, SAGITTAL))
    slices = slices_of_volume(volume, 9)
    assert len(slices) == 6
    assert slices[0].shape == (8, 8)  # four columns of 2 mm become eight of 1 mm
    assert slices[2][0, 0] < slices[2][0, -1] == 3.0
    assert slices[2][-1, 0] == 70.0


def test_of_a_deep_volume_the_outer_slices_are_left_out() -> None:
    array = np.repeat(np.arange(100, dtype=np.float32), 16).reshape(100, 4, 4)
    levels = [float(one.mean()) for one in slices_of_volume(Volume(array, Grid(array.shape, (1.0,) * 3, ORIGIN)), 9)]
    assert len(levels) == 9
    assert levels[0] > 20
    assert levels[-1] < 90
