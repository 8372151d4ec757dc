"""Sizes of ellipses and ellipsoids whose axes and volumes are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bt_node.convert.measure import measure
from bt_node.domain.geometry import Grid
from bt_node.domain.tumour import LabelMap, Region

ORIGIN = (-40.0, 12.5, 100.0)


def _ellipsoid(grid: Grid, semi_axes_mm: tuple[float, float, float], angle_deg: float = 0.0) -> np.ndarray:
    """Bool (Z, Y, X): an ellipsoid in the middle of the grid, turned in plane."""
    shape = np.array(grid.shape)
    offset = (np.indices(grid.shape).reshape(3, -1).T - (shape - 1) / 2)[:, ::-1] * np.array(grid.spacing)
    cosine, sine = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    turned = offset @ np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    return ((turned / semi_axes_mm) ** 2).sum(axis=1).reshape(grid.shape) <= 1


def _labels(mask: np.ndarray, grid: Grid, label: int = 3) -> LabelMap:
    return LabelMap((mask * label).astype(np.uint8), grid)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 5.0), (0.5, 0.9, 3.0), (0.9, 0.5, 1.0)])
@pytest.mark.parametrize("angle", [0.0, 17.0, 45.0, 90.0, 133.0])
def test_axes_of_a_turned_ellipse_on_any_pixel_shape(spacing: tuple[float, float, float], angle: float) -> None:
    grid = Grid((11, 81, 101), spacing, ORIGIN)
    found = measure(_labels(_ellipsoid(grid, (18.0, 11.0, 9.0), angle), grid))[Region.ET]
    pixel = max(spacing[:2])
    assert found.long_axis_mm == pytest.approx(36.0, abs=1.1 * pixel)
    assert found.perpendicular_axis_mm == pytest.approx(22.0, abs=1.3 * pixel)


def test_volume_of_an_ellipsoid_is_the_formula_s() -> None:
    grid = Grid((31, 61, 61), (1.0, 1.0, 1.5), ORIGIN)
    found = measure(_labels(_ellipsoid(grid, (20.0, 15.0, 12.0)), grid))[Region.ET]
    assert found.volume_ml == pytest.approx(4 / 3 * math.pi * 20 * 15 * 12 / 1000, rel=0.01)


def test_all_five_regions_are_measured_and_nest() -> None:
    grid = Grid((9, 41, 41), (1.0, 1.0, 2.0), ORIGIN)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for label, size in ((2, 16.0), (3, 10.0), (1, 5.0)):
        labels[_ellipsoid(grid, (size, size, size))] = label
    found = measure(LabelMap(labels, grid))
    volume = {region: found[region].volume_ml for region in Region}
    assert volume[Region.TC] == pytest.approx(volume[Region.NCR] + volume[Region.ET])
    assert volume[Region.WT] == pytest.approx(volume[Region.TC] + volume[Region.ED])
    assert found[Region.ET].long_axis_mm == pytest.approx(found[Region.TC].long_axis_mm)
    assert found[Region.WT].long_axis_mm is None


def test_an_absent_region_has_no_axes_and_no_volume() -> None:
    grid = Grid((3, 5, 5), (1.0, 1.0, 1.0), ORIGIN)
    found = measure(LabelMap(np.zeros(grid.shape, dtype=np.uint8), grid))
    assert all(one.volume_ml == 0 and one.long_axis_mm is None for one in found.values())


def test_the_longest_axis_is_of_one_connected_part_not_across_two() -> None:
    grid = Grid((1, 20, 100), (1.0, 1.0, 5.0), ORIGIN)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[0, 5:10, 5:25] = 3
    labels[0, 5:10, 80:90] = 3
    found = measure(LabelMap(labels, grid))[Region.ET]
    assert found.long_axis_mm == pytest.approx(20.0, abs=1.0)
    assert found.perpendicular_axis_mm == pytest.approx(5.0, abs=1.0)


def test_a_single_voxel_has_the_size_of_its_pixel() -> None:
    grid = Grid((3, 5, 5), (0.5, 0.8, 5.0), ORIGIN)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[1, 2, 2] = 3
    found = measure(LabelMap(labels, grid))[Region.ET]
    assert found.long_axis_mm == pytest.approx(0.8)
    assert found.perpendicular_axis_mm == pytest.approx(0.5, abs=0.15)


def test_the_largest_slice_decides_the_axes() -> None:
    grid = Grid((3, 40, 40), (1.0, 1.0, 5.0), ORIGIN)
    labels = np.zeros(grid.shape, dtype=np.uint8)
    labels[0, 10:12, 10:12] = 3
    labels[2, 5:35, 10:15] = 3
    assert measure(LabelMap(labels, grid))[Region.ET].long_axis_mm == pytest.approx(30.0, abs=1.0)
