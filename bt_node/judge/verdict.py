"""Is a result fit to leave? Facts in, verdict and cautions out; nothing is changed and nothing is guessed.

CAUTION lets a result leave with plain words on it; HOLD keeps it for a person. Cautions are sentences in ASCII
without patient data: they are written into the report and the job book. Limits stand in `bt_node.judge.limits`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from bt_node.domain.study import Role
from bt_node.domain.tumour import TUMOURS, TYPE_WORDS, Findings, Region, TumourType
from bt_node.judge.limits import LIMITS, Check, Concern, Decision, concern, gravest
from bt_node.judge.missing import what_it_means

__all__ = ["Decision", "Verdict", "judge_study"]

_BITS_PER_BYTE = 8
_LONE_SURENESS = 0.6
_LONE_SLICES = 2  # so many slices that surely name a tumour are told, although the study as a whole shows none


@dataclass(frozen=True)
class Verdict:
    """A decision with its reasons; SEND has none.

    Attributes:
        decision: what may become of the result.
        cautions: all that must be written on it, what holds it first.
        held_because: those of them that hold it.
        checks: names of the limits that were passed, gravest first.
    """

    decision: Decision
    cautions: tuple[str, ...] = ()
    held_because: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()

    def __post_init__(self) -> None:
        if (self.decision is Decision.SEND) == bool(self.cautions):
            raise ValueError(f"{self.decision.value} does not go with {len(self.cautions)} caution(s)")
        if (self.decision is Decision.HOLD) != bool(self.held_because):
            raise ValueError(f"{self.decision.value} does not go with {len(self.held_because)} reason(s) to hold")

    def carrying(self, cautions: Collection[str]) -> Decision:
        """The decision about a result that carries these cautions, which others than the judge may have added."""
        return Decision.CAUTION if self.decision is Decision.SEND and cautions else self.decision


def judge_study(
    findings: Findings,
    *,
    brain_ml: float,
    matrix: tuple[int, int] | None = None,
    moved_mm: Mapping[Role, float] | None = None,
    reference: Role = Role.T1C,
    concerns: tuple[Concern, ...] = (),
) -> Verdict:
    """Judge one study.

    Args:
        findings: what the models said; its own cautions are not looked at.
        brain_ml: volume of the brain mask, ml.
        matrix: rows and columns of the reference series.
        moved_mm: how far registration moved each sequence, mm.
        reference: the sequence that the others were brought to.
        concerns: what images, brain and outline gave rise to.
    """
    tumour_ml = findings.measurements[Region.WT].volume_ml
    measured = (
        *_size(tumour_ml, brain_ml),
        *concerns,
        *_type_sureness(findings),
        *_registration(moved_mm or {}, reference),
    )
    held = [each for each in measured if each.decision is not Decision.CAUTION]
    cautious = [each for each in measured if each.decision is Decision.CAUTION]
    cautions = (
        *(each.sentence for each in held),
        *_agreement(findings),
        *what_it_means(findings.missing),
        *_unanswered(findings.no_type_because),
        *(each.sentence for each in cautious),
        *_lone_slices(findings),
        *_drawing(tumour_ml, matrix),
    )
    decision = Decision.HOLD if held else Decision.CAUTION if cautions else Decision.SEND
    checks = tuple(dict.fromkeys(each.check for each in (*held, *cautious)))
    return Verdict(decision, cautions, tuple(each.sentence for each in held), checks)


def rejected_because(concerns: tuple[Concern, ...]) -> tuple[str, ...]:
    """Why the study is not analysed at all; empty where nothing says so."""
    if gravest(tuple(each.decision for each in concerns)) is not Decision.REJECT:
        return ()
    return tuple(each.sentence for each in concerns if each.decision is Decision.REJECT)


def _size(tumour_ml: float, brain_ml: float) -> Iterator[Concern]:
    if brain_ml <= 0:
        yield Concern(
            Check.LARGE, Decision.HOLD, "No brain was found; the outline has nothing to be measured against."
        )
        return
    share = tumour_ml / brain_ml
    impossible = LIMITS[Check.LARGE].decide(share) is Decision.HOLD
    words = (
        f"The outline fills {100 * share:.0f} % of the brain, which cannot be right."
        if impossible
        else f"The outline is unusually large: {tumour_ml:.0f} ml, {100 * share:.0f} % of the brain."
    )
    yield from concern(Check.LARGE, share, words)
    if tumour_ml > 0:
        yield from concern(
            Check.SMALL, tumour_ml, f"The outline is very small ({tumour_ml:.2f} ml) and may be noise."
        )


def _type_sureness(findings: Findings) -> Iterator[Concern]:
    """Of the type where something is outlined, of its absence where nothing is."""
    named = findings.tumour_type
    if named is None:
        return
    if findings.tumour_outlined:
        least, certainty = named.least_probability, round(named.tumour_certainty, 3)
        words = (
            f"The tumour type is indeterminate: the most probable one, {TYPE_WORDS[named.tumour_top]}, has "
            f"{100 * certainty:.1f} %, and this release names a type from {100 * least:.0f} % on."
        )
        yield from concern(Check.TYPE_SURENESS, least - certainty, words)
    elif named.top is TumourType.NONE:
        words = f"That there is no tumour is uncertain: the classifier gives it {100 * named.certainty:.0f} %."
        yield from concern(Check.NONE_SURENESS, named.certainty, words)


def _agreement(findings: Findings) -> Iterator[str]:
    """The two models look with different eyes: where they disagree, one of them is wrong."""
    named = findings.tumour_type
    if named is None or findings.models_agree:
        return
    if findings.tumour_outlined:
        ml = findings.measurements[Region.WT].volume_ml
        yield f"The models disagree: {ml:.1f} ml are outlined as tumour, but the classifier sees none on its slices."
    else:
        words = f"{TYPE_WORDS[named.top]} ({100 * named.certainty:.0f} %)"
        yield f"The models disagree: nothing is outlined, but the classifier sees a {words}."


def _unanswered(because: str) -> Iterator[str]:
    if because:
        yield f"No tumour type is named, because {because}."


def _lone_slices(findings: Findings) -> Iterator[str]:
    """A small tumour that the segmenter overlooked shows on a few slices, and their mean says no tumour."""
    named = findings.tumour_type
    if named is None or findings.tumour_outlined or named.top is not TumourType.NONE:
        return
    for kind in TUMOURS:
        votes = named.votes(kind, _LONE_SURENESS)
        if votes >= _LONE_SLICES:
            of = f"{votes} of {named.slices_used} slices"
            yield f"Nothing is outlined, but {of} by themselves show a {TYPE_WORDS[kind]}."


def _registration(moved_mm: Mapping[Role, float], reference: Role) -> Iterator[Concern]:
    for role, distance in moved_mm.items():
        where = f"{distance:.0f} mm to fit the {reference.value} series"
        yield from concern(Check.MOVED, distance, f"{role.value} was moved by {where}; its place may be wrong.")


def _drawing(tumour_ml: float, matrix: tuple[int, int] | None) -> Iterator[str]:
    """OHIF 3.13 draws packed bits wrongly where frames do not end on a byte (its pixel counts stay nearly right)."""
    if tumour_ml > 0 and matrix and matrix[0] * matrix[1] % _BITS_PER_BYTE:
        yield (
            f"The image matrix {matrix[0]} x {matrix[1]} does not fill whole bytes: some viewers draw the outline "
            "in a wrong place. The stored outline is right."
        )
