"""Three measures of a study's intensities that need no names of its sequences: fluid, tissue contrast, enhancement.

All of it in blocks of 2 mm inside the brain, each sequence on a scale of its own: 0 is the brain's median, 1 lies one
interquartile range above it. What the numbers mean stands in `witness`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bt_node.domain.geometry import BoolArray, ImageArray
from bt_node.domain.study import Role

ALL_FOUR = len(Role)

_BLOCK = 2  # voxels of 1 mm: fluid is wider, and noise is averaged
_BLOCK_ML = _BLOCK**3 / 1000
_LEAST_ML = 150.0  # of brain inside the rim
_RIM_MM = 6.0  # where brain mask and registration are least sure, and venous sinuses lie
_TAIL_RIM_MM = 3.0  # many vessels lie near the surface
_FAR, _FAR_WITH_FEWER = 0.6, 1.0  # bright or dark; where one sequence is missing, white matter looks more like fluid
_SOLID = 1.5  # beyond it is fluid, vessel or lesion
_FROM_FLUID_MM = 4.0  # nearer, thick slices mix fluid into tissue
_SMOOTH_BLOCKS = 1.0
_LEAST_SHARE = np.float32(0.1)
_TAIL_PERCENT = 0.5
_LARGEST = 99.0  # of any ratio
_SMALLEST = 1e-6


@dataclass(frozen=True, eq=False)
class Scene:
    """The sequences of one study in blocks of 2 mm.

    Attributes:
        fields: scaled intensities (Z, Y, X) of each sequence, named by its role or by anything else; 0 outside.
        brain: blocks that lie in the brain wholly.
        depth_mm: distance to the nearest block that does not.
    """

    fields: Mapping[Role, ImageArray]
    brain: BoolArray
    depth_mm: npt.NDArray[np.float64]

    @classmethod
    def of(cls, inputs: Mapping[Role, ImageArray], brain: BoolArray) -> Scene | None:
        """From intensities (Z, Y, X) on a 1 mm grid; None where there is too little brain to compare anything."""
        if not inputs or not brain.any():
            return None
        box = ndimage.find_objects(brain.astype(np.uint8))[0]
        whole = np.pad(_blocks(brain[box]) == 1, 1)
        depth = ndimage.distance_transform_edt(whole, sampling=_BLOCK)
        inside = depth > _RIM_MM
        if np.count_nonzero(inside) * _BLOCK_ML < _LEAST_ML:
            return None
        return cls({role: _scaled(array[box], whole, inside) for role, array in inputs.items()}, whole, depth)

    @property
    def _inside(self) -> BoolArray:
        return np.asarray(self.depth_mm > _RIM_MM)

    def fluid_ml(self) -> Mapping[Role | None, float]:
        """By sequence: the volume (ml) where it alone is bright and all others are dark; None: where all are dark."""
        readings = (*self.fields, None)
        return {reading: int(np.count_nonzero(self._alone(reading))) * _BLOCK_ML for reading in readings}

    def _alone(self, bright: Role | None) -> BoolArray:
        signed = [field if role is bright else -field for role, field in self.fields.items()]
        far = _FAR if len(self.fields) == ALL_FOUR else _FAR_WITH_FEWER
        return np.asarray((np.min(signed, axis=0) > far) & self._inside)

    def likeness(self, wet: Role) -> Mapping[Role, float]:
        """Correlation of all others with `wet`, in which fluid is bright, over solid tissue away from fluid."""
        away = ndimage.distance_transform_edt(~self._alone(wet), sampling=_BLOCK) > _FROM_FLUID_MM
        solid = self._inside & away & np.all([np.abs(field) < _SOLID for field in self.fields.values()], axis=0)
        share = np.maximum(ndimage.gaussian_filter(self.brain.astype(np.float32), _SMOOTH_BLOCKS), _LEAST_SHARE)
        smooth = {
            role: (ndimage.gaussian_filter(field, _SMOOTH_BLOCKS) / share)[solid]
            for role, field in self.fields.items()
        }
        other = smooth.pop(wet)
        return {role: _correlation(values, other) for role, values in smooth.items()}

    def tail(self, before: Role, after: Role) -> float:
        """Bright tail over dark tail of `after` minus `before`: above 1 where `after` is the one with contrast."""
        near = self.depth_mm > _TAIL_RIM_MM
        first, second = self.fields[before][near], self.fields[after][near]
        both = np.minimum(first, second) > -_SOLID  # how dark fluid is differs between kinds of T1
        if not both.any():
            return 1.0
        darker, middle, brighter = np.percentile((second - first)[both], [_TAIL_PERCENT, 50, 100 - _TAIL_PERCENT])
        ratio = max(brighter - middle, _SMALLEST) / max(middle - darker, _SMALLEST)
        return float(np.clip(ratio, 1 / _LARGEST, _LARGEST))


def _blocks(array: npt.NDArray[np.generic]) -> ImageArray:
    """Means over blocks of 2 x 2 x 2; what fills no block at the far ends is left out."""
    sizes = [count // _BLOCK for count in array.shape]
    even = array[tuple(slice(0, size * _BLOCK) for size in sizes)].astype(np.float32)
    split = [length for size in sizes for length in (size, _BLOCK)]
    return np.asarray(even.reshape(split).mean(axis=(1, 3, 5)), dtype=np.float32)


def _scaled(array: ImageArray, whole: BoolArray, inside: BoolArray) -> ImageArray:
    blocks = np.pad(_blocks(array), 1)
    low, middle, high = np.percentile(blocks[inside], [25, 50, 75])
    scaled = (blocks - np.float32(middle)) / np.float32(max(high - low, _SMALLEST))
    return np.where(whole, scaled, np.float32(0))


def _correlation(one: ImageArray, other: ImageArray) -> float:
    """Pearson's; 0 where there is nothing to correlate."""
    if one.size == 0 or min(float(one.std()), float(other.std())) < _SMALLEST:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
