"""Figures of one region, over cases, and in words: known answers, empty regions, too few cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bt_node.domain.tumour import Region
from training.segmenter.evaluate import CaseScore, mean_scores, score_labels
from training.segmenter.metrics import MEASURES, RegionScore, score_region
from training.segmenter.report_tables import PEER_NOTE, markdown_table, measures_table, peer_table
from training.segmenter.summary import how_intervals_were_made, summarise

EMPTY = np.zeros((20, 20, 20), dtype=np.bool_)


def box(start: int, stop: int) -> np.ndarray:
    mask = EMPTY.copy()
    mask[start:stop, 5:15, 5:15] = True
    return mask


def test_a_shifted_box_has_the_figures_of_paper_and_pencil() -> None:
    score = score_region(box(7, 17), box(5, 15))  # 1000 voxels each, 800 in common
    assert score.dice == pytest.approx(0.8)
    assert score.iou == pytest.approx(800 / 1200)
    assert score.sensitivity == pytest.approx(0.8)
    assert score.precision == pytest.approx(0.8)
    assert score.hd95_mm == pytest.approx(2.0)
    assert score.volume_bias_ml == 0.0
    assert score.true_ml == pytest.approx(1.0)


def test_distances_and_volumes_know_the_spacing() -> None:
    score = score_region(box(7, 17), box(5, 15), spacing_mm=(3.0, 1.0, 1.0))
    assert score.hd95_mm == pytest.approx(6.0)
    assert score.true_ml == pytest.approx(3.0)


def test_volume_errors_tell_too_much_from_too_little_only_in_the_bias() -> None:
    more, less = score_region(box(5, 17), box(5, 15)), score_region(box(5, 13), box(5, 15))
    assert (more.volume_bias_ml, less.volume_bias_ml) == (pytest.approx(0.2), pytest.approx(-0.2))
    assert more.volume_error_ml == less.volume_error_ml == pytest.approx(0.2)
    assert less.volume_error_percent == pytest.approx(20.0)
    assert more.sensitivity == 1.0
    assert less.precision == 1.0


def test_an_absent_region_rightly_left_empty_is_perfect() -> None:
    score = score_region(EMPTY, EMPTY)
    assert (score.dice, score.iou, score.sensitivity, score.precision) == (1.0, 1.0, 1.0, 1.0)
    assert (score.hd95_mm, score.volume_error_ml, score.volume_error_percent) == (0.0, 0.0, 0.0)


def test_a_region_drawn_where_there_is_none_scores_zero_and_has_no_distance() -> None:
    score = score_region(box(5, 15), EMPTY)
    assert (score.dice, score.iou, score.precision) == (0.0, 0.0, 0.0)
    assert score.volume_error_ml == pytest.approx(1.0)
    undefined = {name for name, value in score.figures().items() if math.isnan(value)}
    assert undefined == {"sensitivity", "hd95_mm", "volume_error_percent"}


def test_a_region_that_is_missed_scores_zero_and_has_no_distance() -> None:
    score = score_region(EMPTY, box(5, 15))
    assert (score.dice, score.iou, score.sensitivity) == (0.0, 0.0, 0.0)
    assert score.volume_error_percent == pytest.approx(100.0)
    assert {name for name, value in score.figures().items() if math.isnan(value)} == {"precision", "hd95_mm"}


def test_distances_that_were_not_asked_for_are_not_defined() -> None:
    assert math.isnan(score_region(box(7, 17), box(5, 15), distances=False).hd95_mm)


def test_labels_are_scored_as_nested_regions() -> None:
    true = np.zeros((8, 8, 8), dtype=np.uint8)
    true[2:6, 2:6, 2:6] = 2
    true[3:5, 3:5, 3:5] = 1
    true[3, 3, 3] = 3
    drawn = np.where(true == 3, 1, true).astype(np.uint8)  # enhancement is taken for core
    assert score_labels("a", drawn, true).dice == {Region.WT: 1.0, Region.TC: 1.0, Region.ET: 0.0}


# ---------------------------------------------------------------- over cases


def a_score(name: str, dice: float, hd95_mm: float = 3.0) -> CaseScore:
    region = RegionScore(dice, dice / 2, dice, dice, hd95_mm, 10.0, 12.0)
    return CaseScore(name, dict.fromkeys((Region.WT, Region.TC, Region.ET), region))


def scores_of(*dice: float) -> list[CaseScore]:
    return [a_score(f"case{place}", value) for place, value in enumerate(dice)]


def test_mean_median_and_interval_hold_together() -> None:
    figure = summarise(scores_of(0.1, 0.7, 0.8, 0.9, 0.9))[Region.WT]["dice"]
    assert figure.mean == pytest.approx(0.68)
    assert figure.median == 0.8
    assert figure.mean_interval is not None
    low, high = figure.mean_interval
    assert 0.1 < low < 0.68 < high <= 0.9
    assert (figure.lowest, figure.highest, figure.defined) == (0.1, 0.9, 5)


def test_the_same_scores_give_the_same_intervals_and_more_cases_give_narrower_ones() -> None:
    few = summarise(scores_of(0.5, 0.6, 0.8, 0.9))[Region.TC]["dice"].mean_interval
    again = summarise(scores_of(0.5, 0.6, 0.8, 0.9))[Region.TC]["dice"].mean_interval
    many = summarise(scores_of(*[0.5, 0.6, 0.8, 0.9] * 8))[Region.TC]["dice"].mean_interval
    assert few == again
    assert few is not None
    assert many is not None
    assert many[1] - many[0] < 0.6 * (few[1] - few[0])


def test_three_cases_have_no_interval_and_the_report_says_why() -> None:
    summary = summarise(scores_of(0.5, 0.7, 0.9))
    assert summary[Region.ET]["dice"].mean_interval is None
    assert "0.700 (0.500 to 0.900)" in measures_table(summary)
    assert "too few for an interval" in how_intervals_were_made(3)
    assert "bootstrap" in how_intervals_were_made(4)


def test_cases_without_a_distance_are_left_out_of_its_mean_and_counted() -> None:
    scores = [a_score("a", 0.8, 2.0), a_score("b", 0.8, 4.0), a_score("c", 0.0, float("nan"))]
    summary = summarise(scores)
    figure = summary[Region.ET]["hd95_mm"]
    assert (figure.mean, figure.defined, figure.undefined) == (3.0, 2, 1)
    assert figure.table()["not_defined"] == 1
    assert "HD95, mm ET: 1" in measures_table(summary)


def test_a_figure_that_is_defined_nowhere_is_a_dash_and_absent_from_files() -> None:
    summary = summarise([a_score("a", 0.8, float("nan"))])
    row = next(line for line in measures_table(summary).splitlines() if line.startswith("| HD95"))
    assert row == "| HD95, mm | – | – | – | – | – | – |"
    assert "mean" not in summary[Region.WT]["hd95_mm"].table()


def test_every_measure_has_a_row() -> None:
    table = measures_table(summarise(scores_of(0.5, 0.7)))
    assert all(f"| {name} |" in table for name, _ in MEASURES.values())


def test_peers_stand_under_the_words_that_keep_from_comparing() -> None:
    table = peer_table("ours", scores_of(0.5, 0.7))
    assert table.startswith(PEER_NOTE)
    assert "different test data, not comparable directly" in PEER_NOTE
    assert "| ours, 2 case(s) | 0.600 | 0.600 | 0.600 |" in table
    for figures in ("0.903 | 0.856 | 0.791", "0.904 | 0.860 | 0.815", "0.890 | 0.851 | 0.820"):
        assert figures in table


def test_mean_dice_counts_every_case_once() -> None:
    assert mean_scores(scores_of(0.0, 1.0, 0.5))[Region.WT] == pytest.approx(0.5)


def test_markdown_tables_align_figures_to_the_right() -> None:
    assert markdown_table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"
