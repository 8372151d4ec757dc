"""Is a result fit to leave? Facts in, verdict and cautions out; nothing is changed and nothing is guessed.

CAUTION lets a result leave with plain words on it; HOLD keeps it for a person. Cautions are sentences in ASCII
without patient data: they are written into the report and the job book.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bt_node.domain.study import Role
from bt_node.domain.tumour import TumourType, TumourTypeFinding

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
        far_mm: a sequence that moved further than this on its way to the T1c was perhaps misregistered.
    """

    large_fraction: float = 0.25
    impossible_fraction: float = 0.6
    small_ml: float = 0.1
    sure: float = 0.6
    far_mm: float = 20.0


DEFAULT_LIMITS = Limits()


def judge_study(
    *,
    whole_tumour_ml: float,
    brain_ml: float,
    tumour_type: TumourTypeFinding | None,
    matrix: tuple[int, int] | None = None,
    moved_mm: Mapping[Role, float] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Verdict:
    """Judge one study's findings.

    Args:
        whole_tumour_ml: volume of the outline (WT), ml.
        brain_ml: volume of the brain mask, ml.
        tumour_type: what the classifier said; None where none was asked.
        matrix: rows and columns of the reference series.
        moved_mm: how far registration moved each sequence, mm.
        limits: where plausible ends.
    """
    impossible = tuple(_impossible(whole_tumour_ml, brain_ml, limits))
    cautions = (
        *impossible,
        *_size(whole_tumour_ml, brain_ml, limits, known=bool(impossible)),
        *_agreement(whole_tumour_ml, tumour_type, limits),
        *_registration(moved_mm or {}, limits),
        *_drawing(whole_tumour_ml, matrix),
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


def _agreement(tumour_ml: float, named: TumourTypeFinding | None, limits: Limits) -> Iterator[str]:
    """The two models look with different eyes: where they disagree, one of them is wrong."""
    if named is None:
        return
    outlined, seen = tumour_ml > 0, named.top is not TumourType.NONE
    share = f"{100 * named.certainty:.0f} %"
    if outlined and not seen:
        yield f"The models disagree: {tumour_ml:.1f} ml are outlined, but the classifier sees no tumour ({share})."
    if seen and not outlined:
        yield f"The models disagree: nothing is outlined, but the classifier names {named.top.value} ({share})."
    if named.certainty < limits.sure:
        yield f"The tumour type is uncertain: the most probable one has {share}."


def _registration(moved_mm: Mapping[Role, float], limits: Limits) -> Iterator[str]:
    for role, distance in moved_mm.items():
        if distance > limits.far_mm:
            yield f"{role.value} was moved by {distance:.0f} mm to fit the T1c series; its place may be wrong."


def _drawing(tumour_ml: float, matrix: tuple[int, int] | None) -> Iterator[str]:
    """OHIF 3.13 draws packed bits wrongly where frames do not end on a byte (its pixel counts stay nearly right)."""
    if tumour_ml > 0 and matrix and matrix[0] * matrix[1] % _BITS_PER_BYTE:
        yield (
            f"The image matrix {matrix[0]} x {matrix[1]} does not fill whole bytes: some viewers draw the outline "
            "in a wrong place. The stored outline is right."
        )
