"""A head that moved: the same voxels, laid elsewhere in the world by a motion that is known exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bt_node.domain.geometry import FloatArray, Volume


@dataclass(frozen=True)
class KnownMotion:
    """A turn about one axis through `centre`, then a shift.

    Attributes:
        angle_deg: by how much, right-handed about `axis`.
        axis: LPS direction of the axis, any length but 0.
        shift_mm: LPS shift in mm.
        centre: LPS point in mm that only the shift moves.
    """

    angle_deg: float
    axis: tuple[float, float, float]
    shift_mm: tuple[float, float, float]
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def rotation(self) -> FloatArray:
        """3×3 rotation matrix (Rodrigues' formula)."""
        x, y, z = np.asarray(self.axis, dtype=np.float64) / np.linalg.norm(self.axis)
        cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
        angle = math.radians(self.angle_deg)
        turn: FloatArray = np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross)
        return turn

    def apply(self, points: FloatArray) -> FloatArray:
        """Where points (..., 3) of the head are after the motion, LPS mm."""
        centre = np.asarray(self.centre)
        moved: FloatArray = (points - centre) @ self.rotation.T + centre + np.asarray(self.shift_mm)
        return moved


def moved(volume: Volume, motion: KnownMotion) -> Volume:
    """The volume after the motion. Only its grid changes, so nothing is interpolated and the truth is exact."""
    grid = volume.grid
    x, y, z = (float(value) for value in motion.apply(np.asarray(grid.origin)))
    direction = motion.rotation @ grid.direction_matrix
    placed = replace(grid, origin=(x, y, z), direction=tuple(float(value) for value in direction.ravel()))
    return Volume(volume.array, placed)


def slab(volume: Volume, low: float, high: float) -> Volume:
    """The slices between two parts (0 to 1) of the volume's depth: a series that covers part of the head."""
    depth = volume.grid.shape[0]
    first, last = round(low * depth), round(high * depth)
    x, y, z = (float(value) for value in volume.grid.index_to_world((first, 0, 0)))
    grid = replace(volume.grid, shape=(last - first, *volume.grid.shape[1:]), origin=(x, y, z))
    return Volume(volume.array[first:last].copy(), grid)


def covered(volume: Volume, points: FloatArray) -> npt.NDArray[np.bool_]:
    """Which points (N, 3) of the world lie within the volume: bool (N,)."""
    index = volume.grid.world_to_index(points)
    return np.asarray(((index >= 0) & (index <= np.asarray(volume.grid.shape) - 1)).all(axis=1), dtype=np.bool_)


def middle(volume: Volume) -> tuple[float, float, float]:
    """LPS middle of the volume's box, mm."""
    x, y, z = (float(v) for v in volume.grid.index_to_world((np.asarray(volume.grid.shape) - 1) / 2))
    return (x, y, z)
