"""From prepared sequences to probabilities of tumour, without what is bone, and to labels on the source series."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from bt_node.convert.measure import measure
from bt_node.convert.prepare import PreparedStudy, reference_role
from bt_node.convert.regrid import to_source_grid
from bt_node.domain.geometry import ImageArray
from bt_node.domain.study import Role, StackedSeries
from bt_node.domain.tumour import LabelMap, Region
from bt_node.encode.results import FurtherOutline
from bt_node.infer.segmenter import Segmenter
from bt_node.judge.bone import bone_like


def tumour_probabilities(
    prepared: PreparedStudy, segmenter: Segmenter
) -> tuple[ImageArray, float, ImageArray | None]:
    """Ask the segmenter, and take off what it outlined on bone at the brain's rim.

    Returns:
        Probabilities (3, Z, Y, X) of WT, TC and ET on the prepared grid; the volume in ml that was taken off; the
        standard deviation between mirrored answers (Z, Y, X), None where the release has none.
    """
    inputs = {role: volume.array for role, volume in prepared.inputs.items()}
    probabilities, spread = segmenter.predict_with_spread(inputs)
    bone = bone_like(segmenter.decide(probabilities) > 0, prepared.brain.array, inputs)
    taken_off_ml = float(np.count_nonzero(bone)) * prepared.grid.voxel_volume_mm3 / 1000.0
    return np.where(bone, np.float32(0.0), probabilities), taken_off_ml, spread


def drawn_on(given: Collection[Role], wanted: Sequence[Role]) -> tuple[Role, ...]:
    """The sequences that get an outline: those of `wanted` that the study holds, or else the reference alone."""
    return tuple(role for role in wanted if role in given) or (reference_role(given),)


def labels_on(
    role: Role,
    stack: StackedSeries,
    probabilities: ImageArray,
    prepared: PreparedStudy,
    segmenter: Segmenter,
) -> LabelMap:
    """Labels on the scanner's own grid of one sequence, also where the patient had moved before it was taken."""
    found = prepared.registrations[role]
    motion = found.motion if found.applied else None
    on_source = to_source_grid(probabilities, prepared.grid, stack.grid, motion)
    return LabelMap(segmenter.decide(on_source, voxel_mm3=stack.grid.voxel_volume_mm3), stack.grid)


def further_outline(
    role: Role, stack: StackedSeries, labels: LabelMap, regions: Collection[Region]
) -> FurtherOutline:
    """What a further SEG needs; `regions` are those that could be assessed."""
    measured = measure(labels)
    return FurtherOutline(role, stack, labels, {region: measured[region] for region in regions})


def matrix_to_judge(stacks: Mapping[Role, StackedSeries], roles: Collection[Role]) -> tuple[int, int]:
    """Rows and columns of the series drawn on that fills whole bytes the least: viewers stumble over such."""
    matrices = [stacks[role].grid.shape[1:] for role in roles]
    return max(matrices, key=lambda matrix: matrix[0] * matrix[1] % 8)
