"""The trip of one study, from files in the spool to result objects, as a story on one screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from bt_node.assemble.roles import choose_roles
from bt_node.assemble.study import read_study
from bt_node.config import Roles
from bt_node.convert.measure import measure
from bt_node.convert.prepare import BrainProbability, PreparedStudy, prepare, reference_role
from bt_node.convert.stack import load_series
from bt_node.domain.completeness import KnownGaps
from bt_node.domain.geometry import ImageArray
from bt_node.domain.result import EarlierReport, EncodedObject
from bt_node.domain.study import Assigned, Role, RoleAssignment, StackedSeries
from bt_node.domain.tumour import Findings, LabelMap
from bt_node.encode.rehearsal import require_usable_headers
from bt_node.encode.results import EncodeRequest, NodeIdentity, encode_results
from bt_node.infer.brain import BrainFinder
from bt_node.infer.classifier import Classifier
from bt_node.infer.segmenter import Segmenter
from bt_node.judge.arrival import require_whole_series, what_did_not_arrive
from bt_node.judge.change import judge_change
from bt_node.judge.limits import Concern
from bt_node.judge.missing import assessable
from bt_node.judge.stray_parts import left_out
from bt_node.judge.verdict import Verdict, judge_study
from bt_node.pipeline import fitness
from bt_node.pipeline.follow_up import Compared, Memory, Outlined, compare
from bt_node.pipeline.image_check import confirmed_by_images
from bt_node.pipeline.outline import drawn_on, further_outline, labels_on, matrix_to_judge, tumour_probabilities
from bt_node.pipeline.record import TripRecord
from bt_node.pipeline.tumour_type import TypeAnswer, name_tumour_type


@dataclass(frozen=True)
class Models:
    """The models, loaded and verified once per worker, and which studies they are asked about.

    Attributes:
        segmenter: outlines; its release says which sequences it can do without.
        classifier: names the tumour type; a node may run without one.
        require_all_roles: hold a study in which a sequence is missing, also where the segmenter can answer.
        site: the site's own rules and preference for choosing series.
        brain: finds the brain in heads with skull; None: brightness and shape decide.
        segment_on: the sequences that get an outline; the first that the study holds is the one that counts.
    """

    segmenter: Segmenter
    classifier: Classifier | None
    require_all_roles: bool = True
    site: Roles = field(default_factory=Roles)
    segment_on: tuple[Role, ...] = (Role.T1C,)
    brain: BrainFinder | None = None

    @property
    def brain_probability(self) -> BrainProbability | None:
        """What `prepare` asks where the brain is."""
        return self.brain.predict if self.brain else None

    @property
    def brain_found_by(self) -> str:
        """Whose network finds the brain, or that none does."""
        return self.brain.identity if self.brain else "brightness and shape"

    @property
    def least_age_years(self) -> float | None:
        """The least age that both releases are meant for; None where neither names one."""
        manifest = self.classifier.manifest if self.classifier else None
        ages = (self.segmenter.intended.min_age_years, manifest.intended.min_age_years if manifest else None)
        return max((age for age in ages if age is not None), default=None)


@dataclass(frozen=True)
class StudyFiles:
    """Where one study's instances lie, when its analysis began (kept for re-runs), what was said of it before.

    `gaps` is what is known not to have arrived; `memory` finds the patient's former study.
    """

    paths: Mapping[str, Path]
    analysed_at: datetime
    earlier_reports: tuple[EarlierReport, ...] = ()
    assigned: Mapping[Role, Assigned] = field(default_factory=dict)
    gaps: KnownGaps = field(default_factory=KnownGaps)
    memory: Memory | None = None


@dataclass(frozen=True, eq=False)
class TripOutcome:
    """What one trip brought home; arrays are on the grid of the series whose outline counts (`segment_on`).

    `held_because` says why a person must look before the objects leave; empty: they may.
    """

    labels: LabelMap
    findings: Findings
    objects: tuple[EncodedObject, ...]
    held_because: tuple[str, ...] = ()


def run_trip(study: StudyFiles, models: Models, node: NodeIdentity, record: TripRecord) -> TripOutcome:
    """Take one complete study through all stages.

    Raises:
        Reject: the input is unfit, for good.
        Hold: a person must decide.
        Retry: the surroundings failed.
        Alarm: this node is broken.
    """
    with record.stage("assemble"):
        assignment = choose_roles(read_study(study.paths), models.site, study.assigned)
        record.note_assignment(assignment)
        missing = _missing(assignment, models)
        require_whole_series(assignment, study.gaps)
        lacking = what_did_not_arrive(assignment, study.gaps, missing)
    with record.stage("load"):
        stacks = _load(assignment, study.paths)
        record.note_copies(stacks.values())
        outlined, *others = drawn_on(stacks, models.segment_on)
        reference = stacks[outlined]
        for role in (outlined, *others):
            require_usable_headers(stacks[role], _evidence(stacks, study.paths), node, study.analysed_at)
    with record.stage("inspect"):
        concerns = fitness.of_images(assignment, stacks, record)
        concerns += fitness.of_patient(models.least_age_years, stacks, study.paths)
    with record.stage("convert"):
        prepared = prepare({role: stack.volume for role, stack in stacks.items()}, models.brain_probability)
        concerns += fitness.of_brain(prepared, stacks, models.brain_found_by, record)
    with record.stage("witness"):
        assignment = confirmed_by_images(assignment, prepared, study.assigned, record)
    with record.stage("segment"):
        found = tumour_probabilities(prepared, models.segmenter)
        probabilities = found.probabilities
        labels = labels_on(outlined, reference, probabilities, prepared, models.segmenter)
        outline = _guide(labels, probabilities, prepared, models.segmenter)
        further = {role: labels_on(role, stacks[role], probabilities, prepared, models.segmenter) for role in others}
    with record.stage("classify"):
        answer = name_tumour_type(prepared, outline, stacks, models.classifier)
    with record.stage("judge"):
        findings = _findings(labels, missing, answer, models)
        concerns += fitness.of_outline(outline, labels, found, prepared, models.segmenter, record)
        verdict = _judge(findings, prepared, stacks, matrix_to_judge(stacks, (outlined, *others)), concerns)
        findings = replace(
            findings, cautions=(*verdict.cautions, *left_out(found.left_out_ml), *assignment.doubts, *lacking)
        )
        record.note_findings(findings)
    with record.stage("compare"):
        compared = compare(study.memory, Outlined(outlined, reference, labels), findings, stacks, study.paths)
        findings = _with_change(findings, compared)
        record.note_verdict(verdict.carrying(findings.cautions), verdict.held_because, verdict.checks)
        record.note_findings(findings)
        record.note_comparison(compared.follow_up, compared.remembered, compared.why_not)
    with record.stage("encode"):
        evidence = _evidence(stacks, study.paths)
        objects = encode_results(
            EncodeRequest(
                reference,
                evidence,
                labels,
                findings,
                study.analysed_at,
                node,
                earlier_reports=study.earlier_reports,
                further=tuple(
                    further_outline(role, stacks[role], drawn, findings.measurements)
                    for role, drawn in further.items()
                ),
                follow_up=compared.follow_up,
            )
        )
    return TripOutcome(labels, findings, objects, verdict.held_because)


def _missing(assignment: RoleAssignment, models: Models) -> tuple[Role, ...]:
    """Sequences that the study goes on without.

    Raises:
        RolesMissingError: the segmenter cannot answer.
        RolesAmbiguousError: a person must choose a series.
        StudyIncompleteError: the segmenter could answer, but the site wants no answer without all sequences.
    """
    segmenter = models.segmenter
    return assignment.require(segmenter.roles, segmenter.needs_one_of, hold_incomplete=models.require_all_roles)


def _load(assignment: RoleAssignment, paths: Mapping[str, Path]) -> dict[Role, StackedSeries]:
    return {role: load_series(choice.series, paths) for role, choice in assignment.choices.items()}


def _guide(labels: LabelMap, probabilities: ImageArray, prepared: PreparedStudy, segmenter: Segmenter) -> LabelMap:
    """Labels on the model's grid, for the choice of slices; what counts are those on the source grid."""
    # A speck that is lost on the way to the source grid is not outlined, and guides no choice.
    outline = segmenter.decide(probabilities if not labels.is_empty else np.zeros_like(probabilities))
    return LabelMap(outline, prepared.grid)


def _findings(labels: LabelMap, missing: tuple[Role, ...], answer: TypeAnswer, models: Models) -> Findings:
    measured = measure(labels)
    return Findings(
        {region: measured[region] for region in assessable(missing)},
        models.segmenter.identity,
        answer.finding,
        missing=missing,
        no_type_because=answer.because,
    )


def _judge(
    findings: Findings,
    prepared: PreparedStudy,
    stacks: Mapping[Role, StackedSeries],
    matrix: tuple[int, int],
    concerns: tuple[Concern, ...],
) -> Verdict:
    return judge_study(
        findings,
        brain_ml=prepared.brain.volume_ml,
        matrix=matrix,
        moved_mm={role: report.translation_mm for role, report in prepared.registrations.items()},
        reference=reference_role(stacks),
        concerns=concerns,
    )


def _with_change(findings: Findings, compared: Compared) -> Findings:
    if compared.follow_up is None or compared.former is None:
        return findings
    missing = tuple(role.value for role in findings.missing)
    cautions = judge_change(
        compared.follow_up,
        segmenter=findings.segmenter,
        former_missing=compared.former.missing,
        missing=missing,
    )
    return replace(findings, cautions=(*findings.cautions, *cautions))


def _evidence(stacks: Mapping[Role, StackedSeries], paths: Mapping[str, Path]) -> dict[str, Path]:
    """Files of the instances that the result rests on, the reference series included."""
    used = {piece.sop_instance_uid for stack in stacks.values() for piece in stack.slices}
    return {uid: paths[uid] for uid in sorted(used)}
