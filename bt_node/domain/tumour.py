"""Tumour regions, label maps, tumour types and findings.

Regions after the BraTS challenge (Menze 2015, doi:10.1109/TMI.2014.2377694; Bakas 2017,
doi:10.1038/sdata.2017.117). BraTS files write enhancing tumour as 4 (until 2020) or 3 (2023); inside this project the
exclusive labels are always 1, 2, 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from bt_node.domain.geometry import BoolArray, Grid, LabelArray
from bt_node.domain.region import LABEL_OF, PARTS_OF, Region, ReleaseIdentity
from bt_node.domain.study import Role

__all__ = [
    "LABEL_OF",
    "PARTS_OF",
    "Findings",
    "LabelMap",
    "Region",
    "RegionMeasurement",
    "ReleaseIdentity",
    "SliceAnswer",
    "SliceBasis",
    "TumourType",
    "TumourTypeFinding",
]


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Exclusive tumour labels, uint8 (Z, Y, X): 0 background, 1 NCR, 2 ED, 3 ET."""

    array: LabelArray
    grid: Grid

    def __post_init__(self) -> None:
        if self.array.shape != self.grid.shape:
            raise ValueError(f"array {self.array.shape} does not fit grid {self.grid.shape}")
        if self.array.dtype != np.uint8:
            raise ValueError(f"a LabelMap is uint8, not {self.array.dtype}")
        if self.array.size and int(self.array.max()) > max(LABEL_OF.values()):
            raise ValueError(f"labels above {max(LABEL_OF.values())}: {int(self.array.max())}")
        self.array.setflags(write=False)

    def mask(self, region: Region) -> BoolArray:
        """Voxels of a region (exclusive or nested), bool (Z, Y, X)."""
        return np.isin(self.array, [LABEL_OF[part] for part in PARTS_OF[region]])

    def volume_ml(self, region: Region) -> float:
        """Millilitres of a region: voxels times voxel volume."""
        return float(self.mask(region).sum()) * self.grid.voxel_volume_mm3 / 1000.0

    @property
    def is_empty(self) -> bool:
        """No voxel is labelled."""
        return not bool(self.array.any())


class TumourType(StrEnum):
    """What the classifier can name."""

    GLIOMA = "glioma"
    MENINGIOMA = "meningioma"
    PITUITARY = "pituitary"
    NONE = "no_tumour"


@dataclass(frozen=True)
class SliceAnswer:
    """What one slice said by itself.

    Attributes:
        index: its place among the slices that were given, from 0.
        share: its part of the study's answer; the shares of a finding sum to 1.
        top: its most probable type.
        certainty: the probability of that type, 0 to 1.
        level_mm: where it lies, LPS z in mm; None when the slice has no place in a patient (a picture file).
        sop_instance_uid: the source image nearest to it; empty where there is none.
    """

    index: int
    share: float
    top: TumourType
    certainty: float
    level_mm: float | None = None
    sop_instance_uid: str = ""


class SliceBasis(StrEnum):
    """Why these slices of a study were shown to the classifier; the words stand in reports."""

    GIVEN = "as given"
    CORE = "through the outlined tumour core"
    WHOLE = "through the outlined tumour"
    SPREAD = "spread evenly through the brain"


@dataclass(frozen=True)
class TumourTypeFinding:
    """Probabilities over all tumour types (they sum to 1) and the slices they came from.

    Attributes:
        probabilities: of the study (or picture) as a whole.
        slices_used: how many slices had a say.
        release: which classifier spoke.
        slices: what each of them said; empty where that was not kept.
        basis: how they were chosen.
    """

    probabilities: Mapping[TumourType, float]
    slices_used: int
    release: ReleaseIdentity
    slices: tuple[SliceAnswer, ...] = ()
    basis: SliceBasis = SliceBasis.GIVEN

    def __post_init__(self) -> None:
        if set(self.probabilities) != set(TumourType):
            raise ValueError(f"probabilities must name every tumour type, not {sorted(self.probabilities)}")
        if abs(sum(self.probabilities.values()) - 1.0) > 1e-3:  # noqa: PLR2004
            raise ValueError(f"probabilities must sum to 1, not {sum(self.probabilities.values()):.4f}")

    @property
    def top(self) -> TumourType:
        """The most probable type."""
        return max(self.probabilities, key=lambda kind: self.probabilities[kind])

    @property
    def certainty(self) -> float:
        """Probability of the most probable type, 0 to 1."""
        return self.probabilities[self.top]

    def votes(self, kind: TumourType, least: float = 0.0) -> int:
        """How many slices name `kind` as most probable, with at least this probability."""
        return sum(1 for each in self.slices if each.top is kind and each.certainty >= least)


@dataclass(frozen=True)
class RegionMeasurement:
    """Size of one region on the source grid.

    Axes are the longest in-plane diameter of a connected part on one source slice and the longest diameter
    perpendicular to it on that slice (RANO), in mm; None when the region is absent.
    """

    region: Region
    volume_ml: float
    long_axis_mm: float | None = None
    perpendicular_axis_mm: float | None = None


@dataclass(frozen=True)
class Findings:
    """What the models said about one study, on the source grid of the reference series.

    Attributes:
        measurements: sizes of the regions that could be assessed. A region that a missing sequence hides has no
            entry: it is neither present nor absent, and never 0 ml.
        segmenter: which release outlined.
        tumour_type: what the classifier said; None when it did not answer.
        cautions: sentences that must travel with the result.
        missing: sequences that the segmenter reads and the study does not hold.
        no_type_because: why `tumour_type` is None, as the end of a sentence; empty where no classifier is configured.
    """

    measurements: Mapping[Region, RegionMeasurement]
    segmenter: ReleaseIdentity
    tumour_type: TumourTypeFinding | None = None
    cautions: tuple[str, ...] = field(default=())
    missing: tuple[Role, ...] = ()
    no_type_because: str = ""

    def __post_init__(self) -> None:
        if Region.WT not in self.measurements:
            raise ValueError("the whole tumour must be measured: nothing else tells whether anything is outlined")

    @property
    def tumour_outlined(self) -> bool:
        """Whether the segmenter marked anything at all."""
        return self.measurements[Region.WT].volume_ml > 0

    @property
    def not_assessed(self) -> tuple[Region, ...]:
        """Regions that nothing can be said about, because a sequence is missing."""
        return tuple(region for region in Region if region not in self.measurements)

    @property
    def models_agree(self) -> bool | None:
        """Whether outline and tumour type both say that there is a tumour, or both that there is none.

        None where the classifier did not answer.
        """
        if self.tumour_type is None:
            return None
        return self.tumour_outlined == (self.tumour_type.top is not TumourType.NONE)
