"""From the scanner's volumes to what the models read: one grid, one brain mask, normalised inputs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import SimpleITK as sitk

from bt_node.convert.bias import without_shading
from bt_node.convert.brainmask import PLAUSIBLE_ML, check_plausible, find_brain, mask_of
from bt_node.convert.intensity import zscore_inside
from bt_node.convert.itk import itk_to_volume, one_itk_thread, resample, volume_to_itk
from bt_node.convert.register import RegistrationReport, RigidMotion, head_mask, reference_report, register_all
from bt_node.convert.regrid import MODEL_SPACING_MM, axis_aligned_grid, without_aliasing
from bt_node.convert.rind import without_rind
from bt_node.domain.errors import BrainMaskError, RegistrationError
from bt_node.domain.geometry import BoolArray, FloatArray, Grid, ImageArray, Mask, Volume
from bt_node.domain.study import Role

# Heads (Z, Y, X) on a 1 mm grid along LPS -> probability of brain, float32 of the same shape; None: it cannot tell.
BrainProbability = Callable[[Mapping[Role, ImageArray]], ImageArray | None]

_Voxels = TypeVar("_Voxels", ImageArray, BoolArray)

_REFERENCE_ORDER = (Role.T1C, Role.FLAIR, Role.T2, Role.T1)
# Without it an enhancing tumour is as bright as fat, and falls out of the brain by brightness.
_SECOND_BRAIN_NEEDS = Role.T1
_MARGIN_MM = 5.0
_OUTLINE_MM = 4.0  # voxels in which the head is looked for
_GRID_TOLERANCE_MM = 0.01
_AXIS_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class PreparedStudy:
    """A study on the models' grid: 1 mm isotropic, axes along the patient's (direction is the identity).

    Attributes:
        heads: each sequence registered to the reference and resampled once, intensities as the scanner gave them.
        brain: the brain.
        inputs: each sequence without its shading, z-scored inside the brain, 0 outside.
        registrations: what registration found, for every role (the reference's own says nothing was done).
        second_brain: the brain by brightness and shape, where a network found `brain`; it is right more roughly,
            but in its own way. None where only one of them was asked, it found none, or T1 is missing.
        brain_agreement: Dice of the two before either was refined, 0 where the second found none; None where only one
            was asked.
    """

    heads: Mapping[Role, Volume]
    brain: Mask
    inputs: Mapping[Role, Volume]
    registrations: Mapping[Role, RegistrationReport]
    second_brain: Mask | None = None
    brain_agreement: float | None = None

    @property
    def grid(self) -> Grid:
        """The one grid of heads, brain and inputs."""
        return self.brain.grid


def reference_role(given: Collection[Role]) -> Role:
    """The sequence the others are brought to, on whose grid results lie: T1c, or where it is missing the next best.

    The order is T1c, FLAIR, T2, T1: what is outlined shows best on the first two.
    """
    for role in _REFERENCE_ORDER:
        if role in given:
            return role
    raise ValueError("no volumes given")


def prepare(volumes: Mapping[Role, Volume], brain_probability: BrainProbability | None = None) -> PreparedStudy:
    """Bring the series of one study, as scanned and with skull, to what the models read.

    Args:
        volumes: one volume per role on its own grid, intensities of any unit.
        brain_probability: a network that tells brain from the rest of the head; None: brightness and shape decide.

    Returns:
        Everything on one grid that covers the reference's head in plane, and the brain from below to above.

    Raises:
        RegistrationError: a sequence cannot be brought onto the reference.
        BrainMaskError: no plausible brain.
    """
    reference = reference_role(volumes)
    reports = _register_all(volumes, reference)
    grid = _head_grid(volumes[reference])
    heads = {role: _onto(grid, volume, reports[role].motion) for role, volume in volumes.items()}
    brain, second, agreement = _brain_in(heads, grid, brain_probability)
    check_plausible(brain)
    levels = _levels_of(brain)
    cut = {role: Volume(*_cut(head.array, grid, levels)) for role, head in heads.items()}
    brain = Mask(*_cut(brain.array, grid, levels))
    even = _unshaded(cut, brain)
    brain = without_rind(_normalised(even, brain), brain)
    check_plausible(brain)
    inputs = _as_volumes(_normalised(even, brain), brain.grid)
    second = second and Mask(*_cut(second.array, grid, levels))
    return PreparedStudy(cut, brain, inputs, reports, second, agreement)


def prepare_preprocessed(volumes: Mapping[Role, Volume]) -> PreparedStudy:
    """Bring co-registered, skull-stripped volumes (as BraTS has them) to what the models read.

    The brain is where any sequence is not zero. Volumes at 1 mm are only turned to the patient's axes, voxel by
    voxel; others are resampled.

    Raises:
        RegistrationError: a sequence is not on the grid of the reference.
        BrainMaskError: no plausible brain.
    """
    reference = reference_role(volumes)
    for role, volume in volumes.items():
        if not volume.grid.is_close(volumes[reference].grid, _GRID_TOLERANCE_MM):
            raise RegistrationError(role.value, f"preprocessed input must share the grid of {reference.value}.")
    heads = {role: along_patient_axes(volume) for role, volume in volumes.items()}
    grid = heads[reference].grid
    brain = Mask(np.any([volume.array != 0 for volume in heads.values()], axis=0), grid)
    check_plausible(brain)
    inputs = _normalised(_unshaded(heads, brain), brain)
    reports = {role: reference_report(role) for role in volumes}
    return PreparedStudy(heads, brain, _as_volumes(inputs, grid), reports)


def _brain_in(
    heads: Mapping[Role, Volume], grid: Grid, probability: BrainProbability | None
) -> tuple[Mask, Mask | None, float | None]:
    """The brain, the same found in a second way, and their Dice: a network finds some brain in a knee too."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        by_rule = pool.submit(find_brain, heads)
        found = probability({role: head.array for role, head in heads.items()}) if probability else None
        if found is None:
            return by_rule.result(), None, None
        brain = mask_of(found, grid)
        try:
            second = by_rule.result()
        except BrainMaskError:
            return brain, None, 0.0
        return brain, second if _SECOND_BRAIN_NEEDS in heads else None, _dice(brain.array, second.array)


def _dice(first: BoolArray, second: BoolArray) -> float:
    return 2 * np.count_nonzero(first & second) / (np.count_nonzero(first) + np.count_nonzero(second))


def _unshaded(heads: Mapping[Role, Volume], brain: Mask) -> dict[Role, ImageArray]:
    """Every sequence without its shading. One ITK thread each, side by side: sums over threads would differ."""
    with one_itk_thread, ThreadPoolExecutor(max_workers=len(heads)) as pool:
        found = pool.map(lambda head: without_shading(head, brain), heads.values())
        return dict(zip(heads, found, strict=True))


def _normalised(arrays: Mapping[Role, ImageArray], brain: Mask) -> dict[Role, ImageArray]:
    return {role: zscore_inside(array, brain.array) for role, array in arrays.items()}


def _as_volumes(arrays: Mapping[Role, ImageArray], grid: Grid) -> dict[Role, Volume]:
    return {role: Volume(array, grid) for role, array in arrays.items()}


def _register_all(volumes: Mapping[Role, Volume], reference: Role) -> dict[Role, RegistrationReport]:
    others = {role: volume for role, volume in volumes.items() if role is not reference}
    reports = register_all(volumes[reference], others)
    return {role: reports.get(role, reference_report(role)) for role in volumes}


def _head_grid(reference: Volume) -> Grid:
    """1 mm grid along the patient's axes around the reference's head, within what was scanned."""
    image = without_aliasing(volume_to_itk(reference), _OUTLINE_MM)
    index = np.argwhere(sitk.GetArrayFromImage(head_mask(image)) > 0)
    if not index.size:  # blank
        raise BrainMaskError(0.0, *PLAUSIBLE_ML)
    points = itk_to_volume(image).grid.index_to_world(index)
    margin = np.full(3, _MARGIN_MM)
    return axis_aligned_grid(np.floor(points.min(axis=0) - margin), points.max(axis=0) + margin)


def _onto(grid: Grid, volume: Volume, motion: RigidMotion) -> Volume:
    """Motion and resampling in one step, linear.

    Linear rather than B-spline: it cannot ring at the skull or at the edge of the field of view, so no invented
    intensities reach the z-score, and at 5 mm slices a sharper kernel has nothing to sharpen.
    """
    image = without_aliasing(volume_to_itk(volume), MODEL_SPACING_MM)
    return Volume(resample(image, grid, motion.to_itk()).astype(np.float32, copy=False), grid)


def _levels_of(brain: Mask) -> slice:
    """The levels of the brain and a margin: neck and air are dropped. In plane the head stays, for the classifier."""
    levels = np.flatnonzero(brain.array.any(axis=(1, 2)))
    margin = int(_MARGIN_MM / MODEL_SPACING_MM)
    return slice(max(0, int(levels[0]) - margin), min(brain.grid.shape[0], int(levels[-1]) + margin + 1))


def _cut(array: _Voxels, grid: Grid, levels: slice) -> tuple[_Voxels, Grid]:
    x, y, z = grid.index_to_world((levels.start, 0, 0))
    shape = (levels.stop - levels.start, *grid.shape[1:])
    return array[levels].copy(), Grid(shape, grid.spacing, (float(x), float(y), float(z)), grid.direction)


def along_patient_axes(volume: Volume) -> Volume:
    """Axes permuted and flipped to right-left, anterior-posterior, inferior-superior; resampled only if still off."""
    turned = itk_to_volume(sitk.DICOMOrient(volume_to_itk(volume), "LPS"))
    grid = turned.grid
    straight = np.allclose(grid.direction_matrix, np.eye(3), atol=_AXIS_TOLERANCE)
    if straight and np.allclose(grid.spacing, MODEL_SPACING_MM, atol=_AXIS_TOLERANCE):
        return Volume(turned.array, Grid(grid.shape, (MODEL_SPACING_MM,) * 3, grid.origin))
    corners = grid.index_to_world(_corner_indices(grid))
    return _onto(axis_aligned_grid(corners.min(axis=0), corners.max(axis=0)), turned, RigidMotion())


def _corner_indices(grid: Grid) -> FloatArray:
    ends = [(0.0, float(size - 1)) for size in grid.shape]
    return np.array(np.meshgrid(*ends, indexing="ij")).reshape(3, -1).T
