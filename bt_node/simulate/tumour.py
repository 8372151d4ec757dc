"""A glioblastoma as implicit functions: necrotic core, enhancing rim, oedema that follows white matter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bt_node.domain.geometry import BoolArray, LabelArray
from bt_node.domain.tumour import LABEL_OF, Region
from bt_node.simulate.anatomy import Anatomy, Field, Points, SmoothNoise, Tissue, Triple, coverage, ellipsoid

_MASS_EFFECT = 0.5  # share of the core's volume that pushes healthy tissue away; the rest replaces it


@dataclass(frozen=True)
class TumourShape:
    """Where the tumour lies and how large it is.

    Attributes:
        centre_mm: LPS mm in the head's own coordinates.
        core_axes_mm: semi-axes (x, y, z) of the core, rim included.
        necrosis_share: semi-axes of the necrosis over those of the core, 0 (solid) to below 1.
        oedema_axes_mm: semi-axes of the region in which white matter is oedematous.
        irregularity_mm: how far the outlines wander from ellipsoids; 0 makes the volumes known by formula.
    """

    centre_mm: Triple = (30.0, 16.0, 22.0)
    core_axes_mm: Triple = (15.0, 19.0, 15.0)
    necrosis_share: float = 0.62
    oedema_axes_mm: Triple = (29.0, 36.0, 25.0)
    irregularity_mm: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.necrosis_share < 1:
            raise ValueError(f"necrosis_share must be at least 0 and below 1, not {self.necrosis_share}")
        if min(self.core_axes_mm) <= 0 or any(
            outer < inner for outer, inner in zip(self.oedema_axes_mm, self.core_axes_mm, strict=True)
        ):
            raise ValueError("core axes must be positive and oedema axes not smaller")


@dataclass(frozen=True, eq=False)
class Tumour:
    """A tumour in one head."""

    shape: TumourShape
    wander: tuple[SmoothNoise, SmoothNoise, SmoothNoise]
    inner: SmoothNoise

    @classmethod
    def draw(cls, random: np.random.Generator, shape: TumourShape) -> Tumour:
        """A tumour whose irregular outline the random generator chooses."""
        wander = SmoothNoise.draw(random, 30), SmoothNoise.draw(random, 30), SmoothNoise.draw(random, 30)
        return cls(shape, wander, SmoothNoise.draw(random, 16))

    def _wandered(self, points: Points) -> Points:
        shift = np.stack([noise(points) for noise in self.wander])
        return points + np.float32(self.shape.irregularity_mm) * shift

    def distances(self, points: Points) -> tuple[Field, Field, Field]:
        """Signed distances (mm) to necrosis, core and the reach of oedema."""
        shape, moved = self.shape, self._wandered(points)
        core = ellipsoid(moved, shape.centre_mm, shape.core_axes_mm)
        reach = ellipsoid(points * np.float32(2) - moved, shape.centre_mm, shape.oedema_axes_mm)
        x, y, z = (max(axis * shape.necrosis_share, 1e-3) for axis in shape.core_axes_mm)
        necrosis = ellipsoid(moved, shape.centre_mm, (x, y, z))
        necrosis = necrosis + np.float32(0.7 * shape.irregularity_mm) * self.inner(points)
        # A rim of at least 1 mm stays, or irregularity would open the ring.
        return np.maximum(necrosis, core + np.float32(1)), core, reach

    def healthy_position(self, points: Points) -> Points:
        """Where the tissue at these points lay before the tumour pushed it away (incompressible, radial)."""
        centre = np.asarray(self.shape.centre_mm, dtype=np.float32)[:, None]
        offset = points - centre
        radius = np.sqrt((offset * offset).sum(axis=0))
        pushed = np.float32(_MASS_EFFECT * np.prod(self.shape.core_axes_mm))
        before = np.cbrt(np.maximum(radius**3 - pushed, 0))
        return np.asarray(centre + offset * (before / np.maximum(radius, np.float32(1e-3))), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Head:
    """A whole head, with a tumour or without."""

    anatomy: Anatomy
    tumour: Tumour | None

    @classmethod
    def draw(cls, seed: int, shape: TumourShape | None) -> Head:
        """The head of a seed. The same seed has the same anatomy with and without a tumour."""
        anatomy = Anatomy.draw(np.random.default_rng([seed, 1]))
        return cls(anatomy, Tumour.draw(np.random.default_rng([seed, 2]), shape) if shape else None)

    def layers(self, points: Points) -> list[tuple[Tissue, Field]]:
        """Tissues with their coverage at points (3, N), in painting order."""
        if self.tumour is None:
            return self.anatomy.layers(points)
        healthy = self.tumour.healthy_position(points)
        necrosis, core, reach = self.tumour.distances(points)
        oedema = np.maximum(reach, self.anatomy.white_matter(healthy))
        return [
            *self.anatomy.layers(healthy),
            (Tissue.OEDEMA, coverage(oedema)),
            (Tissue.ENHANCING, coverage(core)),
            (Tissue.NECROSIS, coverage(necrosis)),
        ]

    def reaches(self, points: Points) -> BoolArray:
        """Whether points (3, N) lie inside the head or so near that an edge or the tumour's push could reach them."""
        return np.asarray(self.anatomy.head(points, self.anatomy.cavity(points)) < np.float32(6), dtype=np.bool_)

    def brain(self, points: Points) -> Field:
        """Signed distance to what a skull-stripping tool keeps: the inside of the skull."""
        healthy = points if self.tumour is None else self.tumour.healthy_position(points)
        return self.anatomy.cavity(healthy) + np.float32(1)

    def labels(self, points: Points) -> LabelArray:
        """True label at each point (3, N): 0, or 1 NCR, 2 ED, 3 ET."""
        labels = np.zeros(points.shape[1], dtype=np.uint8)
        if self.tumour is None:
            return labels
        necrosis, core, reach = self.tumour.distances(points)
        near = np.flatnonzero(np.minimum(reach, core) < 0)  # white matter is costly to find: only where it matters
        healthy = self.tumour.healthy_position(points[:, near])
        oedema = near[(self.anatomy.white_matter(healthy) < 0) & (reach[near] < 0)]
        labels[oedema] = LABEL_OF[Region.ED]
        labels[core < 0] = LABEL_OF[Region.ET]
        labels[necrosis < 0] = LABEL_OF[Region.NCR]
        return labels
