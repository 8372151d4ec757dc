"""Slices to a volume, with every geometric assumption checked before a voxel is used.

A Grid can only express parallel slices of one matrix, evenly spaced along their own normal. Whatever is not so is
refused with the fact that broke it; nothing is averaged or interpolated to make it fit. Only the very same image
received twice under two UIDs is left out, and named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bt_node.convert.copies import copies_among
from bt_node.convert.pixels import Instance, open_instance
from bt_node.domain.errors import (
    DuplicateSliceError,
    GeometryError,
    MixedMatrixError,
    MixedOrientationError,
    MosaicError,
    SliceGapError,
    SpoolFileMissingError,
)
from bt_node.domain.geometry import FloatArray, Grid, ImageArray, Volume
from bt_node.domain.study import SeriesFacts, SliceFacts, StackedSeries

# Headers are decimal strings of at most 16 characters (PS3.5 6.2), often rounded to 4 or 6 places, and single
# scanners (GE) round cosines to 6. The tolerances below are 10 to 100 times that noise, and far below what would
# move an outline: 1e-3 in a cosine is 0.06°, 0.12 mm at the edge of a 240 mm field.
ORIENTATION_TOLERANCE = 1e-3
SPACING_TOLERANCE = 1e-4  # relative, in-plane
# A missing slice doubles one gap (100 %). Rounded positions give errors of 0.01 mm at most, but old scanners set
# tables to 0.1 mm: 5 % of the spacing, at least 0.02 mm, passes these and stays far from half a slice.
GAP_TOLERANCE = 0.05
GAP_FLOOR_MM = 0.02
DUPLICATE_MM = 0.01  # thinner than any slice a scanner makes
# Sideways drift of positions from one slice to the next: more is a sheared stack that a Grid cannot express.
SHEAR_TOLERANCE = 0.005  # mm per mm along the normal (0.3°)
SHEAR_FLOOR_MM = 0.05  # over the whole stack, below half the finest pixel


def load_series(series: SeriesFacts, paths: Mapping[str, Path]) -> StackedSeries:
    """Decode one series into a volume on its own grid.

    Args:
        series: header facts; only `slices` and the slice thickness are used. All slices are used, or none.
        paths: file of each instance by SOPInstanceUID.

    Returns:
        Volume float32 (Z, Y, X) in the scanner's unit after rescale. x runs along increasing column index, y along
        increasing row index, z along their right-handed normal; plane z is `slices[z]`. `copies` are images that
        equal another one of the series in place and in every pixel: they are left out.

    Raises:
        GeometryError: one of its kinds, when the slices form no regular volume.
        PixelDataError: a frame cannot be decoded.
        SpoolFileMissingError: a file is missing.
    """
    missing = [facts.sop_instance_uid for facts in series.slices if facts.sop_instance_uid not in paths]
    if missing:
        raise SpoolFileMissingError(missing[0])
    copies = copies_among(series.slices, paths)
    single = replace(series, slices=tuple(facts for facts in series.slices if facts not in copies))
    slices, grid = stack_geometry(single)
    return StackedSeries(series.series_instance_uid, Volume(_decode(slices, paths), grid), slices, copies)


def stack_geometry(series: SeriesFacts) -> tuple[tuple[SliceFacts, ...], Grid]:
    """Sort the slices along their normal and find their grid; no file is touched.

    Raises:
        GeometryError: one of its kinds, when the slices form no regular volume.
    """
    uid = series.series_instance_uid
    if not series.slices:
        raise GeometryError(uid, "it holds no slices.")
    if "MOSAIC" in series.image_type:
        raise MosaicError(uid)
    _check_orientation(uid, series.slices)
    _check_matrix(uid, series.slices)
    axes = _axes(uid, series.slices)
    normal = axes[:, 2]
    slices = tuple(sorted(series.slices, key=lambda facts: (float(normal @ facts.position), _tie_break(facts))))
    depths = np.array([float(normal @ facts.position) for facts in slices])
    thickness = _spacing(uid, depths, series.slice_thickness_mm)
    _check_shear(uid, slices, depths, axes)
    between_rows, between_columns = slices[0].pixel_spacing
    grid = Grid(
        shape=(len(slices), slices[0].rows, slices[0].columns),
        # PixelSpacing is (between rows, between columns) (PS3.3 10.7.1.3): y first.
        spacing=(between_columns, between_rows, thickness),
        origin=slices[0].position,
        direction=tuple(float(value) for value in axes.ravel()),
    )
    return slices, grid


def _tie_break(facts: SliceFacts) -> tuple[str, int]:
    return (facts.sop_instance_uid, facts.frame)


def _check_orientation(uid: str, slices: Sequence[SliceFacts]) -> None:
    kinds: list[FloatArray] = []
    for facts in slices:
        cosines = np.asarray(facts.orientation, dtype=np.float64)
        if not any(np.abs(cosines - kind).max() <= ORIENTATION_TOLERANCE for kind in kinds):
            kinds.append(cosines)
    if len(kinds) > 1:
        raise MixedOrientationError(uid, len(kinds))


def _check_matrix(uid: str, slices: Sequence[SliceFacts]) -> None:
    first = slices[0]
    spacing = np.asarray(first.pixel_spacing)
    same = all(
        (facts.rows, facts.columns) == (first.rows, first.columns)
        and np.allclose(facts.pixel_spacing, spacing, rtol=SPACING_TOLERANCE, atol=0)
        for facts in slices
    )
    if not same:
        kinds = {f"{s.columns} × {s.rows} at {s.pixel_spacing[1]:.4g} × {s.pixel_spacing[0]:.4g} mm" for s in slices}
        raise MixedMatrixError(uid, sorted(kinds))


def _axes(uid: str, slices: Sequence[SliceFacts]) -> FloatArray:
    """Unit vectors of increasing column, row and plane as columns of a 3×3 matrix, free of rounding noise.

    The mean of the slices' cosines is projected on the nearest orthonormal pair (by singular values), so neither
    of the two header vectors is preferred.
    """
    mean = np.mean([np.asarray(facts.orientation).reshape(2, 3) for facts in slices], axis=0).T
    left, sizes, right = np.linalg.svd(mean, full_matrices=False)
    if np.abs(sizes - 1).max() > ORIENTATION_TOLERANCE:
        raise GeometryError(uid, "ImageOrientationPatient is not two perpendicular unit vectors.")
    pair = left @ right
    return np.column_stack([pair, np.cross(pair[:, 0], pair[:, 1])])


def _spacing(uid: str, depths: FloatArray, slice_thickness_mm: float | None) -> float:
    if depths.size == 1:
        # One slice has no neighbour to measure from: its own thickness is the extent it stands for.
        if not slice_thickness_mm:
            raise GeometryError(uid, "a single slice without SliceThickness has no extent along its normal.")
        return slice_thickness_mm
    gaps = np.diff(depths)
    twin = int(np.argmin(gaps))
    if gaps[twin] < DUPLICATE_MM:
        raise DuplicateSliceError(uid, float(depths[twin]))
    usual = float(np.median(gaps))
    worst = int(np.argmax(np.abs(gaps - usual)))
    if abs(gaps[worst] - usual) > max(GAP_TOLERANCE * usual, GAP_FLOOR_MM):
        raise SliceGapError(uid, float(gaps[worst]), usual, float(depths[worst]))
    # The mean, not the median: it puts the last slice where its header says it is.
    return float((depths[-1] - depths[0]) / gaps.size)


def _check_shear(uid: str, slices: Sequence[SliceFacts], depths: FloatArray, axes: FloatArray) -> None:
    offsets = np.array([facts.position for facts in slices]) - np.asarray(slices[0].position)
    sideways = np.abs(offsets @ axes[:, :2]).max(axis=1)
    allowed = np.maximum(SHEAR_TOLERANCE * (depths - depths[0]), SHEAR_FLOOR_MM)
    if (sideways > allowed).any():
        worst = float(sideways.max())
        raise GeometryError(uid, f"slices drift sideways by {worst:.2f} mm along the stack (a sheared stack).")


def _decode(slices: Sequence[SliceFacts], paths: Mapping[str, Path]) -> ImageArray:
    first = slices[0]
    array = np.empty((len(slices), first.rows, first.columns), dtype=np.float32)
    shared = {facts.sop_instance_uid for facts in slices if facts.frame > 0}
    kept: dict[str, Instance] = {}  # only multi-frame files: classic ones are needed once
    for plane, facts in enumerate(slices):
        uid = facts.sop_instance_uid
        instance = kept.get(uid) or open_instance(uid, paths[uid])
        if uid in shared:
            kept[uid] = instance
        array[plane] = instance.frame(facts)
    return array
