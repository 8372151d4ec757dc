"""Tables of a segmenter's scores in Markdown, for reports and model cards alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bt_node.domain.tumour import Region
from training.segmenter.evaluate import REGIONS, CaseScore, mean_scores
from training.segmenter.metrics import MEASURES
from training.segmenter.subsets import SubsetScore, name_of
from training.segmenter.summary import Figure, Summary

NO_FIGURE = "–"
# Mean Dice for WT, TC, ET as their authors report it, each on its own test data.
PEERS = (
    ("MONAI `brats_mri_segmentation` bundle", (0.903, 0.856, 0.791)),
    ("Myronenko 2018 (arXiv:1810.11654)", (0.904, 0.860, 0.815)),
    ("nnU-Net 2020 (arXiv:2011.00848)", (0.890, 0.851, 0.820)),
)
PEER_NOTE = "The rows of others are as published: **different test data, not comparable directly.**"


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is words and whose others are figures."""
    lines = [heads, ["---", *("---:" for _ in heads[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def measures_table(summary: Summary) -> str:
    """Mean of every figure by region, with its interval (or lowest and highest case), and medians beside."""
    heads = ["", *(f"{region.value} {what}" for region in REGIONS for what in ("mean", "median"))]
    rows = []
    for measure, (name, decimals) in MEASURES.items():
        figures = [summary[region][measure] for region in REGIONS]
        cells = [cell for figure in figures for cell in (_mean(figure, decimals), _number(figure.median, decimals))]
        rows.append([name, *cells])
    return markdown_table(heads, rows) + _undefined_note(summary)


def peer_table(label: str, scores: Sequence[CaseScore]) -> str:
    """Mean Dice beside the peers', under the words that keep a reader from comparing."""
    means = mean_scores(scores)
    ours = [f"{label}, {len(scores)} case(s)", *(f"{means[region]:.3f}" for region in REGIONS)]
    rows = [[name, *(f"{value:.3f}" for value in dice)] for name, dice in PEERS]
    heads = ["Mean Dice", *(region.value for region in REGIONS)]
    return f"{PEER_NOTE}\n\n{markdown_table(heads, [ours, *rows])}"


def cases_table(scores: Sequence[CaseScore]) -> str:
    """One row for each case: Dice and HD95, and volumes as drawn / true in ml."""
    heads = [
        "case",
        *(f"{what} {region.value}" for what in ("Dice", "HD95 mm", "ml drawn / true") for region in REGIONS),
    ]
    rows = []
    for score in scores:
        found = [score.regions[region] for region in REGIONS]
        rows.append(
            [
                score.name,
                *(f"{region.dice:.3f}" for region in found),
                *(_number(region.hd95_mm, 1) for region in found),
                *(f"{region.predicted_ml:.1f} / {region.true_ml:.1f}" for region in found),
            ]
        )
    return markdown_table(heads, rows)


def subsets_table(scores: Sequence[SubsetScore]) -> str:
    """One row for each subset of sequences; where the release refuses, the row says so."""
    heads = ["sequences given", *(f"Dice {region.value}" for region in REGIONS), "the release"]
    rows = [
        [
            name_of(score.roles),
            *(f"{score.dice[region]:.3f}" for region in REGIONS),
            "answers" if score.answered else "not answered",
        ]
        for score in scores
    ]
    return markdown_table(heads, rows)


def _mean(figure: Figure, decimals: int) -> str:
    low, high = figure.mean_interval or (figure.lowest, figure.highest)
    if not math.isfinite(figure.mean):
        return NO_FIGURE
    return f"{_number(figure.mean, decimals)} ({_number(low, decimals)} to {_number(high, decimals)})"


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if math.isfinite(value) else NO_FIGURE


def _undefined_note(summary: Summary) -> str:
    """Which figures leave cases out, and how many."""
    left_out = [
        f"{MEASURES[measure][0]} {region.value}: {figure.undefined}"
        for region in REGIONS
        for measure, figure in _figures(summary, region)
        if figure.undefined
    ]
    if not left_out:
        return ""
    return f"\n\nCases where a figure is not defined (one side is empty), left out of its row: {'; '.join(left_out)}."


def _figures(summary: Summary, region: Region) -> list[tuple[str, Figure]]:
    return list(summary[region].items())
