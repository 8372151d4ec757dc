"""Plane, coverage and resolution of a series from its slice positions: enough to compare candidates.

Whether the slices really form a volume is decided where they are stacked; nothing is refused here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bt_node.domain.study import Plane, SeriesFacts

_SAME_DIRECTION = 0.99  # cosine: slices within 8° count as one stack
_EVEN = 0.05
_SAME_SPACING = 1e-4  # as the stack asks for
_VOLUMETRIC_MM = 2.0
_PLANES = (Plane.SAGITTAL, Plane.CORONAL, Plane.AXIAL)  # by the normal's largest component: x, y, z


@dataclass(frozen=True)
class Shape:
    """What the slice positions of one series say. Lengths in mm."""

    planes: int  # number of different slice directions
    plane: Plane
    slices: int
    spacing_mm: float
    coverage_mm: float
    pixel_mm: tuple[float, float]
    even: bool  # one direction, one matrix, one distance: fit to be stacked
    volumetric: bool  # a 3D acquisition, or slices as thin as one

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel."""
        return self.pixel_mm[0] * self.pixel_mm[1] * self.spacing_mm

    def __str__(self) -> str:
        kind = "3D " if self.volumetric else ""
        noun = "slice" if self.slices == 1 else "slices"
        return f"{kind}{self.plane}, {self.slices} {noun} of {self.spacing_mm:.3g} mm"


def shape_of(series: SeriesFacts) -> Shape:
    """Measure a series. `series.slices` must not be empty."""
    cosines = np.array([facts.orientation for facts in series.slices])
    normals = np.cross(cosines[:, :3], cosines[:, 3:])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    first = normals[0]
    depths = np.sort(np.array([facts.position for facts in series.slices]) @ first)
    gaps = np.diff(depths)
    spacing = float(np.median(gaps)) if gaps.size else 0.0
    if spacing <= 0:
        spacing = series.slice_thickness_mm or 0.0
    kinds = _directions(normals)
    return Shape(
        planes=kinds,
        plane=_PLANES[int(np.argmax(np.abs(first)))],
        slices=len(series.slices),
        spacing_mm=spacing,
        coverage_mm=float(depths[-1] - depths[0]) + spacing,
        pixel_mm=series.slices[0].pixel_spacing,
        even=bool(
            kinds == 1 and _one_matrix(series) and (gaps.size == 0 or np.abs(gaps - spacing).max() <= _EVEN * spacing)
        ),
        volumetric=series.acquisition_type == "3D" or 0 < spacing <= _VOLUMETRIC_MM,
    )


def _one_matrix(series: SeriesFacts) -> bool:
    first = series.slices[0]
    return all(
        (facts.rows, facts.columns) == (first.rows, first.columns)
        and np.allclose(facts.pixel_spacing, first.pixel_spacing, rtol=_SAME_SPACING, atol=0)
        for facts in series.slices
    )


def _directions(normals: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> int:
    if np.all(np.abs(normals @ normals[0]) >= _SAME_DIRECTION):
        return 1
    kinds: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = []
    for normal in normals:
        if not any(abs(float(normal @ kind)) >= _SAME_DIRECTION for kind in kinds):
            kinds.append(normal)
    return len(kinds)
