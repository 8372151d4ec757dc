"""What a brain mask kept of the skull is taken off: bone and scalp that slices near the vertex cut at a slant.

On thick slices the parietal bone is cut tangentially and looks as wide as cortex. A z-score then meets tissue that no
brain has, and a network trained on skull-stripped brains outlines it. Bone is told from brain by three sequences at
once: dark on T1 before and after contrast and not bright on T2, where cerebrospinal fluid and oedema are bright.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from bt_node.domain.geometry import BoolArray, ImageArray, Mask
from bt_node.domain.study import Role

_NEEDED = (Role.T1, Role.T1C, Role.T2)

# z-scores inside the brain, and mm on the models' 1 mm grid. Chosen on two real heads; see docs/preprocessing.md.
_DARK_T1, _DARK_T1C, _NOT_BRIGHT_T2 = -0.6, -0.8, 0.5
_SMOOTHING_MM = 1.0
_DEEPEST_MM = 16.0  # deeper than this it is never bone, but the core of a tumour may look like it
_THIN_MM = 1.0  # thinner spots are noise, vessels or sulci
_BRIDGE_MM = 3.0  # scalp that hangs on the brain by less falls off with the bone
_EDGE_MM = 2.0
_MARGIN = 4  # voxels around the brain's box, so that morphology meets no border


def without_rind(inputs: Mapping[Role, ImageArray], brain: Mask) -> Mask:
    """Take bone and scalp off the rim of a brain mask.

    Args:
        inputs: z-scores inside `brain` (Z, Y, X), without shading, on a 1 mm grid.
        brain: the mask so far.

    Returns:
        A mask inside `brain`; `brain` itself where T1, T1c or T2 is missing.
    """
    if any(role not in inputs for role in _NEEDED):
        return brain
    box = _box_around(brain.array)
    inside = np.pad(brain.array[box], _MARGIN)
    t1, t1c, t2 = (np.pad(ndimage.gaussian_filter(inputs[role][box], _SMOOTHING_MM), _MARGIN) for role in _NEEDED)
    rim = inside & (_depth(inside) < _DEEPEST_MM)
    bone = rim & (t1 < _DARK_T1) & (t1c < _DARK_T1C) & (t2 < _NOT_BRIGHT_T2)
    kept = inside & ~_opened(bone, _THIN_MM)
    largest = _largest_part(_opened(kept, _BRIDGE_MM))
    refined = ndimage.binary_fill_holes(_closed(_grown(largest, _EDGE_MM) & kept, _BRIDGE_MM) & inside)
    array = np.zeros(brain.array.shape, dtype=np.bool_)
    array[box] = refined[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    return Mask(array, brain.grid)


def _box_around(mask: BoolArray) -> tuple[slice, ...]:
    found = ndimage.find_objects(mask.astype(np.uint8))
    return tuple(found[0])


def _depth(mask: BoolArray) -> ImageArray:
    """From each voxel inside to the nearest outside, in voxels; 0 outside. A third of scipy's time."""
    outside = sitk.GetImageFromArray((~mask).astype(np.uint8))
    away = sitk.SignedMaurerDistanceMap(outside, insideIsPositive=False, squaredDistance=False, useImageSpacing=False)
    return np.asarray(np.maximum(sitk.GetArrayFromImage(away), 0.0))


def _shrunk(mask: BoolArray, radius: float) -> BoolArray:
    return np.asarray(_depth(mask) > radius)


def _grown(mask: BoolArray, radius: float) -> BoolArray:
    return ~_shrunk(~mask, radius)


def _opened(mask: BoolArray, radius: float) -> BoolArray:
    return _grown(_shrunk(mask, radius), radius)


def _closed(mask: BoolArray, radius: float) -> BoolArray:
    return _shrunk(_grown(mask, radius), radius)


def _largest_part(mask: BoolArray) -> BoolArray:
    parts, count = ndimage.label(mask)
    if count <= 1:
        return mask
    return np.asarray(parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:])))
