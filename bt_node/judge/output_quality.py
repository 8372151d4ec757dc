"""Can this outline be right? How sure it is, whether it lies in the brain, in how many pieces, at which edge.

Sureness is that of the network's own probabilities: a network may be surely wrong, and this does not tell that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from bt_node.domain.geometry import BoolArray, ImageArray
from bt_node.judge.limits import Check, Concern, concern

_TOUCHING = np.ones((3, 3, 3), dtype=np.bool_)
_SMALL = 0.1  # of the largest part
_ROUNDING = 2  # voxels: thresholds and resampling may carry an outline so far over the edge of the mask


@dataclass(frozen=True)
class OutlineQuality:
    """What was measured of one outline (whole tumour).

    Attributes:
        parts: how many that do not touch.
        apart_mm: from the largest part to the farthest of those under a tenth of it; 0 where there is none.
        outside: part of it that lies outside the brain mask.
        at_border: part of it on the outermost pixels or slices of the series.
        sureness: mean of how far probabilities inside lie above the threshold, part of what is possible: 0 where each
            is just above it, 1 where each is 1.
        spread: mean over it of the standard deviation between the mirrored answers; None where the release has none.
        main_outside: part of its largest part outside the brain as brightness and shape find it; None: not asked.
    """

    parts: int
    apart_mm: float
    outside: float
    at_border: float
    sureness: float
    spread: float | None = None
    main_outside: float | None = None

    def facts(self) -> dict[str, float | int | None]:
        """The same as plain JSON, rounded."""
        return {name: round(value, 3) if isinstance(value, float) else value for name, value in vars(self).items()}


def measure_outline(
    outline: BoolArray,
    probability: ImageArray,
    brain: BoolArray,
    on_source: BoolArray,
    *,
    threshold: float,
    spread: ImageArray | None = None,
    main_outside: float | None = None,
) -> OutlineQuality | None:
    """Measure the whole tumour; None where nothing is outlined.

    Args:
        outline: on the models' 1 mm grid (Z, Y, X); distances are in its voxels.
        probability: of the whole tumour there.
        brain: the brain mask there.
        on_source: the outline on the grid of the series that it is drawn on.
        threshold: above which a voxel was outlined.
        spread: standard deviation of the probability between mirrored answers, there.
        main_outside: see `OutlineQuality`.
    """
    if not outline.any() or not on_source.any():
        return None
    around = ndimage.binary_dilation(brain, iterations=_ROUNDING)
    _, parts = ndimage.label(on_source, structure=_TOUCHING)
    return OutlineQuality(
        parts=int(parts),
        apart_mm=_farthest_small_part(outline),
        outside=float(np.mean(~around[outline])),
        at_border=_at_border(on_source),
        sureness=float((probability[outline].mean() - threshold) / (1.0 - threshold)),
        spread=None if spread is None else float(spread[outline].mean()),
        main_outside=main_outside,
    )


def judge_outline(quality: OutlineQuality | None) -> Iterator[Concern]:
    """What speaks against the outline."""
    if quality is None:
        return
    yield from concern(Check.PARTS, float(quality.parts), f"The outline is in {quality.parts} separate parts.")
    yield from concern(
        Check.APART,
        quality.apart_mm,
        f"A small part of the outline lies {quality.apart_mm:.0f} mm from the main one: a second lesion, or none.",
    )
    yield from concern(
        Check.OUTSIDE, quality.outside, f"{_percent(quality.outside)} of the outline lie outside the brain mask."
    )
    yield from concern(
        Check.MAIN_OUTSIDE,
        quality.main_outside,
        f"Two ways to find the brain differ: {_percent(quality.main_outside or 0.0)} of the main part of the outline "
        "lie outside one of them.",
    )
    yield from concern(
        Check.BORDER,
        quality.at_border,
        f"{_percent(quality.at_border)} of the outline lie on the outermost pixels or slices: the tumour may go on "
        "beyond the images.",
    )
    yield from concern(
        Check.SURENESS,
        quality.sureness,
        "The network is not sure of the outline: inside it probabilities lie just above the threshold "
        f"({_percent(max(quality.sureness, 0.0))} of what is possible).",
    )
    yield from concern(
        Check.SPREAD,
        quality.spread,
        "The network answers otherwise when the brain is mirrored: probabilities inside the outline differ by "
        f"{_percent(quality.spread or 0.0)} (standard deviation).",
    )


def _farthest_small_part(outline: BoolArray) -> float:
    parts, count = ndimage.label(outline, structure=_TOUCHING)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    main = 1 + int(np.argmax(sizes[1:]))
    small = [part for part in range(1, count + 1) if sizes[part] < _SMALL * sizes[main]]
    if not small:
        return 0.0
    tree = KDTree(np.argwhere(parts == main))
    return max(float(tree.query(np.argwhere(parts == part))[0].min()) for part in small)


def _at_border(mask: BoolArray) -> float:
    inner = np.zeros_like(mask)
    # A grid of one or two slices has no inside; there only the edges in plane count.
    levels = slice(1, -1) if mask.shape[0] > 2 else slice(None)  # noqa: PLR2004
    inner[levels, 1:-1, 1:-1] = mask[levels, 1:-1, 1:-1]
    return float(1.0 - inner.sum() / mask.sum())


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 or share == 0 else f"{100 * share:.1f} %"  # noqa: PLR2004
