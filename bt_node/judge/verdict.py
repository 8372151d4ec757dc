"""Is a result fit to leave? Facts in, verdict and cautions out; nothing is changed and nothing is guessed.

CAUTION lets a result leave with plain words on it; HOLD keeps it for a person. Cautions are sentences in ASCII
without patient data: they are written into the report and the job book.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bt_node.domain.study import Role
from bt_node.domain.tumour import Findings, Region, TumourType
from bt_node.judge.missing import what_it_means

_BITS_PER_BYTE = 8


class Decision(StrEnum):
    """What may become of a result."""

    SEND = "SEND"
    CAUTION = "CAUTION"  # send it, with the cautions written on it
    HOLD = "HOLD"  # a person must look first


@dataclass(frozen=True)
class Verdict:
    """A decision with its reasons; SEND has none."""

    decision: Decision
    cautions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.decision is Decision.SEND) == bool(self.cautions):
            raise ValueError(f"{self.decision.value} does not go with {len(self.cautions)} caution(s)")


@dataclass(frozen=True)
class Limits:
    """Where plausible ends. These are rules of thumb, not measured operating points.

    Attributes:
        large_fraction: a whole tumour above this part of the brain is seldom seen: a caution.
        impossible_fraction: above this part the outline cannot be right: hold.
        small_ml: below this a lone outline may be noise.
        sure: a tumour type below this probability is a weak one.
        far_mm: a sequence that moved further than this on its way to the reference was perhaps misregistered.
        lone_slices: so many slices that surely name a tumour are told, although the study as a whole shows none.
    """

    large_fraction: float = 0.25
    impossible_fraction: float = 0.6
    small_ml: float = 0.1
    sure: float = 0.6
    far_mm: float = 20.0
    lone_slices: int = 2


DEFAULT_LIMITS = Limits()


def judge_study(
    findings: Findings,
    *,
    brain_ml: float,
    matrix: tuple[int, int] | None = None,
    moved_mm: Mapping[Role, float] | None = None,
    reference: Role = Role.T1C,
    limits: Limits = DEFAULT_LIMITS,
) -> Verdict:
    """Judge one study's findings.

    Args:
        findings: what the models said; its own cautions are not looked at.
        brain_ml: volume of the brain mask, ml.
        matrix: rows and columns of the reference series.
        moved_mm: how far registration moved each sequence, mm.
        reference: the sequence that the others were brought to.
        limits: where plausible ends.
    """
    tumour_ml = findings.measurements[Region.WT].volume_ml
    impossible = tuple(_impossible(tumour_ml, brain_ml, limits))
    cautions = (
        *impossible,
        *what_it_means(findings.missing),
        *_unanswered(findings.no_type_because),
        *_size(tumour_ml, brain_ml, limits, known=bool(impossible)),
        *_agreement(findings, limits),
        *_lone_slices(findings, limits),
        *_registration(moved_mm or {}, reference, limits),
        *_drawing(tumour_ml, matrix),
    )
    if impossible:
        return Verdict(Decision.HOLD, cautions)
    return Verdict(Decision.CAUTION, cautions) if cautions else Verdict(Decision.SEND)


def _impossible(tumour_ml: float, brain_ml: float, limits: Limits) -> Iterator[str]:
    if brain_ml <= 0:
        yield "No brain was found; the outline has nothing to be measured against."
    elif tumour_ml > limits.impossible_fraction * brain_ml:
        yield f"The outline fills {100 * tumour_ml / brain_ml:.0f} % of the brain, which cannot be right."


def _size(tumour_ml: float, brain_ml: float, limits: Limits, *, known: bool) -> Iterator[str]:
    if not known and tumour_ml > limits.large_fraction * brain_ml:
        yield f"The outline is unusually large: {tumour_ml:.0f} ml, {100 * tumour_ml / brain_ml:.0f} % of the brain."
    if 0 < tumour_ml < limits.small_ml:
        yield f"The outline is very small ({tumour_ml:.2f} ml) and may be noise."


def _agreement(findings: Findings, limits: Limits) -> Iterator[str]:
    """The two models look with different eyes: where they disagree, one of them is wrong."""
    named = findings.tumour_type
    if named is None:
        return
    share = f"{100 * named.certainty:.0f} %"
    if not findings.models_agree and findings.tumour_outlined:
        ml = findings.measurements[Region.WT].volume_ml
        yield f"The models disagree: {ml:.1f} ml are outlined, but the classifier sees no tumour ({share})."
    elif not findings.models_agree:
        yield f"The models disagree: nothing is outlined, but the classifier names {named.top.value} ({share})."
    if named.certainty < limits.sure:
        yield f"The tumour type is uncertain: the most probable one has {share}."


def _unanswered(because: str) -> Iterator[str]:
    if because:
        yield f"No tumour type is named, because {because}."


def _lone_slices(findings: Findings, limits: Limits) -> Iterator[str]:
    """A small tumour that the segmenter overlooked shows on a few slices, and their mean says no tumour."""
    named = findings.tumour_type
    if named is None or findings.tumour_outlined or named.top is not TumourType.NONE:
        return
    for kind in (kind for kind in TumourType if kind is not TumourType.NONE):
        votes = named.votes(kind, limits.sure)
        if votes >= limits.lone_slices:
            yield f"Nothing is outlined, but {votes} of {named.slices_used} slices by themselves show {kind.value}."


def _registration(moved_mm: Mapping[Role, float], reference: Role, limits: Limits) -> Iterator[str]:
    for role, distance in moved_mm.items():
        if distance > limits.far_mm:
            where = f"{distance:.0f} mm to fit the {reference.value} series"
            yield f"{role.value} was moved by {where}; its place may be wrong."


def _drawing(tumour_ml: float, matrix: tuple[int, int] | None) -> Iterator[str]:
    """OHIF 3.13 draws packed bits wrongly where frames do not end on a byte (its pixel counts stay nearly right)."""
    if tumour_ml > 0 and matrix and matrix[0] * matrix[1] % _BITS_PER_BYTE:
        yield (
            f"The image matrix {matrix[0]} x {matrix[1]} does not fill whole bytes: some viewers draw the outline "
            "in a wrong place. The stored outline is right."
        )
