"""Axial slices for the 2D classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from bt_node.convert.itk import itk_to_volume, volume_to_itk
from bt_node.domain.geometry import BoolArray, Grid, ImageArray, Mask, Volume
from bt_node.domain.study import Plane
from bt_node.domain.tumour import SliceBasis

IntArray = npt.NDArray[np.int_]

_AXIS_TOLERANCE = 1e-3
_CENTRAL_PART = (0.25, 0.85)  # of the brain's height: above the skull base, below the vertex
_LARGE_ENOUGH = 0.5  # of the largest area
_PLANES = (Plane.SAGITTAL, Plane.CORONAL, Plane.AXIAL)  # by the normal's largest component: x, y, z
RESLICED_UP_TO_MM = 2.0  # two pixels of what the classifier sees; a 3D series is at most this thick
_SQUARE = 1.02


def axial_slices(volume: Volume, indices: Sequence[int]) -> list[ImageArray]:
    """Slices (Y, X) of a volume on an LPS axis-aligned grid: rows run anterior to posterior, columns right to left.

    Raises:
        ValueError: the grid's axes are not the patient's, or an index is not on the grid.
    """
    if not np.allclose(volume.grid.direction_matrix, np.eye(3), atol=_AXIS_TOLERANCE):
        raise ValueError(f"axial slices need an axis-aligned grid, not direction {volume.grid.direction}")
    depth = volume.grid.shape[0]
    if any(not 0 <= index < depth for index in indices):
        raise ValueError(f"slice indices {list(indices)} are not all inside 0 to {depth - 1}")
    return [volume.array[index] for index in indices]


@dataclass(frozen=True)
class SliceChoice:
    """Which slices of a study the classifier gets.

    Attributes:
        indices: axial slices of the models' grid, ascending.
        weights: how much each counts, positive: the area (voxels) that the choice was made by, or 1 for each.
        basis: why these.
    """

    indices: tuple[int, ...]
    weights: tuple[float, ...]
    basis: SliceBasis


def choose_classifier_slices(brain: Mask, core: BoolArray, whole: BoolArray, count: int) -> SliceChoice:
    """Choose up to `count` axial slices for the classifier.

    With an outlined tumour these are spread over the levels where it is at least half as large as at its largest:
    neighbouring slices of a 1 mm grid repeat one another, slices from all through the lesion are different views of
    it, and slices that graze it show little. The core decides where there is one: oedema hardly shows on T1c.
    Without an outline they are spread evenly over the central part of the brain.

    Args:
        brain: brain mask on an axis-aligned grid.
        core: tumour core, bool (Z, Y, X) on the same grid; may be empty.
        whole: whole tumour, likewise.
        count: how many slices at most, positive.
    """
    if count < 1:
        raise ValueError(f"count must be positive, not {count}")
    for mask, basis in ((core, SliceBasis.CORE), (whole, SliceBasis.WHOLE)):
        if mask.any():
            areas = mask.sum(axis=(1, 2))
            indices = _through(areas, count)
            return SliceChoice(indices, tuple(float(areas[index]) for index in indices), basis)
    indices = _spread(np.flatnonzero(brain.array.any(axis=(1, 2))), count)
    return SliceChoice(indices, (1.0,) * len(indices), SliceBasis.SPREAD)


def why_not_axial(grid: Grid) -> str:
    """Why axial slices of a series on `grid` would be guessed; empty when they may be shown to the classifier.

    Axial slices, tilted ones included, are what was acquired. Through sagittal or coronal ones they must be
    interpolated: fine where slices are thin, a smear where they are thick.
    """
    normal = np.abs(grid.direction_matrix[:, 2])
    plane = _PLANES[int(np.argmax(normal))]
    if plane is Plane.AXIAL or grid.spacing[2] <= RESLICED_UP_TO_MM:
        return ""
    return (
        f"its slices are {plane} and {grid.spacing[2]:.1f} mm apart; axial slices are cut only from slices at most "
        f"{RESLICED_UP_TO_MM:.0f} mm apart"
    )


def slices_of_volume(volume: Volume, count: int) -> list[ImageArray]:
    """Up to `count` axial slices (Y, X) with square pixels of a volume in any orientation, spread evenly.

    For files without a brain mask: of a volume, the outer quarters are left out; one to `count` slices are all taken.
    """
    turned = itk_to_volume(sitk.DICOMOrient(volume_to_itk(volume), "LPS"))
    depth = turned.grid.shape[0]
    indices = range(depth) if depth <= count else _spread(np.arange(depth), count)
    column_mm, row_mm, _ = turned.grid.spacing
    return [_square(turned.array[index], row_mm, column_mm) for index in indices]


def _square(picture: ImageArray, row_mm: float, column_mm: float) -> ImageArray:
    """The picture with pixels as fine along both axes as along its finer one."""
    fine = min(row_mm, column_mm)
    if max(row_mm, column_mm) <= fine * _SQUARE:
        return picture
    return np.asarray(ndimage.zoom(picture, (row_mm / fine, column_mm / fine), order=1), dtype=np.float32)


def _through(areas: IntArray, count: int) -> tuple[int, ...]:
    """Levels with at least half the largest area, thinned evenly to `count`."""
    levels = np.flatnonzero(areas >= _LARGE_ENOUGH * areas.max())
    if levels.size <= count:
        return tuple(int(level) for level in levels)
    places = np.rint((np.arange(count) + 0.5) * levels.size / count - 0.5).astype(int)
    return tuple(int(level) for level in levels[places])


def _spread(levels: IntArray, count: int) -> tuple[int, ...]:
    if levels.size == 0:
        return ()
    low, high = (levels[0] + part * (levels[-1] - levels[0]) for part in _CENTRAL_PART)
    centres = low + (np.arange(count) + 0.5) * (high - low) / count
    return tuple(sorted({round(float(centre)) for centre in centres}))
