"""The body in one series: where its outline is, on a grid of about 2 mm. For checks that need no more detail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from bt_node.domain.geometry import BoolArray, FloatArray, Volume

STEP_MM = 2.0
_BINS = 128
_BRIGHTEST_PERCENT = 99.0  # a few very bright voxels must not move the threshold
_SMOOTH_VOXELS = 1.0


@dataclass(frozen=True, eq=False)
class Body:
    """One series, coarse, and the body in it.

    Attributes:
        array: mean intensities (Z, Y, X) in blocks of about 2 mm.
        spacing: mm along (z, y, x).
        mask: the largest bright part, holes filled slice by slice.
    """

    array: FloatArray
    spacing: tuple[float, float, float]
    mask: BoolArray

    @property
    def signal(self) -> float:
        """Median intensity inside; 0 where nothing is bright."""
        return float(np.median(self.array[self.mask])) if self.mask.any() else 0.0


def find_body(volume: Volume) -> Body:
    """The body in a series, by Otsu's threshold (doi:10.1109/TSMC.1979.4310076) on coarse voxels.

    A lower threshold would take more of the dark rim, and strong ghosts of motion with it.
    """
    array, spacing = _coarse(volume)
    bright = ndimage.gaussian_filter(array, _SMOOTH_VOXELS) > _otsu(array)
    parts, count = ndimage.label(bright)
    if count == 0:
        return Body(array, spacing, np.asarray(bright))
    largest = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    mask: BoolArray = np.stack([ndimage.binary_fill_holes(plane) for plane in largest])
    return Body(array, spacing, mask)


def depth_inside(mask: BoolArray, spacing: tuple[float, float, float]) -> FloatArray:
    """From each voxel inside to the nearest outside, mm; beyond the array is outside."""
    return np.asarray(ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1, 1:-1])


def _coarse(volume: Volume) -> tuple[FloatArray, tuple[float, float, float]]:
    along = volume.grid.spacing[::-1]
    factors = [max(1, min(round(STEP_MM / step), size)) for step, size in zip(along, volume.array.shape, strict=True)]
    blocks = [size // factor for size, factor in zip(volume.array.shape, factors, strict=True)]
    kept = volume.array[tuple(slice(0, n * factor) for n, factor in zip(blocks, factors, strict=True))]
    shape = [part for pair in zip(blocks, factors, strict=True) for part in pair]
    z, y, x = (step * factor for step, factor in zip(along, factors, strict=True))
    return kept.reshape(shape).mean(axis=(1, 3, 5), dtype=np.float64), (z, y, x)


def _otsu(array: FloatArray) -> float:
    """The threshold that parts the histogram into two classes farthest from one another."""
    counts, edges = np.histogram(np.minimum(array, np.percentile(array, _BRIGHTEST_PERCENT)), _BINS)
    middles = (edges[1:] + edges[:-1]) / 2
    below, sums = np.cumsum(counts), np.cumsum(counts * middles)
    weights = below * (below[-1] - below)
    between = (sums[-1] * below - sums * below[-1]) ** 2 / np.maximum(weights, 1)
    return float(edges[int(np.argmax(np.where(weights > 0, between, -1.0))) + 1])
