"""What a brain mask kept of the eye sockets is taken off: fat, brighter than white matter before contrast and after.

Bright tissue that lies mostly outside the mask is fat that the mask cut into. What is bright and lies inside, an old
bleeding for one, is no part of such fat and stays.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from bt_node.domain.geometry import BoolArray, ImageArray, Mask
from bt_node.domain.study import Role

_NEEDED = (Role.T1, Role.T1C)
_WHITE_MATTER_PERCENT = 95.0  # of intensities inside the mask
_ABOVE = 1.1
_SMOOTHING_MM = 0.6
_THIN_VOXELS = 1  # thinner is a vessel, or the dura
_MOSTLY_OUTSIDE = 0.5
_FULL = np.ones((3, 3, 3), dtype=np.bool_)


def without_fat(heads: Mapping[Role, ImageArray], brain: Mask) -> Mask:
    """Take fat off a brain mask.

    Args:
        heads: intensities without shading, with skull (Z, Y, X), on the mask's 1 mm grid.
        brain: the mask so far.

    Returns:
        A mask inside `brain`; `brain` itself where T1 or T1c is missing.
    """
    if any(role not in heads for role in _NEEDED):
        return brain
    bright: BoolArray = np.ones(brain.array.shape, dtype=np.bool_)
    for role in _NEEDED:
        level = np.percentile(heads[role][brain.array], _WHITE_MATTER_PERCENT)
        bright &= ndimage.gaussian_filter(heads[role], _SMOOTHING_MM) > _ABOVE * level
    bright = ndimage.binary_opening(bright, iterations=_THIN_VOXELS)
    parts, count = ndimage.label(bright, structure=_FULL)
    inside = np.bincount(parts[brain.array], minlength=count + 1)
    all_of_it = np.bincount(parts.ravel(), minlength=count + 1)
    fat = inside < (1 - _MOSTLY_OUTSIDE) * all_of_it
    fat[0] = False
    return Mask(brain.array & ~fat[parts], brain.grid)
