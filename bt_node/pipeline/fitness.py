"""Fit to be analysed, fit to leave? What stages know is brought to the judge, and what it says is written down.

Measured numbers go into the job book (`findings.quality`), so that a verdict can be understood later. The patient's
age is compared with what the releases are meant for, and is written nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bt_node.assemble.age import youngest_age_years
from bt_node.convert.prepare import PreparedStudy, reference_role
from bt_node.convert.regrid import to_source_grid
from bt_node.domain.errors import NoHeadError
from bt_node.domain.role import Role
from bt_node.domain.study import RoleAssignment, StackedSeries
from bt_node.domain.tumour import LabelMap, Region
from bt_node.infer.segmenter import Segmenter
from bt_node.judge.brain_quality import judge_brain, measure_brain
from bt_node.judge.input_quality import judge_images, measure_series
from bt_node.judge.limits import Check, Concern, concern
from bt_node.judge.output_quality import judge_outline, measure_outline
from bt_node.judge.verdict import rejected_because
from bt_node.pipeline.outline import TumourAnswer
from bt_node.pipeline.record import TripRecord

_HALFWAY = 0.5


def of_images(
    assignment: RoleAssignment, stacks: Mapping[Role, StackedSeries], record: TripRecord
) -> tuple[Concern, ...]:
    """What speaks against the images as scanned.

    Raises:
        NoHeadError: they are not MR images of a head, or nothing can be seen on them.
    """
    measured = {
        role: measure_series(stack.volume, assignment.choices[role].series.slice_thickness_mm)
        for role, stack in stacks.items()
    }
    record.note_quality("series", {role.value: quality.facts() for role, quality in measured.items()})
    found = judge_images(measured)
    rejected = rejected_because(found)
    if rejected:
        raise NoHeadError(rejected)
    return found


def of_patient(
    least_age_years: float | None, stacks: Mapping[Role, StackedSeries], paths: Mapping[str, Path]
) -> tuple[Concern, ...]:
    """Whether the patient is younger than the releases are meant for; an age that no header tells is none."""
    if least_age_years is None:
        return ()
    age = youngest_age_years(paths[stack.slices[0].sop_instance_uid] for stack in stacks.values())
    below = None if age is None else least_age_years - age
    return concern(
        Check.AGE,
        below,
        f"The patient is younger than the {least_age_years:g} years that the model's card asks for at least.",
    )


def of_brain(
    prepared: PreparedStudy, stacks: Mapping[Role, StackedSeries], found_by: str, record: TripRecord
) -> tuple[Concern, ...]:
    """What speaks against the brain that was found; `found_by` is kept beside what was measured of it."""
    reference = stacks[reference_role(stacks)].grid
    mask = prepared.brain.array[None].astype(np.float32)
    on_reference = to_source_grid(mask, prepared.grid, reference)[0] > _HALFWAY
    measured = measure_brain(prepared.brain, prepared.heads, on_reference, reference, prepared.brain_agreement)
    record.note_quality("brain", measured.facts() | {"found_by": found_by})
    return tuple(judge_brain(measured))


def of_outline(
    outline: LabelMap,
    labels: LabelMap,
    answer: TumourAnswer,
    prepared: PreparedStudy,
    segmenter: Segmenter,
    record: TripRecord,
) -> tuple[Concern, ...]:
    """What speaks against the outline.

    Args:
        outline: on the models' grid.
        labels: on the grid of the series that it is drawn on.
        answer: of the segmenter, on the models' grid.
        prepared: the study there.
        segmenter: whose outline it is.
        record: where the numbers are kept.
    """
    whole = outline.mask(Region.WT)
    measured = measure_outline(
        whole,
        answer.probabilities[0],
        prepared.brain.array,
        labels.mask(Region.WT),
        threshold=segmenter.output.thresholds[0],
        spread=answer.spread,
        main_outside=answer.main_outside,
    )
    if measured is not None:
        record.note_quality("outline", measured.facts())
    return tuple(judge_outline(measured))
