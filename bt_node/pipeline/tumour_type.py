"""From slices to a study: which slices the classifier gets, and one answer with the place of each slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bt_node.convert.prepare import PreparedStudy
from bt_node.convert.slices import axial_slices, choose_classifier_slices, why_not_axial
from bt_node.domain.errors import PictureError
from bt_node.domain.geometry import BoolArray
from bt_node.domain.study import Role, StackedSeries
from bt_node.domain.tumour import LabelMap, Region, SliceAnswer, TumourTypeFinding
from bt_node.infer.classifier import Classifier

CLASSIFIER_SLICES = 9


@dataclass(frozen=True)
class TypeAnswer:
    """What the classifier said of a study, or why a configured one said nothing (the end of a sentence)."""

    finding: TumourTypeFinding | None
    because: str = ""


def name_tumour_type(
    prepared: PreparedStudy, outline: LabelMap, stacks: Mapping[Role, StackedSeries], classifier: Classifier | None
) -> TypeAnswer:
    """Classify slices of the one sequence and plane that the release was trained on; others are refused, not guessed.

    Args:
        prepared: the study on the models' grid.
        outline: what the segmenter marked, on that grid; empty labels mean that it marked nothing.
        stacks: the series as scanned.
        classifier: None where the site runs none.
    """
    if classifier is None:
        return TypeAnswer(None)
    role = classifier.manifest.input.sequence
    if role not in stacks:
        return TypeAnswer(None, f"{role.value} is missing, the only sequence that the classifier reads")
    unfit = why_not_axial(stacks[role].grid)
    if unfit:
        return TypeAnswer(None, f"the classifier reads axial slices, and {role.value} does not give them: {unfit}")
    core, whole = outline.mask(Region.TC), outline.mask(Region.WT)
    choice = choose_classifier_slices(prepared.brain, core, whole, CLASSIFIER_SLICES)
    try:
        finding = classifier.classify(axial_slices(prepared.heads[role], choice.indices), choice.weights)
    except PictureError as error:
        return TypeAnswer(None, f"no slice of {role.value} could be read: {error.detail}")
    shown = next((mask for mask in (core, whole) if mask.any()), prepared.brain.array)
    placed = tuple(
        _placed(answer, choice.indices[answer.index], shown, prepared, role, stacks[role])
        for answer in finding.slices
    )
    return TypeAnswer(replace(finding, slices=placed, basis=choice.basis))


def _placed(
    answer: SliceAnswer, index: int, shown: BoolArray, prepared: PreparedStudy, role: Role, series: StackedSeries
) -> SliceAnswer:
    """The answer with its height in the patient, and the source image nearest to the middle of what is shown."""
    middle = np.argwhere(shown[index]).mean(axis=0) if shown[index].any() else np.array(shown.shape[1:]) / 2
    point = prepared.grid.index_to_world((index, *middle))
    in_series = prepared.registrations[role].motion.apply(point[None])
    plane = round(float(series.grid.world_to_index(in_series)[0, 0]))
    nearest = series.slices[min(max(plane, 0), len(series.slices) - 1)]
    return replace(answer, level_mm=float(point[2]), sop_instance_uid=nearest.sop_instance_uid)
