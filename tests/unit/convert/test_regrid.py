"""To the model's grid and back: a known ellipsoid keeps its place and volume on any grid."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bt_node.convert.itk import array_to_itk, grid_of, resample, volume_to_itk
from bt_node.convert.motion import RigidMotion
from bt_node.convert.regrid import axis_aligned_grid, to_source_grid, without_aliasing
from bt_node.domain.geometry import Grid, Volume

CENTRE = np.array([7.0, -11.0, 23.0])  # LPS mm
SEMI_AXES = np.array([14.0, 10.0, 12.0])
TRUE_ML = 4 / 3 * math.pi * float(np.prod(SEMI_AXES)) / 1000
MODEL = axis_aligned_grid(CENTRE - 25.0, CENTRE + 25.0)

AXES_AND_SIGNS = [
    (order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]


def _points(grid: Grid) -> np.ndarray:
    return grid.index_to_world(np.indices(grid.shape).reshape(3, -1).T)


def _probability(grid: Grid) -> np.ndarray:
    """Float32 (1, Z, Y, X): 1 inside the ellipsoid, 0 outside, a ramp of 2 mm between."""
    radius = np.sqrt((((_points(grid) - CENTRE) / SEMI_AXES) ** 2).sum(axis=1))
    ramp = np.clip(0.5 + (1 - radius) * SEMI_AXES.min() / 2, 0, 1)
    return ramp.reshape((1, *grid.shape)).astype(np.float32)


def _around_centre(shape: tuple[int, int, int], spacing: tuple[float, float, float], direction: np.ndarray) -> Grid:
    return _around(CENTRE, shape, spacing, direction)


def _around(
    centre: np.ndarray, shape: tuple[int, int, int], spacing: tuple[float, float, float], direction: np.ndarray
) -> Grid:
    middle = (np.array(shape)[::-1] - 1) / 2 * np.array(spacing)
    x, y, z = (float(value) for value in centre - direction @ middle)
    return Grid(shape, spacing, (x, y, z), tuple(float(value) for value in direction.ravel()))


def _check_ellipsoid(found: np.ndarray, target: Grid, tolerance_mm: float, tolerance_ml: float) -> None:
    inside = found[0] >= 0.5
    centroid = target.index_to_world(np.argwhere(inside)).mean(axis=0)
    assert np.linalg.norm(centroid - CENTRE) < tolerance_mm
    assert inside.sum() * target.voxel_volume_mm3 / 1000 == pytest.approx(TRUE_ML, rel=tolerance_ml)


@pytest.mark.parametrize(("order", "signs"), AXES_AND_SIGNS)
def test_an_outline_lands_in_place_for_each_of_48_axis_orders(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    direction = np.eye(3)[:, list(order)] * np.array(signs)
    target = _around_centre((19, 53, 47), (1.0, 0.9, 3.0), direction)
    found = to_source_grid(_probability(MODEL), MODEL, target)
    np.testing.assert_allclose(found, _probability(target), atol=0.12)
    _check_ellipsoid(found, target, tolerance_mm=0.2, tolerance_ml=0.03)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    angles=st.tuples(*[st.floats(-90, 90)] * 3),
    in_plane=st.tuples(st.floats(0.3, 1.5), st.floats(0.3, 1.5)),
    slice_mm=st.floats(0.5, 6.0),
    mirrored=st.booleans(),
)
def test_an_outline_lands_in_place_on_oblique_anisotropic_grids(
    angles: tuple[float, float, float], in_plane: tuple[float, float], slice_mm: float, mirrored: bool
) -> None:
    direction = _rotation(angles) @ np.diag([1.0, 1.0, -1.0 if mirrored else 1.0])
    spacing = (*in_plane, slice_mm)
    depth, height, width = (math.ceil(44 / s) for s in spacing[::-1])
    target = _around_centre((depth, height, width), spacing, direction)
    found = to_source_grid(_probability(MODEL), MODEL, target)
    np.testing.assert_allclose(found, _probability(target), atol=0.15)
    _check_ellipsoid(found, target, tolerance_mm=0.1 + 0.1 * slice_mm, tolerance_ml=0.12)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    turn=st.tuples(*[st.floats(-30, 30)] * 3),
    shift=st.tuples(*[st.floats(-40, 40)] * 3),
    angles=st.tuples(*[st.floats(-90, 90)] * 3),
    slice_mm=st.floats(0.8, 4.0),
)
def test_an_outline_lands_where_the_lesion_lay_when_the_series_was_taken(
    turn: tuple[float, float, float],
    shift: tuple[float, float, float],
    angles: tuple[float, float, float],
    slice_mm: float,
) -> None:
    motion = RigidMotion(tuple(_rotation(turn).ravel()), (4.0, -2.0, 9.0), shift)
    there = motion.apply(CENTRE)
    np.testing.assert_allclose(motion.inverse().apply(there), CENTRE, atol=1e-9)
    target = _around(there, (math.ceil(44 / slice_mm), 53, 47), (0.9, 1.0, slice_mm), _rotation(angles))
    found = to_source_grid(_probability(MODEL), MODEL, target, motion)
    came_from = motion.inverse().apply(_points(target))
    radius = np.sqrt((((came_from - CENTRE) / SEMI_AXES) ** 2).sum(axis=1)).reshape(target.shape)
    assert (found[0][radius < 0.85] > 0.5).all()
    assert (found[0][radius > 1.15] < 0.5).all()


def _rotation(angles_deg: tuple[float, float, float]) -> np.ndarray:
    result = np.eye(3)
    for (first, second), angle in zip(((0, 1), (1, 2), (2, 0)), np.radians(angles_deg), strict=True):
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = math.cos(angle)
        turn[first, second], turn[second, first] = -math.sin(angle), math.sin(angle)
        result = result @ turn
    return result


@settings(max_examples=8, deadline=None, derandomize=True)
@given(angles=st.tuples(*[st.floats(-180, 180)] * 3), slice_mm=st.floats(1.0, 6.0))
def test_a_linear_world_survives_there_and_back(angles: tuple[float, float, float], slice_mm: float) -> None:
    source = _around_centre((round(90 / slice_mm), 90, 90), (1.0, 1.0, slice_mm), _rotation(angles))
    ramp = (_points(source) @ np.array([0.3, -0.7, 0.5])).reshape(source.shape).astype(np.float32)
    model = axis_aligned_grid(CENTRE - 20.0, CENTRE + 20.0)
    there = resample(volume_to_itk(Volume(ramp, source)), model)
    np.testing.assert_allclose(there.ravel(), _points(model) @ np.array([0.3, -0.7, 0.5]), atol=1e-3)
    inner = _around_centre((3, 9, 9), (1.0, 1.0, slice_mm), _rotation(angles))
    back = to_source_grid(there[None], model, inner)
    np.testing.assert_allclose(back.ravel(), _points(inner) @ np.array([0.3, -0.7, 0.5]), atol=1e-3)


def test_outside_the_models_grid_probability_is_zero() -> None:
    target = _around_centre((20, 100, 100), (1.0, 1.0, 5.0), np.eye(3))
    found = to_source_grid(np.ones((2, *MODEL.shape), dtype=np.float32), MODEL, target)
    assert found.shape == (2, *target.shape)
    assert found[:, 0].max() == 0
    assert found[:, 10, 50, 50].min() == 1


def test_probabilities_that_do_not_fit_their_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        to_source_grid(np.zeros((1, 2, 2, 2), dtype=np.float32), MODEL, MODEL)


def test_an_image_knows_its_grid() -> None:
    grid = _around_centre((3, 5, 7), (0.4, 0.6, 5.5), _rotation((10, 20, 30)))
    image = array_to_itk(np.arange(105, dtype=np.float32).reshape(3, 5, 7), grid)
    assert grid_of(image).is_close(grid, 1e-9)
    assert image.TransformIndexToPhysicalPoint((6, 4, 2)) == pytest.approx(tuple(grid.index_to_world((2, 4, 6))))


def test_a_fine_stripe_pattern_does_not_alias_onto_1_mm() -> None:
    grid = Grid((4, 200, 200), (0.275, 0.275, 5.0), (0.0, 0.0, 0.0))
    stripes = np.broadcast_to((np.arange(200) % 3 == 0) * 300.0, grid.shape).astype(np.float32)
    smooth = without_aliasing(volume_to_itk(Volume(stripes, grid)), 1.0)
    target = Grid((1, 40, 40), (1.0, 1.0, 1.0), (5.0, 5.0, 5.0))
    assert np.ptp(resample(smooth, target)) < 1.0
    assert np.ptp(resample(volume_to_itk(Volume(stripes, grid)), target)) > 100.0


def test_smoothing_keeps_positions() -> None:
    grid = Grid((4, 90, 90), (0.3, 0.45, 4.0), (-3.0, 8.0, 1.0))
    ramp = _points(grid)[:, 0].reshape(grid.shape).astype(np.float32)
    smooth = without_aliasing(volume_to_itk(Volume(ramp, grid)), 1.0)
    inner = Grid((2, 15, 10), (1.0, 1.0, 1.0), (3.0, 15.0, 4.0))
    np.testing.assert_allclose(resample(smooth, inner).ravel(), _points(inner)[:, 0], atol=0.02)


def test_a_cosine_of_almost_nothing_does_not_empty_the_image() -> None:
    """ITK's matrix inverse fails on denormal cosines, and the resampled image is then all zero without a word."""
    cosine, sine = math.cos(math.radians(1)), math.sin(math.radians(1))
    tiny = 4.6e-296
    direction = (1.0, 0.0, tiny, 0.0, cosine, -sine, -tiny, sine, cosine)
    grid = Grid((9, 9, 9), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), direction)
    found = to_source_grid(np.ones((1, 9, 9, 9), dtype=np.float32), grid, grid)
    assert found.min() == pytest.approx(1.0)


# ---------------------------------------------------------------- small and awkward outlines, there and back


def _there_and_back(mask: np.ndarray, source: Grid) -> np.ndarray:
    """A perfect network: what the mask looks like on the model's grid is what it answers."""
    ends = np.array(np.meshgrid(*[(0, n - 1) for n in source.shape], indexing="ij")).reshape(3, -1).T
    corners = source.index_to_world(ends)
    model = axis_aligned_grid(np.floor(corners.min(axis=0)) - 5, corners.max(axis=0) + 5)
    there = resample(volume_to_itk(Volume(mask.astype(np.float32), source)), model)
    return to_source_grid(there[None], model, source)[0] >= 0.5


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


# Rows × columns is no multiple of 8 in any of them.
SHAPES = st.tuples(st.integers(4, 9), st.sampled_from([37, 41, 53]), st.sampled_from([39, 43, 51]))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    shape=SHAPES,
    in_plane=st.tuples(st.floats(0.8, 1.5), st.floats(0.8, 1.5)),
    slice_mm=st.floats(3.0, 6.0),
    where=st.tuples(*[st.floats(0, 1)] * 3),
)
def test_a_lesion_on_one_slice_stays_on_that_slice_wherever_it_lies_even_at_the_edge(
    angles: tuple[float, float, float],
    shape: tuple[int, int, int],
    in_plane: tuple[float, float],
    slice_mm: float,
    where: tuple[float, float, float],
) -> None:
    source = _around_centre(shape, (*in_plane, slice_mm), _rotation(angles))
    level, row, column = (round(part * (size - 1)) for part, size in zip(where, shape, strict=True))
    mask = np.zeros(shape, dtype=bool)
    mask[level, max(0, row - 4) : row + 5, max(0, column - 3) : column + 4] = True
    found = _there_and_back(mask, source)
    assert set(np.flatnonzero(found.any(axis=(1, 2)))) == {level}
    assert _dice(found, mask) > 0.85


@pytest.mark.parametrize(("order", "signs"), AXES_AND_SIGNS)
def test_a_lesion_that_touches_first_slice_first_row_and_last_column_comes_back_for_each_of_48_axis_orders(
    order: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    source = _around_centre((7, 37, 43), (1.0, 0.9, 4.0), np.eye(3)[:, list(order)] * np.array(signs))
    mask = np.zeros(source.shape, dtype=bool)
    mask[:2, :11, -13:] = True
    mask[:1, :5, -20:] = True
    found = _there_and_back(mask, source)
    assert _dice(found, mask) > 0.93
    assert found[0, 0, -1]
    assert not found[3:].any()
