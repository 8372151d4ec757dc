"""Which of several series that fit one role serves best: criteria as data, most important first.

The first criterion in which two series differ decides and is the reason that is shown. Series that differ in none
are a tie, which a person must break.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bt_node.assemble.candidate import Candidate
from bt_node.assemble.contrast import Basis as ContrastBasis
from bt_node.assemble.vocabulary import FAT_FREE_WORDS, LATE_WORDS, REPEAT_WORDS
from bt_node.assemble.weighting import Basis
from bt_node.assemble.words import first_key
from bt_node.domain.study import Plane

EQUAL = "equal"


@dataclass(frozen=True)
class Fit:
    """A candidate for one role with what was found out on the way."""

    candidate: Candidate
    reason: str
    weighting: Basis
    contrast: ContrastBasis | None = None  # of T1 and T1C
    unwanted_contrast: bool = False  # T2 or FLAIR taken after contrast
    by_rule: bool = False  # a rule of the site named it
    paired: bool = False  # T1 and T1C: the other of the two was acquired with the same settings
    tie: bool = False  # others serve equally, and a rule chose
    other_part: bool = False  # the study names another part of the body, and nowhere the head


@dataclass(frozen=True)
class Criterion:
    """One point of comparison: a smaller score is better; `phrase` says what the better one has."""

    score: Callable[[Fit], float]
    phrase: str


_WHOLE_HEAD_MM = 100.0
_STEP_MM = 10.0


def _coverage(fit: Fit) -> float:
    return -math.floor(min(fit.candidate.shape.coverage_mm, _WHOLE_HEAD_MM) / _STEP_MM)


def _volume_first(fit: Fit) -> float:
    shape = fit.candidate.shape
    if shape.volumetric:
        return 0
    return 1 if shape.plane is Plane.AXIAL else 2


def _slices_first(fit: Fit) -> float:
    shape = fit.candidate.shape
    if shape.volumetric:
        return 1
    return 0 if shape.plane is Plane.AXIAL else 2


def _no_preference(fit: Fit) -> float:
    return float(not fit.candidate.shape.volumetric and fit.candidate.shape.plane is not Plane.AXIAL)


def _fat_free(fit: Fit) -> float:
    series = fit.candidate.series
    by_words = any(first_key(FAT_FREE_WORDS, text) for text in fit.candidate.texts)
    return float(by_words or "FS" in series.scan_options or "WATER" in series.image_type)


def _voxel(fit: Fit) -> float:
    # Steps of 10 %: differences below are noise, not resolution.
    return round(math.log(max(fit.candidate.shape.voxel_mm3, 1e-6)) / math.log(1.1))


def repeats(fit: Fit) -> bool:
    """Whether its description says that it was acquired once more."""
    return any(first_key(REPEAT_WORDS, text) for text in fit.candidate.texts)


_MINUTES = re.compile(r"(?<![a-z0-9])(\d{1,2}) ?min(?![a-z])")
_LATE_MIN = 99.0


def _delay(fit: Fit) -> float:
    """Minutes after the injection that its words name: "2min" before "10 min" before "late"."""
    minutes = [float(found.group(1)) for text in fit.candidate.texts if (found := _MINUTES.search(text))]
    late = any(first_key(LATE_WORDS, text) for text in fit.candidate.texts)
    return minutes[0] if minutes else _LATE_MIN if late else 0.0


def _uncorrected(fit: Fit) -> float:
    kinds = set(fit.candidate.series.image_type)
    return 2.0 - ("NORM" in kinds) - bool(kinds & {"DIS2D", "DIS3D"})


_PREFERENCES: Mapping[str, Criterion] = {
    "3d": Criterion(_volume_first, "3D before axial before other planes"),
    "2d": Criterion(_slices_first, "axial slices before 3D before other planes"),
    "none": Criterion(_no_preference, "axial or 3D before other planes"),
}


def criteria(prefer: str = "3d") -> tuple[Criterion, ...]:
    """All points of comparison of a site that prefers "3d", "2d" or "none"."""
    return (
        Criterion(lambda fit: not fit.by_rule, "named by a rule of the site"),
        Criterion(lambda fit: not fit.candidate.shape.even, "evenly spaced slices of one matrix"),
        Criterion(_coverage, "more of the head covered"),
        Criterion(lambda fit: -fit.contrast.rank if fit.contrast else 0, "surer evidence about contrast"),
        Criterion(lambda fit: fit.unwanted_contrast, "taken before contrast"),
        Criterion(lambda fit: "DERIVED" in fit.candidate.series.image_type, "original, not derived"),
        _PREFERENCES[prefer],
        Criterion(lambda fit: fit.weighting is not Basis.BOTH, "words and timing agree"),
        Criterion(_fat_free, "no fat saturation"),
        Criterion(_voxel, "finer resolution"),
        Criterion(lambda fit: not fit.paired, "same settings before and after contrast"),
        Criterion(_uncorrected, "corrected for coil sensitivity or distortion"),
        Criterion(lambda fit: -round(fit.candidate.shape.coverage_mm / _STEP_MM), "more slices"),
        Criterion(lambda fit: not repeats(fit), "repeated, after one that failed"),
        Criterion(_delay, "sooner after the injection"),
    )


CRITERIA = criteria()


@dataclass(frozen=True)
class Order:
    """The order of preference at one site."""

    points: tuple[Criterion, ...] = CRITERIA

    def scores(self, fit: Fit) -> tuple[float, ...]:
        """All points of one fit, comparable as a tuple; smaller is better."""
        return tuple(float(point.score(fit)) for point in self.points)

    def sorted(self, fits: Sequence[Fit]) -> list[tuple[int, Fit]]:
        """All fits, best first, with their places; those that differ in nothing share a place."""
        scored = sorted(
            ((self.scores(fit), fit) for fit in fits), key=lambda pair: (pair[0], pair[1].candidate.order)
        )
        scores = [score for score, _ in scored]
        return [(1 + scores.index(score), fit) for score, fit in scored]

    def why_better(self, winner: Fit, other: Fit) -> str:
        """The phrase of the first point in which the two differ."""
        return next((point.phrase for point in self.points if point.score(winner) != point.score(other)), EQUAL)
