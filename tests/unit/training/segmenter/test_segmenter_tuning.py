"""Tuning on validation cases: it agrees with the node's decide, helps where it should, else keeps its hands off."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from bt_node.domain.study import Role
from bt_node.domain.tumour import Region, ReleaseIdentity
from bt_node.infer.release import SegmenterInput, SegmenterOutput
from bt_node.infer.segmenter import Segmenter
from training.segmenter.evaluate import REGIONS, mean_scores, score_labels
from training.segmenter.tuning import TuningCase, tune

PLAIN = SegmenterOutput(regions=REGIONS, thresholds=(0.5, 0.5, 0.5), min_component_ml=(0.0, 0.0, 0.0))
SIZE = 40


def deciding(output: SegmenterOutput) -> Segmenter:
    """A segmenter of which only `decide` is used."""
    return Segmenter(
        ReleaseIdentity("test", "0", "0" * 64),
        SegmenterInput(
            roles=tuple(Role),
            spacing_mm=(1.0, 1.0, 1.0),
            orientation="LPS",
            normalisation="zscore-brain",
            patch=(16, 16, 16),
        ),
        output,
        nn.Identity(),
        torch.device("cpu"),
    )


def ball(radius: float, centre: tuple[int, int, int] = (20, 20, 20)) -> np.ndarray:
    grid = np.ogrid[:SIZE, :SIZE, :SIZE]
    return sum((axis - middle) ** 2 for axis, middle in zip(grid, centre, strict=True)) < radius**2


def a_case(enhancing_radius: float = 5.0, **changes: Any) -> TuningCase:
    """A tumour that is answered rightly at 0.5; `changes` overwrite a region's probability inside a mask."""
    whole, core, enhancing = ball(15), ball(10), ball(enhancing_radius)
    labels = np.select([enhancing, core, whole], [3, 1, 2], 0).astype(np.uint8)
    probabilities = np.where(np.stack([whole, core, enhancing]), 0.9, 0.1).astype(np.float32)
    for region, (mask, value) in changes.items():
        probabilities[["WT", "TC", "ET"].index(region)][mask] = value
    return TuningCase(probabilities, labels)


def test_right_answers_are_left_alone() -> None:
    tuning = tune(PLAIN, [a_case(5), a_case(6), a_case(7)])
    assert tuning.output == PLAIN
    assert tuning.changes == ()
    assert tuning.before == tuning.after == {"WT": 1.0, "TC": 1.0, "ET": 1.0}


def test_an_oedema_seen_too_faintly_lowers_its_threshold() -> None:
    rim = ball(15) & ~ball(12)
    tuning = tune(PLAIN, [a_case(radius, WT=(rim, 0.45)) for radius in (5, 6, 7)])
    assert tuning.output.thresholds == (0.4, 0.5, 0.5)
    assert tuning.changes == ("WT threshold: 0.5 to 0.4",)
    assert tuning.after["WT"] > tuning.before["WT"] + 0.005


def test_little_enhancement_where_there_is_none_is_told_to_be_core() -> None:
    specks = ball(4) & (np.indices((SIZE,) * 3).sum(axis=0) % 9 == 0)  # a few voxels, none touching another
    assert 0 < specks.sum() < 50
    without = [a_case(0, ET=(specks, 0.9)), a_case(0, ET=(specks, 0.8))]
    tuning = tune(PLAIN, [*without, a_case(6)])
    assert tuning.after["ET"] == 1.0
    assert tuning.before["ET"] == pytest.approx(1 / 3, abs=1e-3)
    assert len(tuning.changes) == 1
    assert tuning.changes[0].startswith("ET smallest")


def cubes_of_enhancement(count: int) -> np.ndarray:
    """Cubes of 27 voxels inside the core, none touching another."""
    mask = np.zeros((SIZE,) * 3, dtype=np.bool_)
    corners = [(z, y, x) for z in (14, 18, 22) for y in (14, 18, 22) for x in (16, 20)][:count]
    for z, y, x in corners:
        mask[z : z + 3, y : y + 3, x : x + 3] = True
    return mask


def test_scattered_enhancement_is_told_from_a_little_by_its_total_volume() -> None:
    wrong, right = cubes_of_enhancement(2), cubes_of_enhancement(12)  # 0.054 and 0.324 ml, in parts of 0.027 ml
    without = a_case(0, ET=(wrong, 0.9))
    scattered = [a_case(0, ET=(right, 0.9)) for _ in range(2)]
    truth = [TuningCase(case.probabilities, np.where(right, 3, case.labels).astype(np.uint8)) for case in scattered]
    tuning = tune(PLAIN, [without, *truth])
    assert tuning.output.min_region_ml == (0.0, 0.0, 0.1)
    assert tuning.changes == ("ET smallest region, ml: 0 to 0.1",)
    assert tuning.after["ET"] == 1.0


def test_a_change_that_helps_one_case_at_the_cost_of_the_others_is_not_taken() -> None:
    rim = ball(15) & ~ball(12)
    faint = a_case(WT=(rim, 0.45))  # wants a lower threshold
    bright = [a_case(6, WT=(ball(15.5) & ~ball(15), 0.45)), a_case(7, WT=(ball(15.5) & ~ball(15), 0.45))]
    alone = tune(PLAIN, [faint])
    assert alone.output.thresholds[0] == 0.4
    together = tune(PLAIN, [faint, *bright])
    assert together.output.thresholds[0] == 0.5


def test_a_tiny_gain_is_not_worth_a_change() -> None:
    few = tuple(np.argwhere(ball(15) & ~ball(14))[::40].T)
    tuning = tune(PLAIN, [a_case(radius, WT=(few, 0.45)) for radius in (5, 6)])
    assert 0.995 < tuning.before["WT"] < 1.0
    assert tuning.output == PLAIN


def test_figures_after_tuning_are_those_of_the_nodes_own_decide() -> None:
    rng = np.random.default_rng(4)
    cases = []
    for radius in (4, 5, 6):
        case = a_case(radius)
        noise = ndimage.gaussian_filter(rng.normal(size=(3, SIZE, SIZE, SIZE)), (0, 2, 2, 2))
        cases.append(TuningCase((case.probabilities + 3 * noise).clip(0, 1).astype(np.float32), case.labels))
    tuning = tune(PLAIN, cases)
    assert tuning.changes
    for output, told in ((PLAIN, tuning.before), (tuning.output, tuning.after)):
        segmenter = deciding(output)
        scores = [
            score_labels("", segmenter.decide(case.probabilities), case.labels, distances=False) for case in cases
        ]
        measured = {region.value: round(value, 4) for region, value in mean_scores(scores).items()}
        assert measured == told


def test_the_manifest_says_where_the_values_come_from() -> None:
    table = tune(PLAIN, [a_case()]).table()
    assert "validation cases themselves" in table["words"]
    assert table["cases"] == 1
    assert set(table["dice_after"]) == {region.value for region in (Region.WT, Region.TC, Region.ET)}
