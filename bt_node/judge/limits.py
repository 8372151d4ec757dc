"""The one table of limits: what is measured of a study and its result, and what follows where.

These are rules of thumb, set where the good studies at hand are well inside and the bad ones outside
(docs/judgement.md says on which), not operating points measured on patients. "Caution" leaves with plain words on it,
"hold" waits for a person, "reject" is no study of a head and is not analysed at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Decision(StrEnum):
    """What may become of a result."""

    SEND = "SEND"
    CAUTION = "CAUTION"  # send it, with the cautions written on it
    HOLD = "HOLD"  # a person must look first
    REJECT = "REJECT"  # not a study that could be answered


_ORDER = tuple(Decision)


def gravest(decisions: tuple[Decision, ...]) -> Decision:
    """The one that counts; SEND where there is none."""
    return max(decisions, key=_ORDER.index, default=Decision.SEND)


class Check(StrEnum):
    """What is looked at. The words stand in the job book and in docs/judgement.md."""

    # of the images as scanned
    LOWEST_VALUE = "lowest-value"
    NOISE = "noise"
    SUBSTANCE = "one-substance"
    GHOSTS = "ghosts"
    SLICES = "slices"
    SLICE_DISTANCE = "slice-distance"
    GAP = "gap"
    # of the brain that was found in them
    ROUNDNESS = "brain-roundness"
    DEPTH = "brain-depth"
    AGREEMENT = "brain-agreement"
    CUT_OFF = "brain-cut-off"
    UNCOVERED = "brain-uncovered"
    SCALP = "scalp"
    MOVED = "moved"
    # of the patient
    AGE = "age"
    # of what was found
    LARGE = "large-outline"
    SMALL = "small-outline"
    PARTS = "parts"
    APART = "small-part-apart"
    OUTSIDE = "outside-brain"
    MAIN_OUTSIDE = "main-part-outside"
    BORDER = "image-border"
    SURENESS = "outline-sureness"
    SPREAD = "mirror-spread"
    TYPE_SURENESS = "type-sureness"
    NONE_SURENESS = "no-tumour-sureness"


@dataclass(frozen=True)
class Limit:
    """Where a measured number stops being fit.

    Attributes:
        unit: of the number.
        too_much: large numbers are the bad ones; otherwise small ones.
        caution: beyond it a caution; None: no such consequence.
        hold: beyond it a person looks first.
        reject: beyond it the study is not analysed.
        why: reason for the limits, in one sentence.
    """

    unit: str
    too_much: bool
    why: str
    caution: float | None = None
    hold: float | None = None
    reject: float | None = None

    def decide(self, value: float) -> Decision:
        """What follows from `value`."""
        for decision, limit in (
            (Decision.REJECT, self.reject),
            (Decision.HOLD, self.hold),
            (Decision.CAUTION, self.caution),
        ):
            if limit is not None and (value > limit if self.too_much else value < limit):
                return decision
        return Decision.SEND


LIMITS: Mapping[Check, Limit] = MappingProxyType(
    {
        Check.LOWEST_VALUE: Limit(
            "scanner units",
            too_much=False,
            reject=-500.0,
            why="air is -1000 in Hounsfield units, and magnitude images of MR have no negative values",
        ),
        Check.NOISE: Limit(
            "part of the signal",
            too_much=True,
            caution=0.15,
            hold=0.30,
            reject=0.45,
            why="heads have 0.01 to 0.11, pure noise 0.53; a tenth of the signal added as noise gives 0.12 to 0.16",
        ),
        Check.SUBSTANCE: Limit(
            "part of the mean",
            too_much=False,
            reject=0.10,
            why="a head is made of fluid, grey and white matter, bone; a bottle is one substance",
        ),
        Check.GHOSTS: Limit(
            "part of the signal",
            too_much=True,
            caution=0.06,
            hold=0.10,
            why="still heads have up to 0.04; shifts of 2 mm between echo trains give 0.04 to 0.16",
        ),
        Check.SLICES: Limit(
            "slices",
            too_much=False,
            caution=14.0,
            hold=10.0,
            why="a brain of 130 mm in slices of 7 mm has 18",
        ),
        Check.SLICE_DISTANCE: Limit(
            "mm",
            too_much=True,
            caution=8.0,
            hold=12.0,
            why="routine slices are 5 to 7 mm apart; a lesion of 10 mm falls between slices 12 mm apart",
        ),
        Check.GAP: Limit(
            "part of the distance",
            too_much=True,
            caution=0.35,
            hold=0.60,
            why="gaps of 10 to 30 % are usual; what lies in a gap was not imaged",
        ),
        Check.ROUNDNESS: Limit(
            "part of the convex hull",
            too_much=False,
            caution=0.76,
            hold=0.70,
            why="brains found in heads fill 0.78 to 0.89; a mask that leaked or was torn fills less",
        ),
        Check.DEPTH: Limit(
            "mm",
            too_much=False,
            caution=38.0,
            hold=33.0,
            why="brains found in heads are 44 to 56 mm deep; halves of them 29 to 34",
        ),
        Check.AGREEMENT: Limit(
            "Dice",
            too_much=False,
            caution=0.75,
            hold=0.60,
            why="network and rule agreed by 0.88 to 0.98 in three heads with skull; in legs, a knee and a spine by "
            "0.10, 0.41 and 0.64",
        ),
        Check.CUT_OFF: Limit(
            "part of its largest section",
            too_much=True,
            caution=0.30,
            hold=0.50,
            why="of brains that lie whole in the images at most a quarter of the largest section is left there",
        ),
        Check.UNCOVERED: Limit(
            "part of the brain",
            too_much=True,
            caution=0.05,
            hold=0.20,
            why="there the network reads a missing sequence as though nothing were there",
        ),
        Check.SCALP: Limit(
            "mm",
            too_much=False,
            caution=6.0,
            why="skull and scalp are 12 mm or more; a stripped brain, or no head, has none",
        ),
        Check.MOVED: Limit(
            "mm",
            too_much=True,
            caution=20.0,
            why="patients seldom move so far between sequences: it may be misregistered",
        ),
        Check.AGE: Limit(
            "years below the release's least age",
            too_much=True,
            hold=0.0,
            why="the release was not made for younger patients",
        ),
        Check.LARGE: Limit(
            "part of the brain",
            too_much=True,
            caution=0.25,
            hold=0.60,
            why="whole tumours above a quarter of the brain are seldom, above 60 % impossible",
        ),
        Check.SMALL: Limit("ml", too_much=False, caution=0.1, why="a lone outline of a few voxels may be noise"),
        Check.PARTS: Limit(
            "separate parts",
            too_much=True,
            caution=10.0,
            hold=60.0,
            why="most tumours are one to five parts; hundreds of specks are noise",
        ),
        Check.APART: Limit(
            "mm from the largest part",
            too_much=True,
            caution=15.0,
            why="the experts' small parts lie within 5 mm of the largest, false ones up to 40 mm away",
        ),
        Check.OUTSIDE: Limit(
            "part of the outline",
            too_much=True,
            caution=0.05,
            hold=0.30,
            why="a brain tumour lies in the brain",
        ),
        Check.MAIN_OUTSIDE: Limit(
            "part of the largest part",
            too_much=True,
            caution=0.5,
            why="tumours of 22 cases in synthetic heads lie inside both masks whole, an outline in an orbit in one",
        ),
        Check.BORDER: Limit(
            "part of the outline",
            too_much=True,
            caution=0.0,
            hold=0.30,
            why="what reaches the edge of the images may go on beyond it",
        ),
        Check.SURENESS: Limit(
            "part of what is possible above the threshold",
            too_much=False,
            caution=0.35,
            hold=0.10,
            why="an outline just above its threshold everywhere is a guess",
        ),
        Check.SPREAD: Limit(
            "standard deviation",
            too_much=True,
            caution=0.15,
            hold=0.30,
            why="the same brain in the mirror should get the same answer",
        ),
        Check.TYPE_SURENESS: Limit(
            "probability below the release's limit",
            too_much=True,
            caution=0.0,
            why="the release's calibration does not bear a type out: none is named",
        ),
        Check.NONE_SURENESS: Limit(
            "probability", too_much=False, caution=0.6, why="no tumour below this probability is a weak answer"
        ),
    }
)


@dataclass(frozen=True)
class Concern:
    """One thing that speaks against sending a result without a word.

    Attributes:
        check: what was looked at.
        decision: CAUTION, HOLD or REJECT.
        sentence: why, in ASCII without patient data: it stands in the report and in the job book.
    """

    check: Check
    decision: Decision
    sentence: str


def concern(check: Check, value: float | None, sentence: str) -> tuple[Concern, ...]:
    """A concern where `value` is beyond a limit; none where it is not, or could not be measured."""
    if value is None:
        return ()
    decision = LIMITS[check].decide(value)
    return () if decision is Decision.SEND else (Concern(check, decision, sentence),)
