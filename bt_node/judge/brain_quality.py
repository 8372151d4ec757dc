"""Is what was found a whole brain? Shape of the brain mask, what the series cover of it, and a head around it.

A mask of a plausible volume may still be no brain: half of one and some neck, a leak into the face, a bottle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from bt_node.domain.geometry import BoolArray, Grid, ImageArray, Mask, Volume
from bt_node.domain.study import Role
from bt_node.judge.limits import Check, Concern, concern
from bt_node.judge.outline import find_body

_STRIDE = 2  # voxels of 1 mm; shape needs no more
_END_MM = 10.0  # so near to the end of the images the brain should be small: morphology rounds masks off by 8 mm
_UPWARDS = 1e6  # mm per level: distances are then within a level only
# Ends of the patient along LPS x, y and z.
_ENDS = (("right", "left"), ("front", "back"), ("lower", "upper"))


@dataclass(frozen=True)
class BrainQuality:
    """What was measured of the brain that was found.

    Attributes:
        roundness: volume as a part of its convex hull's.
        depth_mm: from its deepest point to its surface.
        cut_off: section near that end of the reference series where it is largest, part of the largest section.
        cut_end: which end of the patient that is ("upper", "lower", "left", ...).
        uncovered: part of the brain that a sequence does not show, for each sequence.
        scalp_mm: median distance from the brain's surface to air, within levels of its upper half.
        agreement: Dice of two independent ways of finding it; None where only one was asked.
    """

    roundness: float
    depth_mm: float
    cut_off: float
    cut_end: str
    uncovered: Mapping[Role, float]
    scalp_mm: float | None
    agreement: float | None = None

    def facts(self) -> dict[str, object]:
        """The same as plain JSON, rounded."""
        plain = {name: round(value, 3) if isinstance(value, float) else value for name, value in vars(self).items()}
        return plain | {"uncovered": {role.value: round(share, 3) for role, share in self.uncovered.items()}}


def measure_brain(
    brain: Mask,
    heads: Mapping[Role, Volume],
    on_reference: BoolArray,
    reference: Grid,
    agreement: float | None = None,
) -> BrainQuality:
    """Measure the brain mask of a study.

    Args:
        brain: the mask on the models' 1 mm grid, not empty.
        heads: the registered sequences on it, 0 where nothing was scanned.
        on_reference: the mask (Z, Y, X) on the reference series' own grid.
        reference: that grid.
        agreement: of two ways of finding the brain.
    """
    coarse = brain.array[::_STRIDE, ::_STRIDE, ::_STRIDE]
    step = _STRIDE * brain.grid.spacing[0]
    cut_off, cut_end = _cut(on_reference, reference)
    return BrainQuality(
        roundness=_roundness(coarse),
        depth_mm=float(ndimage.distance_transform_edt(np.pad(coarse, 1)).max()) * step,
        cut_off=cut_off,
        cut_end=cut_end,
        uncovered={role: _uncovered(head.array, brain.array) for role, head in heads.items()},
        scalp_mm=_scalp(coarse, heads, step),
        agreement=agreement,
    )


def judge_brain(quality: BrainQuality) -> Iterator[Concern]:
    """What speaks against this being a whole brain in a head."""
    yield from concern(
        Check.ROUNDNESS,
        quality.roundness,
        f"The brain mask fills {100 * quality.roundness:.0f} % of its convex hull: it is torn, or not of a brain.",
    )
    yield from concern(
        Check.DEPTH,
        quality.depth_mm,
        f"The middle of the brain mask lies {quality.depth_mm:.0f} mm deep: it is half a brain, or not one.",
    )
    yield from concern(
        Check.AGREEMENT,
        quality.agreement,
        f"Two ways to find the brain overlap by {100 * (quality.agreement or 0):.0f} % (Dice); it may be no brain.",
    )
    yield from concern(
        Check.CUT_OFF,
        quality.cut_off,
        f"The brain is cut off at its {quality.cut_end} end: {100 * quality.cut_off:.0f} % of its largest section "
        "lie at the edge of the images.",
    )
    for role, share in quality.uncovered.items():
        yield from concern(Check.UNCOVERED, share, f"{role.value} does not show {100 * share:.0f} % of the brain.")
    yield from concern(
        Check.SCALP,
        quality.scalp_mm,
        f"There are {quality.scalp_mm or 0.0:.0f} mm between brain and air: it was stripped of its skull, or it is "
        "no head.",
    )


def _roundness(mask: BoolArray) -> float:
    surface = np.argwhere(mask & ~ndimage.binary_erosion(mask))
    corners = (surface[:, None, :] + np.array(np.meshgrid(*[(-0.5, 0.5)] * 3)).reshape(3, -1).T).reshape(-1, 3)
    try:
        return float(mask.sum() / ConvexHull(corners).volume)
    except QhullError:  # a mask without depth
        return 0.0


def _cut(mask: BoolArray, grid: Grid) -> tuple[float, str]:
    """The largest section near an end of the reference series, over all three axes, and which end that is."""
    worst = (0.0, "")
    for axis in range(3):
        sections = mask.sum(axis=tuple(other for other in range(3) if other != axis)).astype(float)
        if sections.max() == 0:
            continue
        sections /= sections.max()
        near = max(1, min(round(_END_MM / grid.spacing[2 - axis]), len(sections) // 4))
        for place, section in ((0, sections[near - 1]), (1, sections[-near])):
            # Only where the brain reaches so near to the very edge that it must go on beyond.
            reaches = sections[:near].any() if place == 0 else sections[-near:].any()
            worst = max(worst, (float(section) if reaches else 0.0, _end(grid, 2 - axis, place)))
    return worst


def _end(grid: Grid, axis: int, place: int) -> str:
    """Which end of the patient lies at the first (0) or last (1) index of an axis, in order (x, y, z)."""
    along = grid.direction_matrix[:, axis]
    world = int(np.argmax(np.abs(along)))
    return _ENDS[world][place if along[world] > 0 else 1 - place]


def _uncovered(head: ImageArray, brain: BoolArray) -> float:
    return float(np.mean(head[brain] == 0))


def _scalp(brain: BoolArray, heads: Mapping[Role, Volume], step: float) -> float | None:
    bodies = [find_body(head).mask for head in heads.values()]
    body = np.any([_fitted(mask, brain.shape) for mask in bodies], axis=0) | brain
    levels = np.flatnonzero(brain.any(axis=(1, 2)))
    surface = brain & ~ndimage.binary_erosion(brain)
    surface[: levels[len(levels) // 2]] = False
    if not surface.any():
        return None
    sideways = np.pad(body, ((0, 0), (1, 1), (1, 1)))
    away = ndimage.distance_transform_edt(sideways, sampling=(_UPWARDS, step, step))[:, 1:-1, 1:-1]
    return float(np.median(away[surface]))


def _fitted(mask: BoolArray, shape: tuple[int, ...]) -> BoolArray:
    """Cut or repeat the last planes: blocks of two and every second voxel may differ by one at the end."""
    places = [np.minimum(np.arange(size), count - 1) for size, count in zip(shape, mask.shape, strict=True)]
    return np.asarray(mask[np.ix_(*places)])
