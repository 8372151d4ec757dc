"""From prepared sequences to probabilities of tumour, stray parts left out, and to labels on the source series."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bt_node.convert.measure import measure
from bt_node.convert.prepare import PreparedStudy, reference_role
from bt_node.convert.regrid import to_source_grid
from bt_node.domain.geometry import ImageArray
from bt_node.domain.study import Role, StackedSeries
from bt_node.domain.tumour import LabelMap, Region
from bt_node.encode.results import FurtherOutline
from bt_node.infer.segmenter import Segmenter
from bt_node.judge.stray_parts import find_stray_parts


@dataclass(frozen=True, eq=False)
class TumourAnswer:
    """What the segmenter says of a prepared study.

    Attributes:
        probabilities: of WT, TC and ET (3, Z, Y, X) on the prepared grid, 0 in stray parts.
        spread: standard deviation of WT between mirrored answers (Z, Y, X); None where the release has none.
        left_out_ml: volume of the stray parts.
        main_outside: share of the largest part outside the second brain mask; None where there is none.
    """

    probabilities: ImageArray
    spread: ImageArray | None
    left_out_ml: float = 0.0
    main_outside: float | None = None


def tumour_probabilities(prepared: PreparedStudy, segmenter: Segmenter) -> TumourAnswer:
    """Ask the segmenter, and leave out parts that the second brain mask says are not in the brain."""
    probabilities, spread = segmenter.predict_with_spread({r: v.array for r, v in prepared.inputs.items()})
    if prepared.second_brain is None:
        return TumourAnswer(probabilities, spread)
    found = find_stray_parts(segmenter.decide(probabilities) > 0, prepared.second_brain.array)
    left_out_ml = float(np.count_nonzero(found.stray)) * prepared.grid.voxel_volume_mm3 / 1000.0
    return TumourAnswer(
        np.where(found.stray, np.float32(0.0), probabilities), spread, left_out_ml, found.main_outside
    )


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
