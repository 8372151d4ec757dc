"""Outlined parts that are bone or scalp: what an imperfect brain mask left at the rim, and a network took for tumour.

A network that learnt on skull-stripped brains has never seen bone. Where thick slices cut the vertex at a slant, the
mask keeps some, and a false outline on the healthy side is worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from bt_node.domain.geometry import BoolArray, ImageArray
from bt_node.domain.study import Role

# Median z-score below which a whole part is darker than tumours are, and mm (voxels of 1 mm) of the brain's rim.
# Of the experts' parts in 15 BraTS cases none was dark on both: the lowest medians, -0.56 before and -0.56 after
# contrast, are those of two that reach 34 and 39 mm deep. The part on one real head that this is for: -0.88,
# -1.49, within 8 mm.
_DARK: Mapping[Role, float] = {Role.T1: -0.6, Role.T1C: -0.8}
_RIM_MM = 12.0
_MOST_OF_IT = 95.0  # per cent of a part that must lie in the rim
_TOUCHING = np.ones((3, 3, 3), dtype=np.bool_)


def bone_like(outline: BoolArray, brain: BoolArray, inputs: Mapping[Role, ImageArray]) -> BoolArray:
    """Parts of an outline that hug the brain's rim and are dark on T1 before and after contrast, as bone is.

    Args:
        outline: what was labelled (Z, Y, X), on a 1 mm grid.
        brain: the brain mask on it.
        inputs: z-scores inside the brain.

    Returns:
        Those parts; none where T1 or T1c is missing, since fluid and oedema are dark on one of them too.
    """
    found: BoolArray = np.zeros(outline.shape, dtype=np.bool_)
    if any(role not in inputs for role in _DARK):
        return found
    depth = ndimage.distance_transform_edt(np.pad(brain, 1))[1:-1, 1:-1, 1:-1]
    parts, count = ndimage.label(outline, structure=_TOUCHING)
    for number, box in enumerate(ndimage.find_objects(parts, max_label=count), start=1):
        part = parts[box] == number
        inside = part & brain[box]
        if not inside.any() or np.percentile(depth[box][part], _MOST_OF_IT) > _RIM_MM:
            continue
        if all(np.median(inputs[role][box][inside]) < dark for role, dark in _DARK.items()):
            found[box] |= part
    return found


def left_out(volume_ml: float) -> tuple[str, ...]:
    """The caution that says so; none where nothing was left out."""
    if volume_ml == 0:
        return ()
    size = f"{volume_ml:.1f} ml at the rim of the brain"
    looks = "dark before and after contrast as bone is"
    return (f"{size}, {looks}, were left out of the outline: the brain mask is doubtful there.",)
