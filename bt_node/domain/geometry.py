"""Grids and the arrays on them.

House convention, everywhere: arrays are indexed (Z, Y, X), world coordinates are DICOM patient coordinates
(LPS: x to the patient's Left, y to Posterior, z to Superior; PS3.3 C.7.6.2.1.1) in millimetres, indices are
zero-based and an index names the centre of its voxel. Spacing and direction are kept in (x, y, z) order of the
index axes, as ITK does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
ImageArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
LabelArray = npt.NDArray[np.uint8]

_ORTHOGONAL_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Grid:
    """A regular lattice of voxels in the patient's world.

    Attributes:
        shape: number of voxels (Z, Y, X).
        spacing: millimetres between voxel centres along the index axes (x, y, z).
        origin: LPS position in mm of the centre of voxel (0, 0, 0).
        direction: 3×3, row-major; column j is the LPS unit vector of index axis j in order (x, y, z).
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise ValueError(f"shape must be three positive sizes (Z, Y, X), not {self.shape}")
        if min(self.spacing) <= 0:
            raise ValueError(f"spacing must be positive, not {self.spacing}")
        matrix = np.asarray(self.direction, dtype=np.float64).reshape(3, 3)
        if not np.allclose(matrix.T @ matrix, np.eye(3), atol=_ORTHOGONAL_TOLERANCE):
            raise ValueError(f"direction columns must be orthogonal unit vectors, not {self.direction}")

    @property
    def direction_matrix(self) -> FloatArray:
        """The 3×3 direction cosines; column j belongs to index axis j in order (x, y, z)."""
        return np.asarray(self.direction, dtype=np.float64).reshape(3, 3)

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel in cubic millimetres."""
        return float(np.prod(self.spacing))

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """Outer size in mm along the index axes (z, y, x), voxel edges included."""
        depth, height, width = self.shape
        return (depth * self.spacing[2], height * self.spacing[1], width * self.spacing[0])

    def index_to_world(self, index_zyx: npt.ArrayLike) -> FloatArray:
        """Map zero-based indices (..., 3) in order (z, y, x) to LPS millimetres (..., 3) in order (x, y, z)."""
        index_xyz = np.asarray(index_zyx, dtype=np.float64)[..., ::-1]
        scaled: FloatArray = index_xyz * np.asarray(self.spacing)
        world: FloatArray = scaled @ self.direction_matrix.T + np.asarray(self.origin)
        return world

    def world_to_index(self, world_lps: npt.ArrayLike) -> FloatArray:
        """Map LPS millimetres (..., 3) to continuous indices (..., 3) in order (z, y, x)."""
        offset = np.asarray(world_lps, dtype=np.float64) - np.asarray(self.origin)
        # Direction is orthogonal, so its inverse is its transpose: v @ D == (D.T @ v).
        index_xyz: FloatArray = (offset @ self.direction_matrix) / np.asarray(self.spacing)
        return index_xyz[..., ::-1]

    def is_close(self, other: Grid, tolerance_mm: float = 1e-3) -> bool:
        """Whether both grids have the same shape and all eight corners agree within `tolerance_mm`."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        distance = np.abs(self.index_to_world(corners) - other.index_to_world(corners)).max()
        return bool(distance <= tolerance_mm)


def _frozen(array: npt.NDArray[np.generic]) -> None:
    array.setflags(write=False)


@dataclass(frozen=True, eq=False)
class Volume:
    """Intensities, float32 (Z, Y, X), on a grid. Units are the scanner's after rescale, or z-scores where said."""

    array: ImageArray
    grid: Grid

    def __post_init__(self) -> None:
        if self.array.shape != self.grid.shape:
            raise ValueError(f"array {self.array.shape} does not fit grid {self.grid.shape}")
        if self.array.dtype != np.float32:
            raise ValueError(f"a Volume is float32, not {self.array.dtype}")
        _frozen(self.array)


@dataclass(frozen=True, eq=False)
class Mask:
    """Yes or no for each voxel, bool (Z, Y, X), on a grid."""

    array: BoolArray
    grid: Grid

    def __post_init__(self) -> None:
        if self.array.shape != self.grid.shape:
            raise ValueError(f"array {self.array.shape} does not fit grid {self.grid.shape}")
        if self.array.dtype != np.bool_:
            raise ValueError(f"a Mask is bool, not {self.array.dtype}")
        _frozen(self.array)

    @property
    def volume_ml(self) -> float:
        """Millilitres inside the mask."""
        return float(self.array.sum()) * self.grid.voxel_volume_mm3 / 1000.0
