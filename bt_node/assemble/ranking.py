"""Which of several series that fit one role serves best: criteria as data, most important first.

The first criterion in which two series differ decides and is the reason that is shown. Series that differ in none
are a tie, which a person must break.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bt_node.assemble.candidate import Candidate
from bt_node.assemble.vocabulary import FAT_FREE_WORDS
from bt_node.assemble.words import first_key
from bt_node.domain.study import Plane


@dataclass(frozen=True)
class Fit:
    """A candidate for one role with what was found out on the way."""

    candidate: Candidate
    reason: str
    certainty: int  # of the weighting: 2 words and timing, 1 one of them
    contrast_certainty: int = 0
    unwanted_contrast: bool = False  # T2 or FLAIR taken after contrast


@dataclass(frozen=True)
class Criterion:
    """One point of comparison: a smaller score is better; `phrase` says what the better one has."""

    score: Callable[[Fit], float]
    phrase: str


_WHOLE_HEAD_MM = 100.0
_STEP_MM = 10.0


def _coverage(fit: Fit) -> float:
    return -math.floor(min(fit.candidate.shape.coverage_mm, _WHOLE_HEAD_MM) / _STEP_MM)


def _plane(fit: Fit) -> float:
    shape = fit.candidate.shape
    if shape.volumetric:
        return 0
    return 1 if shape.plane is Plane.AXIAL else 2


def _fat_free(fit: Fit) -> float:
    series = fit.candidate.series
    by_words = any(first_key(FAT_FREE_WORDS, text) for text in fit.candidate.texts)
    return float(by_words or "FS" in series.scan_options or "WATER" in series.image_type)


def _voxel(fit: Fit) -> float:
    # Steps of 10 %: differences below are noise, not resolution.
    return round(math.log(max(fit.candidate.shape.voxel_mm3, 1e-6)) / math.log(1.1))


def _uncorrected(fit: Fit) -> float:
    kinds = set(fit.candidate.series.image_type)
    return 2.0 - ("NORM" in kinds) - bool(kinds & {"DIS2D", "DIS3D"})


CRITERIA: tuple[Criterion, ...] = (
    Criterion(lambda fit: not fit.candidate.shape.even, "evenly spaced slices"),
    Criterion(_coverage, "more of the head covered"),
    Criterion(lambda fit: -fit.contrast_certainty, "surer evidence about contrast"),
    Criterion(lambda fit: fit.unwanted_contrast, "taken before contrast"),
    Criterion(lambda fit: "DERIVED" in fit.candidate.series.image_type, "original, not derived"),
    Criterion(_plane, "3D before axial before other planes"),
    Criterion(lambda fit: -fit.certainty, "words and timing agree"),
    Criterion(_fat_free, "no fat saturation"),
    Criterion(_voxel, "finer resolution"),
    Criterion(_uncorrected, "corrected for coil sensitivity or distortion"),
    Criterion(lambda fit: -round(fit.candidate.shape.coverage_mm / _STEP_MM), "more slices"),
)


def scores(fit: Fit) -> tuple[float, ...]:
    """All criteria of one fit, comparable as a tuple; smaller is better."""
    return tuple(float(criterion.score(fit)) for criterion in CRITERIA)


def best_of(fits: Sequence[Fit]) -> list[Fit]:
    """The best fit alone, or all that share the first place."""
    best = min(map(scores, fits))
    return [fit for fit in fits if scores(fit) == best]


def why_better(winner: Fit, other: Fit) -> str:
    """The phrase of the first criterion in which the two differ."""
    for criterion in CRITERIA:
        if criterion.score(winner) != criterion.score(other):
            return criterion.phrase
    return "equal"
