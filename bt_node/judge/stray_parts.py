"""Parts of an outline that lie where a second way of finding the brain finds none: eye, scalp, sinus or bone.

The network outlines only what the first brain mask let in, so that mask cannot show its own mistakes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bt_node.domain.geometry import BoolArray, FloatArray

# Of the second mask, which is rough at its edge: mm (voxels of 1 mm) by which it is widened, and the least part of a
# stray part's volume inside. docs/judgement.md tells on what they were measured.
_WIDENED_MM = 2
LEAST_INSIDE = 0.5
_TOUCHING = np.ones((3, 3, 3), dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class StrayParts:
    """What a second brain mask says of an outline.

    Attributes:
        stray: the smaller parts that lie mostly outside (Z, Y, X): they are left out.
        main_outside: part of the largest one that lies outside; 0 where nothing is outlined.
    """

    stray: BoolArray
    main_outside: float


def find_stray_parts(outline: BoolArray, second_brain: BoolArray) -> StrayParts:
    """Compare each connected part of an outline with a brain mask that the outline does not rest on.

    Args:
        outline: what was labelled (Z, Y, X), on a 1 mm grid.
        second_brain: the brain, found in another way, on the same grid.
    """
    parts, count, inside = share_inside(outline, second_brain)
    if count == 0:
        return StrayParts(np.zeros_like(outline), 0.0)
    main = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    outside = inside < LEAST_INSIDE
    outside[[0, main]] = False
    return StrayParts(outside[parts], float(1.0 - inside[main]))


def share_inside(outline: BoolArray, brain: BoolArray) -> tuple[npt.NDArray[np.int32], int, FloatArray]:
    """Connected parts of an outline: numbers from 1 on (Z, Y, X), how many, and each one's share inside the brain.

    The brain is widened by 2 mm; shares are indexed by number, 0 is what is not outlined.
    """
    parts, count = ndimage.label(outline, structure=_TOUCHING)
    around = ndimage.binary_dilation(brain, iterations=_WIDENED_MM)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    return parts, count, np.bincount(parts[around], minlength=count + 1) / np.maximum(sizes, 1)


def left_out(volume_ml: float) -> tuple[str, ...]:
    """The caution that says so; none where nothing was left out."""
    if volume_ml == 0:
        return ()
    return (f"{volume_ml:.1f} ml apart from the lesion were left out of the outline: they lie outside the brain.",)
