"""A skull-stripped brain put into a synthetic head, so that a brain mask can be measured where the brain is known.

Around the brain, by distance: cerebrospinal fluid of uneven width, dura, two tables of compact bone with marrow
between, muscle where there is room, fat and skin; below it a face and neck with eyes, orbital fat, air-filled
sinuses and the spinal cord. Each head draws its own widths and brightnesses from ranges that are usual on 1.5 and 3 T
spin echo, each as a multiple of the brain's median on that sequence: compact bone is dark everywhere; fat is bright
on T1, and on T2 and FLAIR as bright or darker than brain (turbo spin echo); fluid is dark on T1 and FLAIR and bright
on T2; the dura enhances after contrast. Crude beside a real head: no vessels, no fat suppression, no metal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy import ndimage

from bt_node.domain.geometry import BoolArray, FloatArray, Grid, ImageArray, LabelArray, Mask, Volume
from bt_node.domain.study import Role

_ROLES = (Role.T1, Role.T1C, Role.T2, Role.FLAIR)
_MARGIN_MM = (38, 30)  # below, and on all other sides
_Range = tuple[float, float]


class _Tissue(Enum):
    """Brightness on T1, T1c, T2 and FLAIR as multiples of the brain's median there."""

    AIR = ((0.0, 0.0),) * 4
    FLUID = ((0.25, 0.45), (0.25, 0.45), (1.7, 2.5), (0.1, 0.35))
    DURA = ((0.4, 0.6), (0.8, 1.5), (0.3, 0.5), (0.4, 0.8))
    BONE = ((0.03, 0.12), (0.03, 0.12), (0.03, 0.1), (0.03, 0.12))
    MARROW = ((0.8, 1.6), (0.8, 1.6), (0.4, 0.9), (0.5, 1.0))
    MUSCLE = ((0.6, 0.9), (0.7, 1.05), (0.25, 0.45), (0.4, 0.65))
    FAT = ((1.5, 2.6), (1.5, 2.6), (0.8, 1.8), (0.8, 1.8))
    SKIN = ((0.5, 0.9), (0.7, 1.2), (0.3, 0.6), (0.5, 0.9))
    VITREOUS = ((0.3, 0.45), (0.3, 0.45), (1.8, 2.4), (0.2, 0.4))
    CORD = ((0.95, 1.1), (0.95, 1.1), (0.7, 0.9), (0.8, 1.0))


@dataclass(frozen=True, eq=False)
class WrappedHead:
    """A head on one upright grid: the four sequences with skull, and where the brain truly is."""

    volumes: Mapping[Role, Volume]
    brain: Mask


def wrap_in_head(stripped: Mapping[Role, Volume], *, seed: int = 0, shading: float = 0.15) -> WrappedHead:
    """Put a brain into a head.

    Args:
        stripped: sequences on one isotropic grid with axes along LPS, 0 outside the brain, as BraTS has them.
        seed: another seed is another skull, other brightnesses and another noise.
        shading: standard deviation of each sequence's own coil shading, as a share of signal; 0 for none.

    Returns:
        The head on a grid of its own that reaches 30 mm (below: 38 mm) beyond the brain.

    Raises:
        ValueError: the grid is not isotropic along the patient's axes, or there is no brain.
    """
    random = np.random.default_rng([seed, 7])
    grid, arrays = _padded(stripped)
    brain = _without_holes(np.any([array > 0 for array in arrays.values()], axis=0))
    step = grid.spacing[0]
    tissues, inner = _tissues(brain, step, random), ndimage.binary_erosion(brain)
    volumes = {}
    for role in (role for role in _ROLES if role in arrays):
        median = float(np.median(arrays[role][arrays[role] > 0]))
        around = np.zeros(len(_Tissue), dtype=np.float32)
        for number, tissue in enumerate(_Tissue):
            around[number] = random.uniform(*tissue.value[_ROLES.index(role)]) * median
        signal = around[tissues] * (1 + np.float32(0.08) * _smooth_field(brain.shape, 4.0 / step, random))
        # Partial volume at every border, also where fluid meets the brain's own edge.
        signal = ndimage.gaussian_filter(np.where(brain, arrays[role], signal), 0.5)
        signal = np.where(inner, arrays[role], signal)
        signal = signal * np.exp(np.float32(shading) * _smooth_field(brain.shape, 90.0 / step, random))
        volumes[role] = Volume(_rician(signal, 0.03 * median, random), grid)
    return WrappedHead(volumes, Mask(brain, grid))


def in_thick_slices(volumes: Mapping[Role, Volume], thickness: int = 5) -> dict[Role, Volume]:
    """The sequences as thick axial slices without gaps, each series starting one plane higher than the one before.

    Args:
        volumes: on one isotropic grid.
        thickness: of a slice, in planes.
    """
    thick = {}
    for start, (role, volume) in enumerate(volumes.items()):
        first = start % thickness
        count = (volume.grid.shape[0] - first) // thickness
        array = volume.array[first : first + count * thickness]
        array = array.reshape(count, thickness, *array.shape[1:]).mean(axis=1, dtype=np.float32)
        x, y, z = volume.grid.index_to_world((first + (thickness - 1) / 2, 0, 0))
        spacing = (volume.grid.spacing[0], volume.grid.spacing[1], thickness * volume.grid.spacing[2])
        thick[role] = Volume(array, Grid((count, *volume.grid.shape[1:]), spacing, (float(x), float(y), float(z))))
    return thick


def _padded(stripped: Mapping[Role, Volume]) -> tuple[Grid, dict[Role, ImageArray]]:
    """The brain's box with room for a head around it."""
    grid = next(iter(stripped.values())).grid
    step = grid.spacing[0]
    if not np.allclose(grid.spacing, step, atol=1e-3) or not np.allclose(grid.direction_matrix, np.eye(3), atol=1e-3):
        raise ValueError("a brain on an isotropic grid along the patient's axes is needed")
    found = ndimage.find_objects(np.any([v.array > 0 for v in stripped.values()], axis=0).astype(np.uint8))
    if not found:
        raise ValueError("there is no brain")
    below, side = (round(margin / step) for margin in _MARGIN_MM)
    pads = ((below, side), (side, side), (side, side))
    arrays = {role: np.pad(volume.array[found[0]], pads) for role, volume in stripped.items()}
    corner = [part.start - pad[0] for part, pad in zip(found[0], pads, strict=True)]
    x, y, z = (float(value) for value in grid.index_to_world(corner))
    return Grid(next(iter(arrays.values())).shape, (step,) * 3, (x, y, z)), arrays


def _without_holes(mask: BoolArray) -> BoolArray:
    """What the outside cannot reach is inside; the first corner is outside."""
    parts, _ = ndimage.label(~mask)
    return np.asarray(parts != parts[0, 0, 0])


# ---------------------------------------------------------------- where which tissue lies


def _tissues(brain: BoolArray, step: float, random: np.random.Generator) -> LabelArray:
    """Number of the tissue (its place in `_Tissue`) in every voxel; inside the brain it says nothing."""
    number = {tissue: index for index, tissue in enumerate(_Tissue)}
    away = _distance(~_closed(brain, 8.0, step), step)
    fluid = np.maximum(random.uniform(1.0, 3.0) + 0.8 * _smooth_field(brain.shape, 25.0 / step, random), 0.3)
    table = random.uniform(1.3, 2.2)
    diploe = np.maximum(random.uniform(1.5, 3.5) + _smooth_field(brain.shape, 25.0 / step, random), 0.0)
    skull = fluid + 2 * table + diploe
    scalp = random.uniform(4.0, 7.0) + 0.8 * _smooth_field(brain.shape, 30.0 / step, random)
    place = _Place.of(brain, step)
    head = (away < skull + scalp + place.temples()) | _face_and_neck(away < skull + scalp, step)
    depth = _coarse_distance(head, step)

    result: LabelArray = np.full(brain.shape, number[_Tissue.MUSCLE], dtype=np.uint8)
    streaks = _smooth_field(brain.shape, 6.0 / step, random) > 1.3  # a tenth is fat between muscle
    result[streaks | (depth < scalp)] = number[_Tissue.FAT]
    result[depth < 2.0] = number[_Tissue.SKIN]
    place.paint_face(result, away - skull, number)
    result[away < skull] = number[_Tissue.BONE]
    marrow = (away > fluid + table) & (away < fluid + table + diploe)
    result[marrow] = number[_Tissue.MARROW]
    result[away < fluid] = number[_Tissue.DURA]
    result[away < fluid - 0.8] = number[_Tissue.FLUID]
    place.paint_cord(result, brain, number)
    result[~head] = number[_Tissue.AIR]
    return result


def _distance(mask: BoolArray, step: float) -> ImageArray:
    """From each voxel inside to the nearest outside, mm."""
    return np.asarray(ndimage.distance_transform_edt(mask), dtype=np.float32) * np.float32(step)


def _coarse_distance(mask: BoolArray, step: float) -> ImageArray:
    """The same from every second voxel: an eighth of the time, and a millimetre is enough for skin and fat."""
    return _enlarged(_distance(mask[::2, ::2, ::2], 2 * step), mask.shape, 2.0)


def _closed(mask: BoolArray, radius: float, step: float) -> BoolArray:
    """Sulci are fluid inside the skull: what is narrower than twice the radius (mm) is bridged."""
    wide = _coarse_distance(~mask, step) <= radius
    return np.asarray(_coarse_distance(wide, step) > radius) | mask


def _face_and_neck(head: BoolArray, step: float) -> BoolArray:
    """The outline of the head's widest level, 5 mm narrower, from there down."""
    widest = int(np.argmax(head.sum(axis=(1, 2))))
    column = np.zeros_like(head)
    column[:widest] = _distance(head[widest], step) > 5.0
    return column


@dataclass(frozen=True, eq=False)
class _Place:
    """Coordinates (mm) from the brain's own landmarks: its top, its front and the midline."""

    below_top: FloatArray  # (Z, 1, 1), grows downwards
    behind_front: FloatArray  # (1, Y, 1), grows to posterior
    lateral: FloatArray  # (1, 1, X), grows to the left
    half_width: float
    length: float
    step: float

    @classmethod
    def of(cls, brain: BoolArray, step: float) -> _Place:
        found = ndimage.find_objects(brain.astype(np.uint8))[0]
        (_, top), (front, back), (right, left) = ((part.start, part.stop - 1) for part in found)
        z, y, x = np.ogrid[tuple(slice(0, size) for size in brain.shape)]
        half, length = (left - right) / 2 * step, (back - front) * step
        return cls((top - z) * step, (y - front) * step, (x - (left + right) / 2) * step, half, length, step)

    def temples(self) -> FloatArray:
        """Extra millimetres beside the temporal lobes, where the temporal muscle lies."""
        bump = np.exp(-(((self.below_top - 80) / 28) ** 2) - ((self.behind_front - 0.35 * self.length) / 30) ** 2)
        return np.asarray(9.0 * bump * np.clip(2 * np.abs(self.lateral) / self.half_width - 1, 0, 1))

    def paint_face(self, result: LabelArray, outside_skull: ImageArray, number: Mapping[_Tissue, int]) -> None:
        """Orbits with eyes, and sinuses, in front of and below the frontal lobes; thin bone to the brain stays."""
        down = self.below_top - 104
        for side in (-32.0, 32.0):
            from_eye = np.sqrt(down**2 + (self.behind_front - 4) ** 2 + (self.lateral - side) ** 2)
            result[(from_eye < 20) & (outside_skull > -3)] = number[_Tissue.FAT]
            result[(from_eye < 12) & (outside_skull > -1)] = number[_Tissue.VITREOUS]
        nose = ((down - 12) / 22) ** 2 + ((self.behind_front - 12) / 20) ** 2 + (self.lateral / 13) ** 2
        result[(nose < 1) & (outside_skull > -2)] = number[_Tissue.AIR]

    def paint_cord(self, result: LabelArray, brain: BoolArray, number: Mapping[_Tissue, int]) -> None:
        """The spinal cord in its canal, from the lowest level of the brain down."""
        lowest = int(np.flatnonzero(brain.any(axis=(1, 2)))[0])
        row, column = ndimage.center_of_mass(brain[lowest : lowest + 3].any(axis=0))
        y, x = np.ogrid[: brain.shape[1], : brain.shape[2]]
        from_axis = self.step * np.sqrt((y - row) ** 2 + (x - column) ** 2)
        canal = result[: lowest + 1]
        for radius_mm, tissue in ((13.0, _Tissue.BONE), (9.0, _Tissue.FLUID), (6.0, _Tissue.CORD)):
            canal[:, from_axis < radius_mm] = number[tissue]


# ---------------------------------------------------------------- unevenness and noise


def _smooth_field(shape: tuple[int, ...], length: float, random: np.random.Generator) -> ImageArray:
    """A random field, smooth over `length` voxels, of standard deviation 1, float32 (Z, Y, X)."""
    drawn = random.standard_normal([int((size - 1) / length) + 2 for size in shape], dtype=np.float32)
    field = _enlarged(drawn, shape, length)
    return np.asarray(field / max(float(field.std()), 1e-6), dtype=np.float32)


def _enlarged(coarse: ImageArray, shape: tuple[int, ...], factor: float) -> ImageArray:
    """Linear interpolation between points `factor` voxels apart, axis by axis: a tenth of `ndimage.zoom`'s time."""
    result = coarse
    for axis, size in enumerate(shape):
        count = coarse.shape[axis]
        position = np.minimum(np.arange(size) / factor, count - 1)
        before = np.minimum(position.astype(int), max(count - 2, 0))
        weights = np.zeros((size, count), dtype=np.float32)
        weights[np.arange(size), before] = before + 1 - position
        weights[np.arange(size), np.minimum(before + 1, count - 1)] += (position - before).astype(np.float32)
        result = np.moveaxis(np.tensordot(weights, result, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(result, dtype=np.float32)


def _rician(signal: ImageArray, deviation: float, random: np.random.Generator) -> ImageArray:
    real = signal + np.float32(deviation) * random.standard_normal(signal.shape, dtype=np.float32)
    imaginary = np.float32(deviation) * random.standard_normal(signal.shape, dtype=np.float32)
    return np.asarray(np.hypot(real, imaginary), dtype=np.float32)
