"""How one region of one case came out: overlap, distance of the surfaces, volume.

Empty regions, of which BraTS has many (no enhancing tumour in most lower-grade gliomas):

| expert | segmenter | Dice, IoU, precision, sensitivity | HD95 | volume error |
|---|---|---|---|---|
| empty | empty | 1 | 0 mm | 0 ml, 0 % |
| empty | drawn | 0; sensitivity is not defined | not defined | its ml; per cent is not defined |
| drawn | empty | 0; precision is not defined | not defined | its ml, 100 % |

"Not defined" is nan here. Such cases are left out of a mean and counted beside it: a figure for them (BraTS takes the
image's diagonal) would be one of convention, and would drown the others.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance

from bt_node.domain.geometry import BoolArray

NAN = float("nan")
_PERCENTILE = 95.0
# Names of the figures of a region, in the order of tables: what is shown, and how many decimals.
MEASURES: Mapping[str, tuple[str, int]] = {
    "dice": ("Dice", 3),
    "iou": ("IoU", 3),
    "hd95_mm": ("HD95, mm", 1),
    "sensitivity": ("Sensitivity", 3),
    "precision": ("Precision", 3),
    "volume_error_ml": ("Volume error without sign, ml", 1),
    "volume_error_percent": ("Volume error without sign, %", 0),
    "volume_bias_ml": ("Volume drawn minus true, ml", 1),
}


@dataclass(frozen=True)
class RegionScore:
    """Figures of one region; nan where a figure is not defined (or, for HD95, was not asked for).

    Attributes:
        dice: twice the overlap over the sum of both sizes, 0 to 1.
        iou: overlap over union, 0 to 1.
        sensitivity: share of the expert's voxels that the segmenter drew.
        precision: share of the segmenter's voxels that the expert drew.
        hd95_mm: the larger of both directions' 95th percentile of surface distances.
        true_ml: volume as the expert drew it.
        predicted_ml: volume as the segmenter drew it.
    """

    dice: float
    iou: float
    sensitivity: float
    precision: float
    hd95_mm: float
    true_ml: float
    predicted_ml: float

    @property
    def volume_bias_ml(self) -> float:
        """Drawn minus true: above 0 the segmenter draws too much."""
        return self.predicted_ml - self.true_ml

    @property
    def volume_error_ml(self) -> float:
        """Difference of the volumes without its sign."""
        return abs(self.volume_bias_ml)

    @property
    def volume_error_percent(self) -> float:
        """Difference of the volumes without its sign, in per cent of the expert's."""
        if self.true_ml == 0:
            return 0.0 if self.predicted_ml == 0 else NAN
        return 100.0 * self.volume_error_ml / self.true_ml

    def figures(self) -> dict[str, float]:
        """Every figure of `MEASURES`."""
        return {name: float(getattr(self, name)) for name in MEASURES}


def score_region(
    predicted: BoolArray, true: BoolArray, *, spacing_mm: Sequence[float] = (1.0, 1.0, 1.0), distances: bool = True
) -> RegionScore:
    """Compare two masks (Z, Y, X) of one grid.

    Args:
        predicted: as the segmenter drew the region.
        true: as the expert drew it.
        spacing_mm: of voxels, (Z, Y, X).
        distances: whether HD95 is worked out, which takes some tenths of a second.
    """
    drawn, wanted = int(np.count_nonzero(predicted)), int(np.count_nonzero(true))
    both = int(np.count_nonzero(predicted & true))
    empty = drawn == wanted == 0
    voxel_ml = math.prod(spacing_mm) / 1000.0
    return RegionScore(
        dice=1.0 if empty else 2.0 * both / (drawn + wanted),
        iou=1.0 if empty else both / (drawn + wanted - both),
        sensitivity=_share(both, wanted, empty=empty),
        precision=_share(both, drawn, empty=empty),
        hd95_mm=_hd95_mm(predicted, true, spacing_mm) if distances else NAN,
        true_ml=wanted * voxel_ml,
        predicted_ml=drawn * voxel_ml,
    )


def _share(part: int, whole: int, *, empty: bool) -> float:
    if empty:
        return 1.0
    return part / whole if whole else NAN


def _hd95_mm(predicted: BoolArray, true: BoolArray, spacing_mm: Sequence[float]) -> float:
    if not (predicted.any() and true.any()):
        return NAN if predicted.any() or true.any() else 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # monai calls a function of its own in a way it will drop
        found = compute_hausdorff_distance(
            torch.from_numpy(np.ascontiguousarray(predicted))[None, None],
            torch.from_numpy(np.ascontiguousarray(true))[None, None],
            include_background=True,
            percentile=_PERCENTILE,
            spacing=tuple(spacing_mm),
        )
    return float(found)
