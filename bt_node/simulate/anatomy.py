"""A head as implicit functions of position: where skull, scalp, fluid, folded cortex and white matter lie.

Everything here is a signed distance d in millimetres (negative inside) of points in head coordinates: LPS axes,
origin near the middle of the brain. Shapes follow textbook sizes of an adult head; folding and irregularity come
from sums of sines whose phases the seed chooses, so that a head is repeatable and has no outside data in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]  # (3, N): x to the left, y to posterior, z to superior, mm
Field = npt.NDArray[np.float32]  # (N,)
Triple = tuple[float, float, float]

CEREBRUM_CENTRE: Triple = (0.0, 0.0, 8.0)
CEREBRUM_AXES: Triple = (67.0, 84.0, 60.0)
_FLUID_MM = 1.8  # subarachnoid space between skull and cortex
_CORTEX_MM = 2.6
_SULCUS_MM = 17.0  # depth of the folds
_FOLD_MM = 38.0  # wavelength of the folds along the surface
_SKULL_MM = 7.0
_SCALP_MM = 13.0


class Tissue(IntEnum):
    """What a point can be made of."""

    AIR = 0
    SCALP_FAT = 1
    MUSCLE = 2
    BONE = 3
    MARROW = 4
    FLUID = 5
    GREY = 6
    WHITE = 7
    DEEP_GREY = 8
    VENOUS_SINUS = 9
    VITREOUS = 10
    NECROSIS = 11
    OEDEMA = 12
    ENHANCING = 13
    VESSEL = 14


# ---------------------------------------------------------------- distance functions


def ellipsoid(points: Points, centre: Triple, axes: Triple) -> Field:
    """Approximate signed distance to an ellipsoid (exact on its surface; first order near it)."""
    level, gradient = np.zeros(points.shape[1:], np.float32), np.zeros(points.shape[1:], np.float32)
    for axis, middle, size in zip(points, centre, axes, strict=True):
        relative = (axis - np.float32(middle)) * np.float32(1 / size)
        relative *= relative
        level += relative
        gradient += relative * np.float32(1 / size**2)
    level = np.sqrt(level)
    return np.asarray(level * (level - 1) / np.maximum(np.sqrt(gradient), np.float32(1e-6)), dtype=np.float32)


def both_sides(points: Points) -> Points:
    """Points mirrored to the left, for structures that come in pairs."""
    return np.stack([np.abs(points[0]), points[1], points[2]])


def smooth_union(first: Field, second: Field, blend_mm: float) -> Field:
    """Union whose edge is rounded over `blend_mm` (polynomial smooth minimum)."""
    mix = np.maximum(np.float32(blend_mm) - np.abs(first - second), np.float32(0)) / np.float32(blend_mm)
    return np.asarray(np.minimum(first, second) - mix * mix * np.float32(blend_mm / 4), dtype=np.float32)


def coverage(distance: Field, edge_mm: float = 1.0) -> Field:
    """Share of a voxel that lies inside, 0 to 1: a linear edge of `edge_mm`, which is what partial volume does."""
    share = np.clip(np.float32(0.5) - distance / np.float32(edge_mm), 0, 1)
    return np.asarray(share, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class SmoothNoise:
    """A smooth random field: a sum of plane waves of about one wavelength, standard deviation 1."""

    waves: npt.NDArray[np.float32]  # (K, 3), radians per mm
    phases: npt.NDArray[np.float32]  # (K,)

    @classmethod
    def draw(cls, random: np.random.Generator, wavelength_mm: float, count: int = 6) -> SmoothNoise:
        """Waves in random directions with wavelengths between 0.75 and 1.5 of the one asked for."""
        directions = random.normal(size=(count, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = wavelength_mm * random.uniform(0.75, 1.5, size=(count, 1))
        return cls(
            (2 * np.pi * directions / lengths).astype(np.float32),
            random.uniform(0, 2 * np.pi, count).astype(np.float32),
        )

    def __call__(self, points: Points) -> Field:
        """The field at points (3, N)."""
        total = np.zeros(points.shape[1:], dtype=np.float32)
        for wave, phase in zip(self.waves, self.phases, strict=True):
            total += np.sin(wave[0] * points[0] + wave[1] * points[1] + wave[2] * points[2] + phase)
        return total * np.float32(np.sqrt(2 / len(self.phases)))


# ---------------------------------------------------------------- the head


def _ventricles(points: Points) -> Field:
    paired = both_sides(points)
    body = ellipsoid(paired, (12, 2, 19), (6.5, 30, 7.5))
    frontal = ellipsoid(paired, (10, -26, 13), (6, 14, 9))
    occipital = ellipsoid(paired, (22, 38, 8), (6, 18, 6))
    third = ellipsoid(points, (0, 4, -2), (2.5, 12, 9))
    fourth = ellipsoid(points, (0, 37, -35), (7, 5, 8))
    lateral = smooth_union(smooth_union(body, frontal, 8), occipital, 12)
    return np.minimum(np.minimum(lateral, third), fourth)


def _deep_grey(points: Points) -> Field:
    paired = both_sides(points)
    thalamus = ellipsoid(paired, (11.5, 8, 2), (8, 13, 8))
    putamen = ellipsoid(paired, (26, -6, 0), (5.5, 17, 9))
    caudate = ellipsoid(paired, (16, -22, 10), (4, 11, 8))
    return np.minimum(np.minimum(thalamus, putamen), caudate)


def _eyes(points: Points) -> Field:
    return ellipsoid(both_sides(points), (32, -74, -36), (12, 12, 12))


@dataclass(frozen=True, eq=False)
class Anatomy:
    """One head. `layers` gives the tissues of points as coverage, each painted over those before."""

    fold_warp: tuple[SmoothNoise, SmoothNoise, SmoothNoise]
    fine: SmoothNoise
    uneven: SmoothNoise

    @classmethod
    def draw(cls, random: np.random.Generator) -> Anatomy:
        """A head whose folds the random generator chooses."""
        warp = SmoothNoise.draw(random, 60), SmoothNoise.draw(random, 60), SmoothNoise.draw(random, 60)
        return cls(warp, SmoothNoise.draw(random, 9), SmoothNoise.draw(random, 22))

    def cavity(self, points: Points) -> Field:
        """Inside of the skull: cerebrum, cerebellum and brain stem with their fluid."""
        cerebrum = ellipsoid(points, CEREBRUM_CENTRE, CEREBRUM_AXES)
        # The skull base is not round: the cerebrum ends on a slope that rises to the front.
        floor = np.float32(-27) - points[2] - np.float32(0.22) * points[1]
        cerebrum = np.maximum(cerebrum, floor * np.float32(0.97))
        temporal = ellipsoid(both_sides(points), (42, -8, -26), (24, 36, 20))
        behind = smooth_union(
            ellipsoid(points, (0, 42, -40), (50, 34, 27)), ellipsoid(points, (0, 16, -45), (15, 15, 34)), 8
        )
        return smooth_union(smooth_union(cerebrum, temporal, 10), behind, 6)

    def head(self, points: Points, cavity: Field) -> Field:
        """Outer surface with face and neck."""
        face = ellipsoid(points, (0, -45, -60), (56, 55, 58))
        neck = ellipsoid(points, (0, 25, -110), (58, 62, 80))
        return smooth_union(smooth_union(cavity - np.float32(_SCALP_MM), face, 25), neck, 25)

    def cerebellum(self, points: Points) -> Field:
        """The cerebellum alone."""
        return ellipsoid(points, (0, 43, -40), (47, 31, 24))

    def brain_stem(self, points: Points) -> Field:
        """The brain stem alone."""
        return ellipsoid(points, (0, 16, -45), (13, 13, 36))

    def _folds(self, points: Points) -> Field:
        """Distance in mm to the middle sheet of the nearest sulcus; sheets stand upright on the brain's surface."""
        relative = points - np.asarray(CEREBRUM_CENTRE, dtype=np.float32)[:, None]
        level = np.sqrt(sum((relative[i] / np.float32(CEREBRUM_AXES[i])) ** 2 for i in range(3)))
        surface = relative / np.maximum(level, np.float32(0.2))
        k = np.float32(2 * np.pi / _FOLD_MM)
        u, v, w = (k * surface[i] + np.float32(1.1) * self.fold_warp[i](surface) for i in range(3))
        # A gyroid's zero set is one connected winding sheet, much as sulci are.
        sheet = np.sin(u) * np.cos(v) + np.sin(v) * np.cos(w) + np.sin(w) * np.cos(u)
        return np.asarray(np.abs(sheet) * level / (k * np.float32(1.35)), dtype=np.float32)

    def outer_fluid(self, points: Points, cavity: Field) -> Field:
        """Distance to the fluid around the brain: subarachnoid space, sulci, and the gap between hemispheres."""
        depth = -cavity - np.float32(_FLUID_MM)
        sheet = self._folds(points) - np.float32(0.7)
        floor = depth - np.float32(_SULCUS_MM) - np.float32(3) * self.uneven(points)
        # Folds belong to the cerebrum, not to cerebellum or brain stem.
        behind = np.minimum(self.cerebellum(points), self.brain_stem(points))
        elsewhere = np.float32(5) - behind
        sulcus = np.sqrt(np.maximum(sheet, 0) ** 2 + np.maximum(np.maximum(floor, elsewhere), 0) ** 2)
        sulcus = np.where(sulcus > 0, sulcus, np.maximum(sheet, floor))
        gap_edge = -ellipsoid(points, (0, 4, 2), (80, 54, 34))
        gap = np.maximum(np.abs(points[0]) - np.float32(0.9), gap_edge)
        gap = np.maximum(gap, np.float32(-22) - points[2])
        return np.asarray(np.minimum(np.minimum(depth, sulcus), gap), dtype=np.float32)

    def layers(self, points: Points) -> list[tuple[Tissue, Field]]:
        """Tissues with their coverage (0 to 1), to be painted in this order."""
        cavity = self.cavity(points)
        return [*self._outside(points, cavity), *self._inside(points, cavity)]

    def _outside(self, points: Points, cavity: Field) -> list[tuple[Tissue, Field]]:
        head = self.head(points, cavity)
        muscle = head + np.float32(7) + np.float32(1.5) * self.uneven(points)
        marrow = np.abs(cavity - np.float32(4.2)) - np.float32(1.2)
        marrow = np.maximum(marrow, np.float32(-30) - points[2])
        sinus = ellipsoid(both_sides(points), (16, -68, -52), (11, 15, 14))
        eyes = _eyes(points)
        return [
            (Tissue.SCALP_FAT, coverage(head)),
            (Tissue.MUSCLE, coverage(np.maximum(muscle, np.float32(_SCALP_MM - 5) - cavity))),
            (Tissue.BONE, coverage(cavity - np.float32(_SKULL_MM))),
            (Tissue.MARROW, coverage(marrow) * np.float32(0.6)),
            (Tissue.AIR, coverage(np.maximum(sinus, np.float32(_SKULL_MM) - cavity))),
            (Tissue.SCALP_FAT, coverage(np.maximum(eyes - np.float32(8), np.float32(3) - cavity))),
            (Tissue.VITREOUS, coverage(np.maximum(eyes, np.float32(3) - cavity))),
        ]

    def _inside(self, points: Points, cavity: Field) -> list[tuple[Tissue, Field]]:
        fluid = self.outer_fluid(points, cavity)
        cerebellum = self.cerebellum(points)
        leaves = cerebellum + np.float32(9) + np.float32(3.5) * self.fine(points)
        # Vessels lie in the fluid over the cortex; they are what shines there after contrast.
        vessels = np.maximum(fluid, np.float32(3.5) - np.float32(2.5) * self.fine(points))
        vessels = np.maximum(vessels, cavity + np.float32(0.7))
        # The superior sagittal sinus runs along the midline under the skull.
        sinus = np.hypot(points[0], cavity + np.float32(2.5)) - np.float32(3.5)
        sinus = np.maximum(sinus, -points[2] - np.float32(10))
        return [
            (Tissue.FLUID, coverage(cavity)),
            (Tissue.GREY, coverage(-fluid)),
            (Tissue.WHITE, coverage(np.float32(_CORTEX_MM) - fluid)),
            (Tissue.GREY, coverage(np.maximum(cerebellum, -fluid))),
            (Tissue.WHITE, coverage(np.maximum(leaves, -fluid))),
            (Tissue.WHITE, coverage(np.maximum(self.brain_stem(points), -fluid))),
            (Tissue.DEEP_GREY, coverage(_deep_grey(points))),
            (Tissue.VESSEL, coverage(vessels)),
            (Tissue.FLUID, coverage(_ventricles(points))),
            (Tissue.VENOUS_SINUS, coverage(sinus)),
        ]

    def white_matter(self, points: Points) -> Field:
        """Signed distance to white matter of the cerebrum: what oedema follows."""
        fluid = self.outer_fluid(points, self.cavity(points))
        distance = np.maximum(np.float32(_CORTEX_MM) - fluid, -_ventricles(points))
        distance = np.maximum(distance, -_deep_grey(points) + np.float32(1))
        behind = np.minimum(self.cerebellum(points), self.brain_stem(points))
        return np.asarray(np.maximum(distance, np.float32(1) - behind), dtype=np.float32)


def tissue_shares(layers: list[tuple[Tissue, Field]]) -> Mapping[Tissue, Field]:
    """Share of each tissue at each point after painting; shares sum to 1."""
    shares: dict[Tissue, Field] = {Tissue.AIR: np.ones_like(layers[0][1])}
    for tissue, cover in layers:
        shares = {present: share * (1 - cover) for present, share in shares.items()}
        shares[tissue] = shares.get(tissue, np.zeros_like(cover)) + cover
    return shares
