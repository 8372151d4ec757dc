"""Heads to learn from: a stripped brain in a synthetic head, scanned the way clinics scan.

The head (`bt_node.simulate.wrap`) lies turned and is a little larger or smaller; each sequence is cut into slices of
its own thickness and slant, may end early, and is off by a fraction of a millimetre, as after registration. All of it
is read on one grid of 2 mm. The truth is kept as the share of brain in each voxel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from bt_node.convert.itk import array_to_itk, volume_to_itk
from bt_node.domain.geometry import Volume
from bt_node.domain.study import Role
from bt_node.simulate.wrap import wrap_in_head

ROLES = (Role.T1, Role.T1C, Role.T2, Role.FLAIR)
SPACING_MM = 2.0
FULL_SCALE = 100.0  # of a stored intensity: the 99th percentile of its sequence
_LARGEST = (104, 120, 112)  # x, y, z voxels
_IN_PLANE_MM = 1.3
_THIN, _SLICES_MM = 0.25, (2.5, 6.5)  # share of sequences scanned in 3D; thickness of the others
_AXIAL = 0.8
_ENDS_EARLY, _LOST = 0.35, 0.12  # share of sequences, and the most of their slices that is cut off


@dataclass(frozen=True, eq=False)
class Head:
    """One synthetic head on a grid of 2 mm, axes along LPS.

    Attributes:
        images: uint8 (4, Z, Y, X), T1, T1c, T2, FLAIR; 100 is the 99th percentile of what is above zero.
        brain: uint8 (Z, Y, X), 255 times the share of brain.
    """

    images: npt.NDArray[np.uint8]
    brain: npt.NDArray[np.uint8]

    def save(self, path: Path) -> None:
        """Write it whole or not at all."""
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, images=self.images, brain=self.brain)
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Head:
        """What `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls(file["images"], file["brain"])


def make_head(stripped: Mapping[Role, Volume], seed: int) -> Head:
    """Another seed is another head, another position and other slices.

    Args:
        stripped: the four sequences, skull-stripped, on one isotropic grid along LPS, as BraTS has them.
        seed: repeats the same head.
    """
    random = np.random.default_rng([seed, 11])
    head = wrap_in_head(stripped, seed=seed, shading=float(random.uniform(0.05, 0.3)))
    images = {role: volume_to_itk(head.volumes[role]) for role in ROLES}
    size = np.array(images[Role.T1].GetSize())
    centre = np.array(images[Role.T1].TransformContinuousIndexToPhysicalPoint(((size - 1) / 2).tolist()))
    scale = random.uniform(0.9, 1.12, 3) * random.uniform(0.93, 1.07)
    place = [_scaled(centre, scale), _turned(centre, random.normal(0, 8, 3))]
    count = np.minimum(np.ceil(size * scale.max() * 1.05 / SPACING_MM).astype(int), _LARGEST)
    grid = _box(count, np.full(3, SPACING_MM), centre, np.eye(3))
    truth = sitk.DiscreteGaussian(array_to_itk(head.brain.array.astype(np.float32), head.brain.grid), [0.55] * 3)
    brain = sitk.GetArrayFromImage(sitk.Resample(truth, grid, sitk.CompositeTransform(place), sitk.sitkLinear, 0.0))
    slant = float(random.normal(0, 9))  # of all series: technicians align them
    scanned = [_scanned(images[role], place, centre, count * SPACING_MM, slant, random) for role in ROLES]
    read = [
        sitk.GetArrayFromImage(sitk.Resample(image, grid, sitk.Transform(3, sitk.sitkIdentity))) for image in scanned
    ]
    return Head(np.stack([_stored(array) for array in read]), np.round(brain * 255).astype(np.uint8))


def make_heads(cases: Sequence[Mapping[Role, Volume]], folder: Path, count: int, first_seed: int) -> None:
    """Write `count` heads, the cases in turn, as `NNNN.npz`; those already there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number:04d}.npz"
        if not path.exists():
            make_head(cases[number % len(cases)], first_seed + number).save(path)


def _scanned(
    head: sitk.Image,
    place: list[sitk.Transform],
    centre: npt.NDArray[np.float64],
    extent: npt.NDArray[np.float64],
    slant: float,
    random: np.random.Generator,
) -> sitk.Image:
    """One sequence in slices of its own."""
    thin = random.random() < _THIN
    thickness = 1.0 if thin else float(random.uniform(*_SLICES_MM))
    axis = 2 if random.random() < _AXIAL else int(random.integers(0, 2))
    angles = random.normal(0, 4, 3) + np.array([slant + random.normal(0, 3), 0, 0])
    direction = np.reshape(_turned(centre, angles).GetMatrix(), (3, 3))
    spacing = np.full(3, _IN_PLANE_MM)
    spacing[axis] = max(thickness / 4, 1.0)
    planes = _box(np.ceil(extent / spacing).astype(int) + 4, spacing, centre, direction)
    left_over = _turned(centre, random.normal(0, 0.4, 3))
    left_over.SetTranslation(random.normal(0, 0.5, 3).tolist())
    image = sitk.Resample(head, planes, sitk.CompositeTransform([*place, left_over]), sitk.sitkLinear, 0.0)
    if not thin:
        factors = [1, 1, 1]
        factors[axis] = max(1, round(thickness / spacing[axis]))
        image = sitk.BinShrink(image, factors)
    if random.random() < _ENDS_EARLY:
        image = _ending_early(image, axis, random)
    return sitk.DiscreteGaussian(image, [0.3 if s < SPACING_MM else 0.0 for s in image.GetSpacing()])


def _ending_early(image: sitk.Image, axis: int, random: np.random.Generator) -> sitk.Image:
    array = sitk.GetArrayFromImage(image)
    along = np.moveaxis(array, 2 - axis, 0)
    lost = int(len(along) * random.uniform(0, _LOST))
    along[slice(0, lost) if random.random() < 0.4 else slice(len(along) - lost, None)] = 0
    cut = sitk.GetImageFromArray(array)
    cut.CopyInformation(image)
    return cut


def _turned(centre: npt.NDArray[np.float64], degrees: npt.NDArray[np.float64]) -> sitk.Euler3DTransform:
    transform = sitk.Euler3DTransform()
    transform.SetCenter(centre.tolist())
    transform.SetRotation(*np.radians(degrees).tolist())
    return transform


def _scaled(centre: npt.NDArray[np.float64], factors: npt.NDArray[np.float64]) -> sitk.AffineTransform:
    transform = sitk.AffineTransform(3)
    transform.SetCenter(centre.tolist())
    transform.SetMatrix(np.diag(1 / factors).ravel().tolist())
    return transform


def _box(
    count: npt.NDArray[np.int64],
    spacing: npt.NDArray[np.float64],
    centre: npt.NDArray[np.float64],
    direction: npt.NDArray[np.float64],
) -> sitk.Image:
    """An empty grid of `count` (x, y, z) voxels around `centre`."""
    grid = sitk.Image([int(n) for n in count], sitk.sitkFloat32)
    grid.SetSpacing(spacing.tolist())
    grid.SetDirection(direction.ravel().tolist())
    grid.SetOrigin((centre - direction @ ((count - 1) * spacing / 2)).tolist())
    return grid


def _stored(array: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    present = array[array > 0]
    scale = float(np.percentile(present, 99)) if present.size else 1.0
    return np.clip(array / scale * FULL_SCALE, 0, 255).astype(np.uint8)
