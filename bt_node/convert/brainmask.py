"""Brain mask on real heads, with skull, without any learned weights.

Compact bone is dark in T1, T2 and FLAIR alike, while brain and cerebrospinal fluid are never dark in all of them: the
mean of the sequences, each divided by its own median in the middle of the head, is close to 1 throughout the skull's
inside, fluid and oedema included, and low in bone. What is left connected (foramina, orbits, marrow) is narrow: an
opening by distance cuts it. This works on 5 mm slices too, because no step needs a thin edge.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from bt_node.domain.errors import BrainMaskError
from bt_node.domain.geometry import BoolArray, FloatArray, ImageArray, Mask, Volume
from bt_node.domain.study import Role

PLAUSIBLE_ML = (600.0, 2200.0)

_TISSUE = (0.7, 1.35)  # of the brain's median: above bone, below fat
_BALL_MM = 40.0  # a ball of brain in the middle of every head
_BALL_BELOW_TOP_MM = 65.0
_HEAD_LEVEL_MM2 = 2000.0  # a level with less tissue is the top of the scalp, or noise
_OPENING_MM = 9.0
_CLOSING_MM = 6.0
_STEP = 2  # voxels: distances are taken on every second voxel, the outline on all


def check_plausible(brain: Mask) -> None:
    """Refuse a mask whose volume no human brain has.

    Raises:
        BrainMaskError: outside 600 to 2200 ml.
    """
    low, high = PLAUSIBLE_ML
    if not low <= brain.volume_ml <= high:
        raise BrainMaskError(brain.volume_ml, low, high)


def find_brain(heads: Mapping[Role, Volume]) -> Mask:
    """The brain, with its ventricles and sulci, in registered heads on one axis-aligned 1 mm grid.

    Raises:
        BrainMaskError: nothing like a head is there.
    """
    grid = next(iter(heads.values())).grid
    arrays = [head.array for head in heads.values()]
    centre = _middle_of_head(arrays)
    tissue = _tissue(_even_brain(arrays, centre))
    return Mask(_open_from(tissue, centre), grid)


def _middle_of_head(arrays: list[ImageArray]) -> FloatArray:
    """A point (z, y, x) in the middle of the brain, from the outline of the head."""
    bright = np.mean([_relative(array) for array in arrays], axis=0)
    parts, count = ndimage.label(bright > 0.5 * float(bright[bright > 0].mean()) if bright.any() else bright > 0)
    if count == 0:
        raise BrainMaskError(0.0, *PLAUSIBLE_ML)
    head = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    levels = np.flatnonzero(head.sum(axis=(1, 2)) > _HEAD_LEVEL_MM2)
    if levels.size == 0:
        raise BrainMaskError(0.0, *PLAUSIBLE_ML)
    level = max(int(levels[-1] - _BALL_BELOW_TOP_MM), int(levels[0]))
    outline = np.argwhere(head[level : level + 15].any(axis=0))
    row, column = (outline.min(axis=0) + outline.max(axis=0)) / 2
    return np.array([level, row, column])


def _relative(array: ImageArray) -> ImageArray:
    inside = array[array > 0]
    return array / np.float32(np.percentile(inside, 90)) if inside.size else array


def _even_brain(arrays: list[ImageArray], centre: FloatArray) -> ImageArray:
    """Mean of the sequences that cover a voxel, each in units of its median in the ball; brain and fluid near 1."""
    z, y, x = np.ogrid[tuple(slice(0, size) for size in arrays[0].shape)]
    ball = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < _BALL_MM**2
    total = np.zeros(arrays[0].shape, dtype=np.float32)
    covering = np.zeros(arrays[0].shape, dtype=np.float32)
    for array in arrays:
        inside = array[ball & (array > 0)]
        if inside.size == 0:
            continue
        total += np.minimum(array / np.float32(np.median(inside)), 2.0)
        covering += array > 0
    return np.asarray(total / np.maximum(covering, 1), dtype=np.float32)


def _tissue(even: ImageArray) -> BoolArray:
    smooth = ndimage.gaussian_filter(even, 1.0)
    return np.asarray((smooth > _TISSUE[0]) & (smooth < _TISSUE[1]))


def _open_from(tissue: BoolArray, centre: FloatArray) -> BoolArray:
    """The part of `tissue` around `centre` that is nowhere thinner than the opening; its gaps and holes closed."""
    coarse = tissue[::_STEP, ::_STEP, ::_STEP]
    core = _part_at(ndimage.distance_transform_edt(coarse) > _OPENING_MM / _STEP, centre / _STEP)
    reach = ndimage.distance_transform_edt(~core) <= (_OPENING_MM + 1) / _STEP
    near = ndimage.zoom(reach.astype(np.float32), _STEP, order=1, grid_mode=True, mode="nearest") > 0.5  # noqa: PLR2004
    grown = np.zeros_like(tissue)
    size = tuple(min(a, b) for a, b in zip(near.shape, tissue.shape, strict=True))
    box = tuple(slice(0, n) for n in size)
    grown[box] = near[box] & tissue[box]
    return _close(grown)


def _part_at(mask: BoolArray, centre: FloatArray) -> BoolArray:
    parts, count = ndimage.label(mask)
    if count == 0:
        raise BrainMaskError(0.0, *PLAUSIBLE_ML)
    at_centre = int(parts[tuple(np.minimum(np.rint(centre).astype(int), np.array(mask.shape) - 1))])
    return np.asarray(parts == (at_centre or 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))))


def _close(mask: BoolArray) -> BoolArray:
    reach = int(_CLOSING_MM) + 1
    padded = np.pad(mask, reach)
    wide = ndimage.distance_transform_edt(~padded) <= _CLOSING_MM
    narrow = ndimage.distance_transform_edt(wide) > _CLOSING_MM
    inner = tuple(slice(reach, -reach) for _ in range(3))
    return np.asarray(ndimage.binary_fill_holes(narrow[inner] | mask))
