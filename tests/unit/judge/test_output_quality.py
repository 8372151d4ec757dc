"""Outlines that cannot be right, or that the network itself doubts."""

from __future__ import annotations

import numpy as np
import pytest

from bt_node.judge.limits import Check, Decision
from bt_node.judge.output_quality import judge_outline, measure_outline

SHAPE = (30, 40, 40)
BRAIN = np.zeros(SHAPE, dtype=bool)
BRAIN[4:26, 5:35, 5:35] = True
TUMOUR = np.zeros(SHAPE, dtype=bool)
TUMOUR[12:18, 12:20, 12:20] = True


def judged(
    outline: np.ndarray, *, sure: float = 0.95, on_source: np.ndarray | None = None, spread: float | None = None
):
    probability = np.where(outline, sure, 0.01).astype(np.float32)
    apart = None if spread is None else np.full(SHAPE, spread, np.float32)
    quality = measure_outline(
        outline, probability, BRAIN, outline if on_source is None else on_source, threshold=0.5, spread=apart
    )
    return {each.check: each.decision for each in judge_outline(quality)}


def test_a_sure_outline_in_the_brain_raises_no_concern() -> None:
    assert judged(TUMOUR) == {}
    assert judged(TUMOUR, spread=0.05) == {}


def test_nothing_outlined_is_nothing_to_judge() -> None:
    assert judged(np.zeros(SHAPE, dtype=bool)) == {}


@pytest.mark.parametrize(("sure", "decision"), [(0.6, Decision.CAUTION), (0.54, Decision.HOLD)])
def test_an_outline_just_above_its_threshold_is_told_or_held(sure: float, decision: Decision) -> None:
    assert judged(TUMOUR, sure=sure) == {Check.SURENESS: decision}


@pytest.mark.parametrize(("spread", "decision"), [(0.2, Decision.CAUTION), (0.35, Decision.HOLD)])
def test_mirrored_answers_that_differ_are_told_or_held(spread: float, decision: Decision) -> None:
    assert judged(TUMOUR, spread=spread) == {Check.SPREAD: decision}


@pytest.mark.parametrize(("step", "decision"), [(9, Decision.CAUTION), (3, Decision.HOLD)])
def test_specks_are_counted(step: int, decision: Decision) -> None:
    specks = np.zeros(SHAPE, dtype=bool)
    specks[6:24:step, 8:32:step, 8:32:step] = True
    assert judged(specks)[Check.PARTS] is decision


def test_an_outline_outside_the_brain_is_held() -> None:
    outside = np.zeros(SHAPE, dtype=bool)
    outside[12:18, 12:20, 36:39] = True
    assert judged(outside, on_source=TUMOUR) == {Check.OUTSIDE: Decision.HOLD}


def test_two_voxels_over_the_rim_are_still_inside() -> None:
    rim = np.zeros(SHAPE, dtype=bool)
    rim[12:18, 12:20, 30:37] = True
    assert judged(rim) == {}


@pytest.mark.parametrize("edge", [np.s_[:, :, :1], np.s_[:, -1:, :], np.s_[-1:, :, :]])
def test_what_reaches_the_edge_of_the_images_is_told(edge: tuple[slice, ...]) -> None:
    grown = TUMOUR.copy()
    touching = np.zeros(SHAPE, dtype=bool)
    touching[edge] = True
    grown |= touching & (np.arange(40)[None, None, :] < 6) & (np.arange(40)[None, :, None] < 6)
    grown |= touching & (np.arange(40)[None, :, None] > 34) & (np.arange(40)[None, None, :] < 2)
    assert Check.BORDER in judged(TUMOUR, on_source=grown)


def test_a_single_slice_has_no_inside_along_its_normal() -> None:
    flat = np.zeros((1, 40, 40), dtype=bool)
    flat[0, 12:20, 12:20] = True
    assert judged(TUMOUR, on_source=flat) == {}


@pytest.mark.parametrize(("outside", "found"), [(None, {}), (0.4, {}), (0.6, {Check.MAIN_OUTSIDE: Decision.CAUTION})])
def test_a_lesion_that_only_one_way_of_finding_the_brain_holds_is_told(
    outside: float | None, found: dict[Check, Decision]
) -> None:
    probability = np.where(TUMOUR, 0.95, 0.01).astype(np.float32)
    quality = measure_outline(TUMOUR, probability, BRAIN, TUMOUR, threshold=0.5, main_outside=outside)
    assert {each.check: each.decision for each in judge_outline(quality)} == found


@pytest.mark.parametrize(("row", "found"), [(24, {}), (33, {Check.APART: Decision.CAUTION})])
def test_a_small_part_far_from_the_main_one_is_told(row: int, found: dict[Check, Decision]) -> None:
    both = TUMOUR.copy()
    both[12:14, row : row + 2, 5:7] = True
    assert judged(both) == found


def test_a_second_part_that_is_not_small_is_no_concern() -> None:
    both = TUMOUR.copy()
    both[8:20, 35:38, 8:20] = True
    assert Check.APART not in judged(both)
