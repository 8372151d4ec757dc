"""Brain mask on real heads, with skull, without any learned weights.

Compact bone is dark in T1, T2 and FLAIR alike, while brain, oedema and cerebrospinal fluid are never dark in all of
them: the mean of the sequences, each divided by its own median in the middle of the head, is close to 1 throughout
the skull's inside and low in bone. Fat is brighter than white matter on T1 before and after contrast (an enhancing
lesion only after, oedema on neither); muscle is dark on T2 and FLAIR. What is left connected (foramina, orbits, the
vertex) is narrow: an opening by distance cuts it. No step needs a thin edge, so 5 mm slices work; all of it runs on a
2 mm grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from bt_node.convert.itk import array_to_itk, grid_of, resample, volume_to_itk
from bt_node.domain.errors import BrainMaskError
from bt_node.domain.geometry import BoolArray, FloatArray, Grid, ImageArray, Mask, Volume
from bt_node.domain.study import Role

PLAUSIBLE_ML = (600.0, 2200.0)

_STEP_MM = 2.0
_BONE_BELOW = 0.75  # mean of the sequences, of their median in the middle of the brain
_MUSCLE_BELOW = 0.6  # the brighter of T2 and FLAIR, of their medians
_FAT_ABOVE = 1.1  # the darker of T1 and T1c, of white matter there
_FAT_ABOVE_WITHOUT_T1 = 1.35  # mean of the sequences, where neither T1 nor T1c is given
_CAP = 2.0  # of the median; one very bright sequence must not outvote the others
_WHITE_MATTER_PERCENT = 95.0  # of T1 in the middle of the brain
_SMOOTH_VOXELS = 0.3
_BALL_MM = 44.0  # a ball of brain in the middle of every head
_BALL_BELOW_TOP_MM = 65.0
_HEAD_LEVEL_MM2 = 2000.0  # a level with less tissue is the top of the scalp, or noise
_OPENING_MM = 8.0
_CLOSING_MM = 10.0
_HALF_VOXEL = 0.5
_HALF = 0.5

_Fields = Mapping[Role, ImageArray]


def check_plausible(brain: Mask) -> None:
    """Refuse a mask whose volume no human brain has.

    Raises:
        BrainMaskError: outside 600 to 2200 ml.
    """
    low, high = PLAUSIBLE_ML
    if not low <= brain.volume_ml <= high:
        raise BrainMaskError(brain.volume_ml, low, high)


def mask_of(probability: ImageArray, grid: Grid) -> Mask:
    """The largest part that is more likely brain than not, holes filled.

    Args:
        probability: of brain (Z, Y, X), 0 to 1.
        grid: where its voxels lie.

    Raises:
        BrainMaskError: no voxel is likely brain.
    """
    likely = probability > _HALF
    if not likely.any():
        raise BrainMaskError(0.0, *PLAUSIBLE_ML)
    return Mask(ndimage.binary_fill_holes(_part(likely)), grid)


def find_brain(heads: Mapping[Role, Volume]) -> Mask:
    """The brain, with its ventricles and sulci, in registered heads on one axis-aligned 1 mm grid.

    Raises:
        BrainMaskError: nothing like a head is there.
    """
    images = {role: _coarse(head) for role, head in heads.items()}
    arrays = {role: np.asarray(sitk.GetArrayFromImage(image), dtype=np.float32) for role, image in images.items()}
    centre = _middle_of_head(list(arrays.values()))
    ball = _ball(next(iter(arrays.values())).shape, centre)
    fields = {role: array / _level(array[ball]) for role, array in arrays.items()}
    brain = _closed(_opened_around(_tissue(fields, ball), centre)).astype(np.float32)
    grid = next(iter(heads.values())).grid
    coarse_grid = grid_of(next(iter(images.values())))
    return Mask(resample(array_to_itk(brain, coarse_grid), grid) > _HALF, grid)


def _coarse(head: Volume) -> sitk.Image:
    factors = [
        max(1, min(round(_STEP_MM / s), n)) for s, n in zip(head.grid.spacing, head.grid.shape[::-1], strict=True)
    ]
    image: sitk.Image = sitk.BinShrink(volume_to_itk(head), factors)
    return image


def _middle_of_head(arrays: Sequence[ImageArray]) -> FloatArray:
    """A point (z, y, x) in the middle of the brain, from the outline of the head."""
    bright = np.mean([array / _level(array, 90.0) for array in arrays], axis=0)
    head = _part(bright > 0.5 * bright.mean(where=bright > 0) if bright.any() else bright > 0)
    levels = np.flatnonzero(head.sum(axis=(1, 2)) * _STEP_MM**2 > _HEAD_LEVEL_MM2)
    if levels.size == 0:
        raise BrainMaskError(0.0, *PLAUSIBLE_ML)
    level = max(int(levels[-1] - _BALL_BELOW_TOP_MM / _STEP_MM), int(levels[0]))
    rows_columns = np.argwhere(head[level : level + 8].any(axis=0))
    row, column = (rows_columns.min(axis=0) + rows_columns.max(axis=0)) / 2
    return np.array([level, row, column])


def _ball(shape: tuple[int, ...], centre: FloatArray) -> BoolArray:
    z, y, x = np.ogrid[tuple(slice(0, size) for size in shape)]
    squared = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2
    return np.asarray(squared < (_BALL_MM / _STEP_MM) ** 2)


def _level(values: ImageArray, percent: float = 50.0) -> np.float32:
    """A percentile of what is not empty; 1 where all is."""
    present = values[values > 0]
    return np.float32(np.percentile(present, percent) if present.size else 1.0)


def _tissue(fields: _Fields, ball: BoolArray) -> BoolArray:
    """Neither bone nor air, muscle or fat."""
    even = _mean_of_covering(list(fields.values()))
    tissue = _smooth(even) > _BONE_BELOW
    water = [fields[role] for role in (Role.T2, Role.FLAIR) if role in fields]
    if water:
        uncovered = np.all([field <= 0 for field in water], axis=0)
        tissue &= _smooth(np.where(uncovered, 1.0, np.max(water, axis=0))) > _MUSCLE_BELOW
    fatty = [fields[r] / _level(fields[r][ball], _WHITE_MATTER_PERCENT) for r in (Role.T1, Role.T1C) if r in fields]
    if fatty:
        return np.asarray(tissue & (_smooth(np.min(fatty, axis=0)) < _FAT_ABOVE))
    return np.asarray(tissue & (_smooth(even) < _FAT_ABOVE_WITHOUT_T1))


def _mean_of_covering(fields: Sequence[ImageArray]) -> ImageArray:
    """Mean over the sequences whose field of view reaches a voxel; 0 where none does."""
    total = np.sum([np.minimum(field, _CAP) for field in fields], axis=0)
    covering = np.sum([field > 0 for field in fields], axis=0)
    return np.asarray(total / np.maximum(covering, 1), dtype=np.float32)


def _smooth(field: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return np.asarray(ndimage.gaussian_filter(field, _SMOOTH_VOXELS))


def _opened_around(tissue: BoolArray, centre: FloatArray) -> BoolArray:
    """The part of `tissue` around `centre`, without what hangs on it by less than the opening."""
    reach = _OPENING_MM / _STEP_MM
    core = _part(ndimage.distance_transform_edt(tissue) > reach, centre)
    return np.asarray((ndimage.distance_transform_edt(~core) <= reach + _HALF_VOXEL) & tissue)


def _closed(mask: BoolArray) -> BoolArray:
    """Sulci and fissures narrower than twice the closing are bridged, holes filled."""
    reach = _CLOSING_MM / _STEP_MM
    pad = int(reach) + 1
    wide = ndimage.distance_transform_edt(~np.pad(mask, pad)) <= reach
    narrow = (ndimage.distance_transform_edt(wide) > reach)[pad:-pad, pad:-pad, pad:-pad]
    return np.asarray(ndimage.binary_fill_holes(narrow | mask))


def _part(mask: BoolArray, point: FloatArray | None = None) -> BoolArray:
    """The connected part at `point`, or the largest."""
    parts, count = ndimage.label(mask)
    if count == 0:
        raise BrainMaskError(0.0, *PLAUSIBLE_ML)
    at_point = 0 if point is None else int(parts[tuple(np.rint(point).astype(int))])
    return np.asarray(parts == (at_point or 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))))
