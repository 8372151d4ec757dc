"""Tumour regions, label maps, tumour types and findings.

Regions after the BraTS challenge (Menze 2015, doi:10.1109/TMI.2014.2377694; Bakas 2017,
doi:10.1038/sdata.2017.117). BraTS files write enhancing tumour as 4 (until 2020) or 3 (2023); inside this project the
exclusive labels are always 1, 2, 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

import numpy as np

from bt_node.domain.geometry import BoolArray, Grid, LabelArray
from bt_node.domain.region import LABEL_OF, PARTS_OF, Region, ReleaseIdentity
from bt_node.domain.study import Role

__all__ = [
    "LABEL_OF",
    "LEAST_TYPE_PROBABILITY",
    "PARTS_OF",
    "TUMOURS",
    "TYPE_WORDS",
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


# How sentences call them.
TYPE_WORDS: Mapping[TumourType, str] = MappingProxyType(
    {
        TumourType.GLIOMA: "glioma",
        TumourType.MENINGIOMA: "meningioma",
        TumourType.PITUITARY: "pituitary tumour",
        TumourType.NONE: "no tumour",
    }
)

# The types of tumour: what may be named once something is outlined.
TUMOURS: tuple[TumourType, ...] = tuple(kind for kind in TumourType if kind is not TumourType.NONE)

# From which probability on a type is named where the release does not say: nine of ten, a cautious guess.
LEAST_TYPE_PROBABILITY = 0.9


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
        tumour_top: its most probable type given that there is a tumour; None where that was not kept.
        tumour_certainty: the probability of that type, given a tumour.
    """

    index: int
    share: float
    top: TumourType
    certainty: float
    level_mm: float | None = None
    sop_instance_uid: str = ""
    tumour_top: TumourType | None = None
    tumour_certainty: float = 0.0


class SliceBasis(StrEnum):
    """Why these slices of a study were shown to the classifier; the words stand in reports."""

    GIVEN = "as given"
    CORE = "through the outlined tumour core"
    WHOLE = "through the outlined tumour"
    SPREAD = "spread evenly through the brain"


@dataclass(frozen=True)
class TumourTypeFinding:
    """Probabilities over all tumour types (they sum to 1) and the slices they came from.

    Whether there is a tumour is asked of the classifier only where nothing is outlined. Where something is, what it
    adds is the type given a tumour: `given_tumour`, which sums to 1 without "no tumour".

    Attributes:
        probabilities: of the study (or picture) as a whole, "no tumour" among them.
        slices_used: how many slices had a say.
        release: which classifier spoke.
        slices: what each of them said; empty where that was not kept.
        basis: how they were chosen.
        given_tumour: probabilities of the three types of tumour given that there is one; left out: `probabilities`
            without "no tumour", made to sum to 1.
        least_probability: the release's limit, below which no type is named (to a tenth of a percent, as reports say
            it).
    """

    probabilities: Mapping[TumourType, float]
    slices_used: int
    release: ReleaseIdentity
    slices: tuple[SliceAnswer, ...] = ()
    basis: SliceBasis = SliceBasis.GIVEN
    given_tumour: Mapping[TumourType, float] = field(default_factory=dict)
    least_probability: float = LEAST_TYPE_PROBABILITY

    def __post_init__(self) -> None:
        if set(self.probabilities) != set(TumourType):
            raise ValueError(f"probabilities must name every tumour type, not {sorted(self.probabilities)}")
        if abs(sum(self.probabilities.values()) - 1.0) > 1e-3:  # noqa: PLR2004
            raise ValueError(f"probabilities must sum to 1, not {sum(self.probabilities.values()):.4f}")
        if not self.given_tumour:
            object.__setattr__(self, "given_tumour", _given_tumour(self.probabilities))
        if set(self.given_tumour) != set(TUMOURS):
            raise ValueError(f"given a tumour its types must be named, not {sorted(self.given_tumour)}")
        if abs(sum(self.given_tumour.values()) - 1.0) > 1e-3:  # noqa: PLR2004
            raise ValueError(f"given a tumour its types must sum to 1, not {sum(self.given_tumour.values()):.4f}")

    @property
    def tumour_top(self) -> TumourType:
        """The most probable type given that there is a tumour."""
        return max(self.given_tumour, key=lambda kind: self.given_tumour[kind])

    @property
    def tumour_certainty(self) -> float:
        """Probability of that type, given a tumour."""
        return self.given_tumour[self.tumour_top]

    @property
    def names_type(self) -> bool:
        """Whether that probability is enough for this release to name the type."""
        return round(self.tumour_certainty, 3) >= self.least_probability

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


def _given_tumour(probabilities: Mapping[TumourType, float]) -> dict[TumourType, float]:
    ill = sum(probabilities[kind] for kind in TUMOURS)
    return {kind: probabilities[kind] / ill if ill > 0 else 1 / len(TUMOURS) for kind in TUMOURS}


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
    def named_type(self) -> TumourType | None:
        """The type of the outlined tumour; None where nothing is outlined, none was asked for, or it is doubtful."""
        named = self.tumour_type
        return named.tumour_top if named is not None and self.tumour_outlined and named.names_type else None

    @property
    def type_is_indeterminate(self) -> bool:
        """Whether something is outlined and the classifier is not sure enough of any type."""
        return self.tumour_outlined and self.tumour_type is not None and not self.tumour_type.names_type

    @property
    def models_agree(self) -> bool | None:
        """Whether outline and tumour type both say that there is a tumour, or both that there is none.

        None where the classifier did not answer.
        """
        if self.tumour_type is None:
            return None
        return self.tumour_outlined == (self.tumour_type.top is not TumourType.NONE)
