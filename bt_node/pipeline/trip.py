"""The trip of one study, from files in the spool to result objects, as a story on one screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from bt_node.assemble.roles import choose_roles
from bt_node.assemble.study import read_study
from bt_node.convert.measure import measure
from bt_node.convert.prepare import PreparedStudy, prepare
from bt_node.convert.regrid import to_source_grid
from bt_node.convert.slices import axial_slices, choose_classifier_slices
from bt_node.convert.stack import load_series
from bt_node.domain.errors import ImplausibleResultError
from bt_node.domain.geometry import BoolArray
from bt_node.domain.result import EncodedObject
from bt_node.domain.study import Role, RoleAssignment, StackedSeries
from bt_node.domain.tumour import Findings, LabelMap, Region, TumourTypeFinding
from bt_node.encode.results import EncodeRequest, NodeIdentity, encode_results
from bt_node.infer.classifier import Classifier
from bt_node.infer.segmenter import Segmenter
from bt_node.judge.verdict import Decision, judge_study
from bt_node.pipeline.record import TripRecord

CLASSIFIER_SLICES = 9


@dataclass(frozen=True)
class Models:
    """The two models, loaded and verified once per worker. A node may run without a classifier."""

    segmenter: Segmenter
    classifier: Classifier | None


@dataclass(frozen=True)
class StudyFiles:
    """Where one study's instances lie, and when its analysis began (kept for re-runs of the same input)."""

    paths: Mapping[str, Path]
    analysed_at: datetime


@dataclass(frozen=True, eq=False)
class TripOutcome:
    """What one trip brought home; arrays are on the grid of the reference (T1c) series."""

    labels: LabelMap
    findings: Findings
    objects: tuple[EncodedObject, ...]


def run_trip(study: StudyFiles, models: Models, node: NodeIdentity, record: TripRecord) -> TripOutcome:
    """Take one complete study through all stages.

    Raises:
        Reject: the input is unfit, for good.
        Hold: a person must decide.
        Retry: the surroundings failed.
        Alarm: this node is broken.
    """
    with record.stage("assemble"):
        assignment = choose_roles(read_study(study.paths))
        record.note_assignment(assignment)
        assignment.require(models.segmenter.roles)
    with record.stage("load"):
        stacks = _load(assignment, study.paths)
        reference = stacks[Role.T1C]
    with record.stage("convert"):
        prepared = prepare({role: stack.volume for role, stack in stacks.items()})
    with record.stage("segment"):
        labels, marked = _segment(prepared, reference, models.segmenter)
    with record.stage("classify"):
        tumour_type = _classify(prepared, marked, models.classifier)
    with record.stage("judge"):
        findings = Findings(measure(labels), models.segmenter.identity, tumour_type)
        findings = _judge(findings, prepared, reference)
        record.note_findings(findings)
    with record.stage("encode"):
        evidence = _evidence(stacks, study.paths)
        objects = encode_results(EncodeRequest(reference, evidence, labels, findings, study.analysed_at, node))
    return TripOutcome(labels, findings, objects)


def _load(assignment: RoleAssignment, paths: Mapping[str, Path]) -> dict[Role, StackedSeries]:
    return {role: load_series(choice.series, paths) for role, choice in assignment.choices.items()}


def _segment(prepared: PreparedStudy, reference: StackedSeries, segmenter: Segmenter) -> tuple[LabelMap, BoolArray]:
    """Labels on the source grid, and the whole tumour on the model's grid (for the choice of slices)."""
    probabilities = segmenter.predict({role: volume.array for role, volume in prepared.inputs.items()})
    marked = segmenter.decide(probabilities) > 0
    on_source = to_source_grid(probabilities, prepared.grid, reference.grid)
    decided = segmenter.decide(on_source, voxel_mm3=reference.grid.voxel_volume_mm3)
    return LabelMap(decided, reference.grid), np.asarray(marked, dtype=np.bool_)


def _classify(prepared: PreparedStudy, marked: BoolArray, classifier: Classifier | None) -> TumourTypeFinding | None:
    if classifier is None:
        return None
    indices = choose_classifier_slices(prepared.brain, marked if marked.any() else None, CLASSIFIER_SLICES)
    return classifier.classify(axial_slices(prepared.heads[Role.T1C], indices))


def _judge(findings: Findings, prepared: PreparedStudy, reference: StackedSeries) -> Findings:
    """The findings with the cautions that must travel with them.

    Raises:
        ImplausibleResultError: nothing may leave before a person has looked.
    """
    verdict = judge_study(
        whole_tumour_ml=findings.measurements[Region.WT].volume_ml,
        brain_ml=prepared.brain.volume_ml,
        tumour_type=findings.tumour_type,
        matrix=(reference.grid.shape[1], reference.grid.shape[2]),
        moved_mm={role: report.translation_mm for role, report in prepared.registrations.items()},
    )
    if verdict.decision is Decision.HOLD:
        raise ImplausibleResultError(verdict.cautions)
    return replace(findings, cautions=verdict.cautions)


def _evidence(stacks: Mapping[Role, StackedSeries], paths: Mapping[str, Path]) -> dict[str, Path]:
    """Files of the instances that the result rests on, the reference series included."""
    used = {piece.sop_instance_uid for stack in stacks.values() for piece in stack.slices}
    return {uid: paths[uid] for uid in sorted(used)}
