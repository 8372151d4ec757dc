"""The tumour's connected parts, and which part of a former study's outline each of them is.

A lesion is the same one when the former outline, carried over by the registration of the two heads, covers a part of
it, or when the two middles lie close together (a lesion of a few voxels may miss itself by a voxel). Where lesions
have merged or split, the pair that shares most voxels is the same lesion; the others are told as new or as gone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from bt_node.convert.itk import array_to_itk, resample
from bt_node.convert.register import RigidMotion
from bt_node.domain.geometry import BoolArray, FloatArray, Grid, LabelArray

SMALLEST_ML = 0.1  # smaller parts are specks: they count in the volumes and are not followed one by one
MOST_LESIONS = 20
_TOUCHING = np.ones((3, 3, 3), dtype=bool)  # voxels that share a corner belong together
_LEAST_SHARED = 0.1  # of the smaller of the two
_NEAR_MM = 5.0


@dataclass(frozen=True, eq=False)
class Parts:
    """Connected parts of a mask.

    Attributes:
        array: uint8 (Z, Y, X): 0 nothing (or a speck), then 1, 2, … from the largest part to the smallest.
        grid: where the array lies.
        volumes_ml: of part 1, 2, …
        centres_mm: middle of the voxels of part 1, 2, …, LPS mm.
    """

    array: LabelArray
    grid: Grid
    volumes_ml: tuple[float, ...]
    centres_mm: tuple[tuple[float, float, float], ...]

    @property
    def count(self) -> int:
        """How many parts."""
        return len(self.volumes_ml)


def split(mask: BoolArray, grid: Grid) -> Parts:
    """The connected parts of `mask` (Z, Y, X) from the largest on: at most `MOST_LESIONS`, none below `SMALLEST_ML`.

    The largest part is always there, however small.
    """
    found, _ = ndimage.label(mask, structure=_TOUCHING)
    sizes = np.bincount(found.ravel())[1:]
    order = np.argsort(-sizes, kind="stable")[:MOST_LESIONS]
    millilitres = sizes * grid.voxel_volume_mm3 / 1000.0
    kept = [int(label) for place, label in enumerate(order) if place == 0 or millilitres[label] >= SMALLEST_ML]
    numbers = np.zeros(len(sizes) + 1, dtype=np.uint8)
    for number, label in enumerate(kept, start=1):
        numbers[label + 1] = number
    array = numbers[found]
    centres = ndimage.center_of_mass(np.ones_like(array), array, range(1, len(kept) + 1)) if kept else []
    worlds = [tuple(float(value) for value in grid.index_to_world(centre)) for centre in centres]
    return Parts(array, grid, tuple(float(millilitres[label]) for label in kept), tuple(worlds))  # type: ignore[arg-type]


def same_lesions(present: Parts, former: Parts, motion: RigidMotion) -> dict[int, int]:
    """Which present part is which former part.

    Args:
        present: parts of this study's outline.
        former: parts of the former study's outline, on its own grid.
        motion: maps this study's world to the former study's.

    Returns:
        Number of the former part for each present part that has one; each former part stands once.
    """
    if not present.count or not former.count:
        return {}
    outline = array_to_itk(former.array, former.grid)
    carried = resample(outline, present.grid, motion.to_itk(), sitk.sitkNearestNeighbor)
    shared = _shared_ml(present, carried, former.count)
    smaller = np.minimum.outer(np.asarray(present.volumes_ml), np.asarray(former.volumes_ml))
    apart = _apart_mm(present, former, motion)
    same = (shared >= _LEAST_SHARED * smaller) | (apart <= _NEAR_MM)
    # Nearness decides only where nothing is shared: it stays below any shared voxel.
    worth = np.where(same, shared + 1e-6 / (1.0 + apart), 0.0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    return {int(row) + 1: int(column) + 1 for row, column in zip(rows, columns, strict=True) if same[row, column]}


def _shared_ml(present: Parts, carried: npt.NDArray[np.uint8], former_count: int) -> FloatArray:
    """What present part (row) and former part (column) share, ml."""
    both = present.array.astype(np.int64) * (former_count + 1) + carried
    counts = np.bincount(both.ravel(), minlength=(present.count + 1) * (former_count + 1))
    table = counts.reshape(present.count + 1, former_count + 1)[1:, 1:]
    shared: FloatArray = table.astype(np.float64) * (present.grid.voxel_volume_mm3 / 1000.0)
    return shared


def _apart_mm(present: Parts, former: Parts, motion: RigidMotion) -> FloatArray:
    """Distance in mm of the middles of present part (row) and former part (column), in the former study's world."""
    here = motion.apply(np.asarray(present.centres_mm, dtype=np.float64))
    there = np.asarray(former.centres_mm, dtype=np.float64)
    distances: FloatArray = np.linalg.norm(here[:, None, :] - there[None, :, :], axis=2)
    return distances
