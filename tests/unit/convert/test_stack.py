"""Slices to volumes: geometry by the standard's own formula, and a refusal with facts for what is no volume."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dicom_builder import oblique_grid, ramp_volume, write_enhanced, write_series
from hypothesis import given, settings
from hypothesis import strategies as st

from bt_node.assemble.study import read_study
from bt_node.convert.stack import load_series, stack_geometry
from bt_node.domain.errors import (
    DuplicateSliceError,
    GeometryError,
    MixedMatrixError,
    MixedOrientationError,
    SliceGapError,
    SpoolFileMissingError,
)
from bt_node.domain.geometry import Grid
from bt_node.domain.study import SeriesFacts, SliceFacts

UID = "1.2.3"


def facts_of(grid: Grid, *, digits: int | None = None) -> SeriesFacts:
    """Slices of a grid as a header would tell them, decimal strings rounded to `digits` places."""
    depth, rows, columns = grid.shape
    cosines = grid.direction_matrix.T.ravel()[:6]

    def told(values: np.ndarray) -> tuple[float, ...]:
        return tuple(float(v) if digits is None else round(float(v), digits) for v in values)

    slices = tuple(
        SliceFacts(
            f"{UID}.{k}",
            0,
            told(grid.index_to_world((k, 0, 0))),  # type: ignore[arg-type]
            told(cosines),  # type: ignore[arg-type]
            (grid.spacing[1], grid.spacing[0]),
            rows,
            columns,
        )
        for k in range(depth)
    )
    return SeriesFacts(UID, 1, "MR", "1.2.840.10008.5.1.4.1.1.4", slices, slice_thickness_mm=99.0)


angles = st.tuples(*[st.floats(-180, 180) for _ in range(3)])
spacings = st.tuples(st.floats(0.2, 3), st.floats(0.2, 3), st.floats(0.5, 12))
origins = st.tuples(*[st.floats(-300, 300) for _ in range(3)])


@given(angles, spacings, origins, st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_every_voxel_lies_where_the_standard_s_formula_puts_it(angles, spacing, origin, random) -> None:
    series = facts_of(oblique_grid((4, 5, 6), spacing, origin, angles))
    shuffled = list(series.slices)
    random.shuffle(shuffled)
    slices, grid = stack_geometry(replace(series, slices=tuple(shuffled)))
    for z, facts in enumerate(slices):
        # PS3.3 C.7.6.2.1.1: P = S + X Δi i + Y Δj j with i the column index and Δi the column spacing.
        x, y = np.array(facts.orientation[:3]), np.array(facts.orientation[3:])
        between_rows, between_columns = facts.pixel_spacing
        for j in range(facts.rows):
            for i in range(facts.columns):
                told = np.array(facts.position) + x * between_columns * i + y * between_rows * j
                assert np.abs(grid.index_to_world((z, j, i)) - told).max() < 1e-6


@given(angles, spacings, origins)
@settings(max_examples=100, deadline=None)
def test_the_grid_comes_back_from_headers_rounded_to_six_places(angles, spacing, origin) -> None:
    grid = oblique_grid((40, 256, 256), spacing, origin, angles)
    _, found = stack_geometry(facts_of(grid, digits=6))
    assert found.is_close(grid, tolerance_mm=2e-3)
    matrix = found.direction_matrix
    assert np.allclose(matrix.T @ matrix, np.eye(3), atol=1e-12)


def test_stacking_is_right_handed_whatever_the_order_of_the_instance_numbers(tmp_path: Path) -> None:
    volume = ramp_volume(oblique_grid())
    paths = write_series(tmp_path, volume, InstanceNumber=lambda plane: 100 - plane)
    stacked = _load(paths)
    assert stacked.grid.is_close(volume.grid)
    assert np.array_equal(stacked.volume.array, volume.array)
    assert np.linalg.det(stacked.grid.direction_matrix) == pytest.approx(1)


@pytest.mark.parametrize(
    "angles_deg",
    [
        (0, 0, 0),
        (0, 90, 0),
        (90, 0, 0),
        (0, 180, 0),
        (180, 0, 0),
        (-90, 0, 90),
        (12, -17, 31),
        (45, 45, 45),
        (3, 170, -80),
    ],
)
def test_array_grid_and_slices_agree_in_every_orientation(tmp_path: Path, angles_deg: tuple[float, ...]) -> None:
    volume = ramp_volume(oblique_grid(angles_deg=angles_deg))  # type: ignore[arg-type]
    stacked = _load(write_series(tmp_path, volume))
    assert stacked.grid.is_close(volume.grid)
    assert np.array_equal(stacked.volume.array, volume.array)
    for z, facts in enumerate(stacked.slices):
        assert np.allclose(stacked.grid.index_to_world((z, 0, 0)), facts.position, atol=1e-6)


def test_an_enhanced_file_gives_the_same_volume_as_the_classic_series(tmp_path: Path) -> None:
    volume = ramp_volume(oblique_grid())
    order = [3, 0, 5, 1, 4, 2]
    enhanced = _load([write_enhanced(tmp_path / "e", volume, order=order)])
    classic = _load(write_series(tmp_path / "c", volume))
    assert enhanced.grid.is_close(classic.grid)
    assert np.array_equal(enhanced.volume.array, classic.volume.array)
    assert [facts.frame for facts in enhanced.slices] == [order.index(z) for z in range(6)]


def test_each_frame_of_an_enhanced_file_has_its_own_slope(tmp_path: Path) -> None:
    volume = ramp_volume()
    slopes = [1.0, 0.5, 2.0, 0.25, 4.0, 1.5]
    stacked = _load([write_enhanced(tmp_path, volume, slopes=slopes)])
    assert [facts.slope for facts in stacked.slices] == slopes
    worst = np.abs(stacked.volume.array - volume.array).max(axis=(1, 2))
    assert (worst <= np.array(slopes) / 2).all()
    assert worst.max() < 2.01


def test_each_slice_of_a_classic_series_has_its_own_slope_and_intercept(tmp_path: Path) -> None:
    volume = ramp_volume()
    paths = write_series(
        tmp_path, volume, RescaleSlope=lambda plane: [1, 0.5, 0.25][plane % 3], RescaleIntercept=lambda plane: -plane
    )
    assert np.array_equal(_load(paths).volume.array, volume.array)


def test_spacing_comes_from_positions_and_not_from_slice_thickness(tmp_path: Path) -> None:
    grid = oblique_grid(spacing=(0.9, 1.1, 5.5))
    stacked = _load(write_series(tmp_path, ramp_volume(grid), SliceThickness="4", SpacingBetweenSlices="1"))
    assert stacked.grid.spacing == pytest.approx((0.9, 1.1, 5.5))


def test_non_square_pixels_keep_their_sides(tmp_path: Path) -> None:
    grid = oblique_grid(spacing=(0.4, 1.6, 3.0))
    assert _load(write_series(tmp_path, ramp_volume(grid))).grid.spacing == pytest.approx((0.4, 1.6, 3.0))


def test_a_missing_slice_is_refused_with_its_place(tmp_path: Path) -> None:
    paths = write_series(tmp_path, ramp_volume(oblique_grid((9, 6, 6), origin=(0, 0, 10), angles_deg=(0, 0, 0))))
    with pytest.raises(SliceGapError, match=r"6\.00 mm apart at position 19\.0 mm") as caught:
        _load(paths[:4] + paths[5:])
    assert (caught.value.gap_mm, caught.value.expected_mm) == pytest.approx((6.0, 3.0))


@given(st.integers(3, 30), st.data())
@settings(max_examples=60, deadline=None)
def test_any_missing_inner_slice_is_noticed(depth: int, data) -> None:
    series = facts_of(oblique_grid((depth + 2, 4, 4)), digits=3)
    gone = data.draw(st.integers(1, depth))
    with pytest.raises(SliceGapError):
        stack_geometry(replace(series, slices=series.slices[:gone] + series.slices[gone + 1 :]))


def test_every_second_slice_missing_in_one_half_is_a_gap() -> None:
    slices = facts_of(oblique_grid((20, 4, 4))).slices
    with pytest.raises(SliceGapError):
        stack_geometry(replace(facts_of(oblique_grid()), slices=slices[:10] + slices[10::2]))


def test_three_slices_with_one_gap_are_refused_although_no_spacing_is_usual() -> None:
    series = facts_of(oblique_grid((4, 4, 4)))
    with pytest.raises(SliceGapError):
        stack_geometry(replace(series, slices=(*series.slices[:2], series.slices[3])))


def test_two_slices_at_one_place_are_refused_even_with_different_pixels(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "a", ramp_volume())
    twin = write_series(tmp_path / "b", ramp_volume(seed=2), SOPInstanceUID=lambda plane: f"1.2.9.{plane}")
    with pytest.raises(DuplicateSliceError, match="same position"):
        _load([*paths, twin[2]])


def test_slices_that_are_not_parallel_are_refused() -> None:
    straight, tilted = facts_of(oblique_grid(angles_deg=(0, 0, 0))), facts_of(oblique_grid(angles_deg=(2, 0, 0)))
    with pytest.raises(MixedOrientationError, match="2 different"):
        stack_geometry(replace(straight, slices=straight.slices[:3] + tilted.slices[3:]))


@pytest.mark.parametrize("change", [{"rows": 9}, {"columns": 11}, {"pixel_spacing": (1.1, 0.95)}])
def test_slices_of_different_matrix_or_spacing_are_refused(change: dict[str, object]) -> None:
    series = facts_of(oblique_grid())
    odd = replace(series.slices[2], **change)  # type: ignore[arg-type]
    with pytest.raises(MixedMatrixError, match="matrix or pixel spacing"):
        stack_geometry(replace(series, slices=(*series.slices[:2], odd, *series.slices[3:])))


def test_a_sheared_stack_is_refused() -> None:
    series = facts_of(oblique_grid((10, 4, 4), angles_deg=(0, 0, 0)))
    sheared = [
        replace(s, position=(s.position[0], s.position[1] + 0.3 * k, s.position[2]))
        for k, s in enumerate(series.slices)
    ]
    with pytest.raises(GeometryError, match=r"drift sideways by 2\.70 mm"):
        stack_geometry(replace(series, slices=tuple(sheared)))


def test_positions_off_by_a_tenth_of_a_millimetre_are_noise_in_a_thick_stack() -> None:
    series = facts_of(oblique_grid((10, 4, 4), spacing=(1, 1, 5), angles_deg=(0, 0, 0)))
    noisy = [
        replace(s, position=(s.position[0], s.position[1], s.position[2] + 0.1 * math.sin(k)))
        for k, s in enumerate(series.slices)
    ]
    _, grid = stack_geometry(replace(series, slices=tuple(noisy)))
    assert grid.spacing[2] == pytest.approx(5, abs=0.02)


def test_a_single_slice_is_as_thick_as_its_header_says() -> None:
    series = facts_of(oblique_grid((1, 4, 4)))
    _, grid = stack_geometry(replace(series, slice_thickness_mm=4.0))
    assert grid.shape[0] == 1
    assert grid.spacing[2] == 4.0


def test_a_single_slice_without_thickness_is_refused() -> None:
    with pytest.raises(GeometryError, match="SliceThickness"):
        stack_geometry(replace(facts_of(oblique_grid((1, 4, 4))), slice_thickness_mm=None))


def test_no_slices_at_all_are_refused() -> None:
    with pytest.raises(GeometryError, match="no slices"):
        stack_geometry(replace(facts_of(oblique_grid()), slices=()))


def test_a_file_that_is_not_there_is_a_retry_and_not_a_smaller_volume(tmp_path: Path) -> None:
    paths = write_series(tmp_path, ramp_volume())
    by_uid = {f"k{index}": path for index, path in enumerate(paths)}
    series = read_study(by_uid).series[0]
    with pytest.raises(SpoolFileMissingError):
        load_series(series, {})


def _load(paths: list[Path]):
    """Read, and stack the only series."""
    import pydicom

    by_uid = {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in paths}
    facts = read_study(by_uid)
    assert len(facts.series) == 1
    assert facts.set_aside == ()
    return load_series(facts.series[0], by_uid)
