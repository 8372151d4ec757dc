"""The report of an evaluation: one page in Markdown, the same as JSON, and CSV files for one's own sums."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from bt_node.domain.study import Role
from bt_node.domain.tumour import Region
from training.runs import write_atomically, write_json
from training.segmenter.evaluate import REGIONS, CaseScore, mean_scores
from training.segmenter.metrics import MEASURES
from training.segmenter.report_tables import cases_table, measures_table, peer_table, subsets_table
from training.segmenter.subsets import SubsetScore
from training.segmenter.summary import Summary, how_intervals_were_made, summarise

RESEARCH_ONLY = "For research use only, not for diagnosis."
_MEANINGS = (
    "Dice, IoU, sensitivity and precision from 0 to 1; a region that both sides leave empty counts 1. HD95: the "
    "larger of both directions' 95th percentile of surface distances. WT: whole tumour, TC: tumour core, "
    "ET: enhancing tumour."
)
SUBSETS_NOTE = (
    "Mean Dice with only some sequences, the others as a channel of zeros. Where the table says “not answered” the "
    "node refuses such a study; the figures show why."
)


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    Attributes:
        title: heading of the page.
        label: short name for the row beside the peers.
        facts: lines on what was scored, on which data, and how far to trust it.
        scores: of each case.
        subsets: of each subset of sequences; empty where they were not asked for.
        pictures: names of the picture files beside the page, the worst case first.
    """

    title: str
    label: str
    facts: Sequence[str]
    scores: Sequence[CaseScore]
    subsets: Sequence[SubsetScore] = ()
    pictures: Sequence[str] = field(default=())


def write_report(folder: Path, report: Report) -> None:
    """Write `report.md`, `evaluation.json`, `cases.csv` and, where there are any, `subsets.csv`."""
    folder.mkdir(parents=True, exist_ok=True)
    summary = summarise(report.scores)
    write_atomically(folder / "report.md", _page(report, summary).encode())
    write_json(folder / "evaluation.json", as_table(report, summary))
    write_atomically(folder / "cases.csv", _cases_csv(report.scores).encode())
    if report.subsets:
        write_atomically(folder / "subsets.csv", _subsets_csv(report.subsets).encode())


def metrics_table(scores: Sequence[CaseScore], summary: Summary, subsets: Sequence[SubsetScore]) -> dict[str, Any]:
    """The figures of a release, for its manifest: what is not defined is left out."""
    means = mean_scores(scores)
    cases = {score.name: {region.value: round(score.dice[region], 4) for region in REGIONS} for score in scores}
    found: dict[str, Any] = {
        "dice": {region.value: round(means[region], 4) for region in REGIONS},
        "dice_by_case": cases,
        "figures": {
            region.value: {name: figure.table() for name, figure in summary[region].items()} for region in REGIONS
        },
        "absent": {region.value: absent_region(scores, region) for region in REGIONS},
    }
    if subsets:
        found["dice_by_subset"] = {
            "-".join(role.value for role in each.roles): {
                **{region.value: round(each.dice[region], 4) for region in REGIONS},
                "answered": each.answered,
            }
            for each in subsets
        }
    return found


def absent_region(scores: Sequence[CaseScore], region: Region) -> dict[str, Any]:
    """How the cases came out in which the expert drew none of a region.

    Returns:
        Number of `cases`, in how many it `stayed_empty`, and `drawn_ml`, in vain, of the others, the most first.
    """
    drawn = [score.regions[region].predicted_ml for score in scores if score.regions[region].true_ml == 0]
    in_vain = sorted((round(value, 3) for value in drawn if value > 0), reverse=True)
    return {"cases": len(drawn), "stayed_empty": len(drawn) - len(in_vain), "drawn_ml": in_vain}


def region_rows(score: CaseScore) -> dict[str, Any]:
    """Every figure of one case by region; null where it is not defined."""
    return {region.value: _region_row(score, region) for region in REGIONS}


def as_table(report: Report, summary: Summary) -> dict[str, Any]:
    """The whole report for JSON; figures that are not defined are null."""
    cases = {score.name: region_rows(score) | {"seconds": round(score.seconds, 3)} for score in report.scores}
    return {
        "note": RESEARCH_ONLY,
        "title": report.title,
        "facts": list(report.facts),
        **metrics_table(report.scores, summary, report.subsets),
        "cases": cases,
    }


def _page(report: Report, summary: Summary) -> str:
    parts = [
        f"# {report.title}",
        f"**{RESEARCH_ONLY}** Written by `python -m training segmenter`.",
        "\n".join(f"- {fact}" for fact in report.facts),
        "## Figures",
        f"{_MEANINGS} {how_intervals_were_made(len(report.scores))}",
        measures_table(summary),
        absent_words(report.scores),
        "## Beside others",
        peer_table(report.label, report.scores),
    ]
    if report.subsets:
        parts += ["## When sequences are missing", SUBSETS_NOTE, subsets_table(report.subsets)]
    parts += ["## Cases", cases_table(report.scores)]
    if report.pictures:
        pictures = "\n".join(f"{place}. `{name}`" for place, name in enumerate(report.pictures, start=1))
        parts += ["## Worst cases", f"By mean Dice of the three regions; pictures show patients.\n\n{pictures}"]
    return "\n\n".join(parts) + "\n"


def absent_words(scores: Sequence[CaseScore]) -> str:
    """A sentence for each region on whether it stayed empty where the expert drew none."""
    found = {region: absent_region(scores, region) for region in REGIONS}
    lines = [
        f"- {region.value}: absent in {absent['cases']} case(s), stayed empty in {absent['stayed_empty']}"
        + (
            f"; drawn in vain, ml: {', '.join(f'{value:.1f}' for value in absent['drawn_ml'])}"
            if absent["drawn_ml"]
            else ""
        )
        for region, absent in found.items()
    ]
    return "\n".join(["Where the expert drew none of a region:", "", *lines])


def _region_row(score: CaseScore, region: Region) -> dict[str, float | None]:
    found = score.regions[region]
    figures = found.figures() | {"true_ml": found.true_ml, "predicted_ml": found.predicted_ml}
    return {name: None if value != value else round(value, 4) for name, value in figures.items()}  # noqa: PLR0124 - nan


def _cases_csv(scores: Sequence[CaseScore]) -> str:
    columns = ["case", "region", *MEASURES, "true_ml", "predicted_ml"]
    rows = [
        {"case": score.name, "region": region.value, **_region_row(score, region)}
        for score in scores
        for region in REGIONS
    ]
    return _csv(columns, rows)


def _subsets_csv(subsets: Sequence[SubsetScore]) -> str:
    columns = [*(role.value for role in Role), "answered", *(f"dice_{region.value}" for region in REGIONS)]
    rows = [
        {role.value: int(role in each.roles) for role in Role}
        | {"answered": int(each.answered)}
        | {f"dice_{region.value}": round(each.dice[region], 4) for region in REGIONS}
        for each in subsets
    ]
    return _csv(columns, rows)


def _csv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    text = StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
