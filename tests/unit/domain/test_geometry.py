"""Grids keep the house convention: (Z, Y, X) indices, LPS millimetres."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from bt_node.domain.geometry import Grid, Mask, Volume


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    shape = tuple(draw(st.integers(1, 40)) for _ in range(3))
    spacing = tuple(draw(st.floats(0.2, 6.0)) for _ in range(3))
    origin = tuple(draw(st.floats(-300, 300)) for _ in range(3))
    angles = [draw(st.floats(-180, 180)) for _ in range(3)]
    direction = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    return Grid(shape, spacing, origin, tuple(direction.ravel()))


@given(grids(), st.lists(st.tuples(*[st.floats(-50, 50)] * 3), min_size=1, max_size=5))
def test_world_to_index_undoes_index_to_world(grid: Grid, indices: list[tuple[float, float, float]]) -> None:
    back = grid.world_to_index(grid.index_to_world(indices))
    np.testing.assert_allclose(back, indices, atol=1e-6)


def test_one_step_along_x_moves_along_the_first_direction_column() -> None:
    turned = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)  # x index runs to +y, y index to -x
    grid = Grid((4, 5, 6), (2.0, 3.0, 4.0), (10.0, 20.0, 30.0), turned)
    np.testing.assert_allclose(grid.index_to_world((0, 0, 1)), (10.0, 22.0, 30.0))
    np.testing.assert_allclose(grid.index_to_world((0, 1, 0)), (7.0, 20.0, 30.0))
    np.testing.assert_allclose(grid.index_to_world((1, 0, 0)), (10.0, 20.0, 34.0))


def test_voxel_volume_and_extent_count_whole_voxels() -> None:
    grid = Grid((10, 20, 30), (1.0, 2.0, 5.0), (0.0, 0.0, 0.0))
    assert grid.voxel_volume_mm3 == 10.0
    assert grid.extent_mm == (50.0, 40.0, 30.0)


@pytest.mark.parametrize(
    ("shape", "spacing", "direction"),
    [
        ((0, 1, 1), (1.0, 1.0, 1.0), (1, 0, 0, 0, 1, 0, 0, 0, 1)),
        ((1, 1, 1), (1.0, -1.0, 1.0), (1, 0, 0, 0, 1, 0, 0, 0, 1)),
        ((1, 1, 1), (1.0, 1.0, 1.0), (1, 0, 0, 0.2, 1, 0, 0, 0, 1)),
    ],
)
def test_a_grid_that_cannot_be_is_refused_at_birth(shape: tuple, spacing: tuple, direction: tuple) -> None:
    with pytest.raises(ValueError, match=r"shape|spacing|direction"):
        Grid(shape, spacing, (0.0, 0.0, 0.0), direction)


def test_grids_that_differ_by_a_millimetre_at_one_corner_are_not_close() -> None:
    grid = Grid((10, 10, 10), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    assert grid.is_close(Grid((10, 10, 10), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0005)))
    assert not grid.is_close(Grid((10, 10, 10), (1.0, 1.0, 1.1), (0.0, 0.0, 0.0)))
    assert not grid.is_close(Grid((10, 10, 9), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))


def test_volumes_check_shape_and_type_and_cannot_be_written_to() -> None:
    grid = Grid((2, 3, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="does not fit"):
        Volume(np.zeros((4, 3, 2), np.float32), grid)
    with pytest.raises(ValueError, match="float32"):
        Volume(np.zeros((2, 3, 4)), grid)
    volume = Volume(np.zeros((2, 3, 4), np.float32), grid)
    with pytest.raises(ValueError, match="read-only"):
        volume.array[0, 0, 0] = 1


def test_a_mask_knows_its_millilitres() -> None:
    grid = Grid((10, 10, 10), (2.0, 2.0, 2.5), (0.0, 0.0, 0.0))
    assert Mask(np.ones((10, 10, 10), np.bool_), grid).volume_ml == pytest.approx(10.0)
