"""A whole brain in a head raises no concern; half of one, a torn mask and a bottle do, whatever their volume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from bt_node.domain.geometry import Grid, Mask, Volume
from bt_node.domain.study import Role
from bt_node.judge.brain_quality import BrainQuality, judge_brain, measure_brain
from bt_node.judge.limits import Check, Decision

GRID = Grid((180, 220, 190), (1.0, 1.0, 1.0), (-95.0, -110.0, -90.0))
SLICES = Grid((36, 110, 95), (2.0, 2.0, 5.0), (-95.0, -110.0, -90.0))
TURNED = Grid((36, 110, 95), (2.0, 2.0, 5.0), (-95.0, 108.0, 85.0), (1, 0, 0, 0, -1, 0, 0, 0, -1))


def ellipsoid(grid: Grid, axes: tuple[float, float, float]) -> np.ndarray:
    z, y, x = np.meshgrid(*[np.arange(size) for size in grid.shape], indexing="ij", sparse=True)
    world = [
        (grid.origin[k] + index * grid.direction_matrix[k, k] * grid.spacing[k]) for k, index in enumerate((x, y, z))
    ]
    return sum((axis / size) ** 2 for axis, size in zip(world, axes, strict=True)) < 1


BRAIN = ellipsoid(GRID, (66.0, 82.0, 62.0))
HEAD = ellipsoid(GRID, (84.0, 100.0, 80.0))


def judged(
    brain: np.ndarray, head: np.ndarray = HEAD, on_reference: np.ndarray | None = None, reference: Grid = SLICES
):
    volume = Volume(np.where(head, 100.0, 1.0).astype(np.float32), GRID)
    mask = ellipsoid(SLICES, (66.0, 82.0, 62.0)) if on_reference is None else on_reference
    quality = measure_brain(Mask(brain, GRID), {Role.T1C: volume}, mask, reference)
    return quality, {each.check: each.decision for each in judge_brain(quality)}


def test_a_whole_brain_in_a_head_raises_no_concern() -> None:
    quality, concerns = judged(BRAIN)
    assert concerns == {}
    assert quality.roundness > 0.9
    assert quality.depth_mm == pytest.approx(62.0, abs=3.0)
    assert quality.scalp_mm == pytest.approx(20.0, abs=4.0)


def test_a_brain_that_ends_with_the_images_is_held_and_its_end_is_named() -> None:
    lower_half = ellipsoid(SLICES, (66.0, 82.0, 62.0))[:18]
    cut = Grid((18, *SLICES.shape[1:]), SLICES.spacing, SLICES.origin)
    quality, concerns = judged(BRAIN, on_reference=lower_half, reference=cut)
    assert concerns == {Check.CUT_OFF: Decision.HOLD}
    assert quality.cut_end == "upper"


def test_the_end_is_named_after_the_patient_not_after_the_slice_order() -> None:
    upside_down = ellipsoid(TURNED, (66.0, 82.0, 62.0))[:18]
    cut = Grid((18, *TURNED.shape[1:]), TURNED.spacing, TURNED.origin, TURNED.direction)
    quality, _ = judged(BRAIN, on_reference=upside_down, reference=cut)
    assert quality.cut_end == "lower"


def test_half_a_brain_is_not_deep_enough() -> None:
    half = BRAIN.copy()
    half[:, :, :105] = False
    _, concerns = judged(half)
    assert concerns[Check.DEPTH] is Decision.HOLD


def test_a_torn_mask_is_not_round() -> None:
    torn = BRAIN & (np.arange(190)[None, None, :] % 20 < 12)
    _, concerns = judged(torn)
    assert concerns[Check.ROUNDNESS] is Decision.HOLD


def test_no_scalp_is_told() -> None:
    _, concerns = judged(BRAIN, head=ndimage.binary_dilation(BRAIN))
    assert concerns == {Check.SCALP: Decision.CAUTION}


def test_what_a_sequence_does_not_show_is_told_by_its_share() -> None:
    shown = np.where(HEAD, 100.0, 1.0).astype(np.float32)
    shown[110:] = 0.0
    mask = ellipsoid(SLICES, (66.0, 82.0, 62.0))
    quality = measure_brain(Mask(BRAIN, GRID), {Role.FLAIR: Volume(shown, GRID)}, mask, SLICES)
    told = {each.check: each for each in judge_brain(quality)}
    assert told[Check.UNCOVERED].decision is Decision.HOLD
    assert told[Check.UNCOVERED].sentence.startswith("FLAIR does not show ")


def test_numbers_for_the_job_book_are_plain() -> None:
    facts = BrainQuality(0.91234, 50.0, 0.0, "", {Role.T1: 0.01234}, None).facts()
    assert facts["roundness"] == 0.912
    assert facts["uncovered"] == {"T1": 0.012}
    assert facts["scalp_mm"] is None


@pytest.mark.parametrize(
    ("agreement", "decision"),
    [(None, None), (0.93, None), (0.7, Decision.CAUTION), (0.4, Decision.HOLD)],
)
def test_two_ways_of_finding_the_brain_that_disagree_are_told(
    agreement: float | None, decision: Decision | None
) -> None:
    quality, _ = judged(BRAIN)
    found = {each.check: each.decision for each in judge_brain(replace(quality, agreement=agreement))}
    assert found.get(Check.AGREEMENT) is decision
