"""Sizes of tumour regions on the source grid: volume, longest axis, perpendicular axis.

Axes after RANO (Wen 2010, doi:10.1200/JCO.2009.26.3541): the longest diameter of the lesion on one acquired slice and
the longest diameter perpendicular to it on that slice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist, squareform

from bt_node.domain.geometry import BoolArray, FloatArray
from bt_node.domain.tumour import LabelMap, Region, RegionMeasurement

_WITH_AXES = (Region.ET, Region.TC)
_TOUCHING = np.ones((3, 3), dtype=bool)  # pixels that share a corner belong together
_STEPS_PER_PIXEL = 4


def measure(labels: LabelMap) -> Mapping[Region, RegionMeasurement]:
    """Volume in ml of every region; long and perpendicular axis in mm of ET and TC (None when absent).

    The first array axis is the slice axis: axes are measured within `labels.array[z]`, in the largest connected part
    of each slice, on the slice where they are longest. Pixels need not be square.
    """
    return {region: _measure_region(labels, region) for region in Region}


def _measure_region(labels: LabelMap, region: Region) -> RegionMeasurement:
    mask = labels.mask(region)
    volume_ml = float(mask.sum()) * labels.grid.voxel_volume_mm3 / 1000.0
    if region not in _WITH_AXES or not mask.any():
        return RegionMeasurement(region, volume_ml)
    column_mm, row_mm, _ = labels.grid.spacing
    spacing = np.array([row_mm, column_mm])
    long_axis, best = max(
        ((_longest(part, spacing), part) for part in _largest_parts(mask)), key=lambda found: found[0][0]
    )
    length, direction = long_axis
    return RegionMeasurement(region, volume_ml, length, _longest_across(best, spacing, direction))


def _largest_parts(mask: BoolArray) -> Iterator[BoolArray]:
    """The largest connected part of each slice that has one, cropped to its box."""
    for plane in mask:
        if not plane.any():
            continue
        parts, _ = ndimage.label(plane, structure=_TOUCHING)
        largest = int(np.argmax(np.bincount(parts.ravel())[1:])) + 1
        box = ndimage.find_objects(parts, max_label=largest)[largest - 1]
        yield parts[box] == largest


def _longest(part: BoolArray, spacing: FloatArray) -> tuple[float, FloatArray]:
    """Longest diameter in mm and its unit vector (row, column) in mm space.

    Ends lie on the middles of pixel edges: centres would shorten every diameter by about a pixel, corners would
    lengthen it.
    """
    outline = part & ~ndimage.binary_erosion(part)
    centres = np.argwhere(outline).astype(np.float64)
    offsets = np.array([[0.5, 0.0], [-0.5, 0.0], [0.0, 0.5], [0.0, -0.5]])
    points = (centres[:, None, :] + offsets).reshape(-1, 2) * spacing
    hull = points[ConvexHull(points).vertices]
    distances = squareform(pdist(hull))
    first, second = np.unravel_index(int(distances.argmax()), distances.shape)
    length = float(distances[first, second])
    return length, (hull[second] - hull[first]) / length


def _longest_across(part: BoolArray, spacing: FloatArray, along: FloatArray) -> float:
    """Longest extent in mm of `part` on any line perpendicular to the unit vector `along`."""
    step = float(spacing.min()) / _STEPS_PER_PIXEL
    reach = float(np.hypot(*(np.array(part.shape) * spacing))) / 2
    ticks = np.arange(-reach, reach + step, step)
    across = np.array([-along[1], along[0]])
    centre = (np.array(part.shape) - 1) / 2 * spacing
    points = centre + ticks[:, None, None] * along + ticks[None, :, None] * across
    rows, columns = np.moveaxis(np.rint(points / spacing).astype(int), -1, 0)
    on_part = (rows >= 0) & (rows < part.shape[0]) & (columns >= 0) & (columns < part.shape[1])
    inside = np.zeros(rows.shape, dtype=bool)
    inside[on_part] = part[rows[on_part], columns[on_part]]
    lines = inside[inside.any(axis=1)]
    first = lines.argmax(axis=1)
    last = lines.shape[1] - 1 - lines[:, ::-1].argmax(axis=1)
    return float((last - first + 1).max()) * step
