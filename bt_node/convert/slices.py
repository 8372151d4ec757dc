"""Axial slices for the 2D classifier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bt_node.domain.geometry import BoolArray, ImageArray, Mask, Volume

IntArray = npt.NDArray[np.int_]

_AXIS_TOLERANCE = 1e-3
_CENTRAL_PART = (0.25, 0.85)  # of the brain's height: above the skull base, below the vertex


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


def choose_classifier_slices(brain: Mask, whole_tumour: BoolArray | None, count: int) -> tuple[int, ...]:
    """Indices of up to `count` axial slices for the classifier, ascending.

    With a tumour these are the slices where it is largest; without one they are spread evenly over the central part
    of the brain.

    Args:
        brain: brain mask on an axis-aligned grid.
        whole_tumour: bool (Z, Y, X) on the same grid, or None.
        count: how many slices at most, positive.
    """
    if count < 1:
        raise ValueError(f"count must be positive, not {count}")
    if whole_tumour is not None and whole_tumour.any():
        return _largest(whole_tumour.sum(axis=(1, 2)), count)
    return _spread(np.flatnonzero(brain.array.any(axis=(1, 2))), count)


def _largest(areas: IntArray, count: int) -> tuple[int, ...]:
    ranked = np.argsort(-areas, kind="stable")[:count]
    return tuple(sorted(int(index) for index in ranked if areas[index] > 0))


def _spread(levels: IntArray, count: int) -> tuple[int, ...]:
    if levels.size == 0:
        return ()
    low, high = (levels[0] + part * (levels[-1] - levels[0]) for part in _CENTRAL_PART)
    centres = low + (np.arange(count) + 0.5) * (high - low) / count
    return tuple(sorted({round(float(centre)) for centre in centres}))
