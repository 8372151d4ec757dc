"""How a head moved between two series: a rotation and a shift, and the way back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from bt_node.domain.geometry import FloatArray


@dataclass(frozen=True)
class RigidMotion:
    """Maps a point p of the reference's world to the moving series' world.

    The map is `rotation @ (p - centre) + centre + translation`.

    Attributes:
        rotation: 3×3, row-major.
        centre: LPS mm, the middle of the reference head.
        translation: LPS mm, how far that middle moves.
    """

    rotation: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    translation: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def translation_mm(self) -> float:
        """How far the middle of the head moves."""
        return float(np.linalg.norm(self.translation))

    @property
    def rotation_deg(self) -> float:
        """Angle of the rotation about its axis."""
        trace = float(np.trace(np.reshape(self.rotation, (3, 3))))
        return math.degrees(math.acos(min(1.0, max(-1.0, (trace - 1.0) / 2.0))))

    def apply(self, points: FloatArray) -> FloatArray:
        """Points (..., 3) of the reference's world in the moving series' world, LPS mm."""
        centre = np.asarray(self.centre)
        turned: FloatArray = (points - centre) @ np.reshape(self.rotation, (3, 3)).T
        moved: FloatArray = turned + centre + np.asarray(self.translation)
        return moved

    def to_itk(self) -> sitk.Transform:
        """The same map for SimpleITK's resampler."""
        transform = sitk.AffineTransform(3)
        transform.SetMatrix(self.rotation)
        transform.SetCenter(self.centre)
        transform.SetTranslation(self.translation)
        return transform

    def inverse(self) -> RigidMotion:
        """The way back: a point of the moving series' world to the reference's world."""
        back = np.reshape(self.rotation, (3, 3)).T
        x, y, z = (float(value) for value in -back @ np.asarray(self.translation))
        return RigidMotion(tuple(float(value) for value in back.ravel()), self.centre, (x, y, z))
