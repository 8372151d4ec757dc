"""Figures on cases that a release has neither trained on nor been watched with: what README and card may promise.

They lie beside the release as `kept-apart.json`. Their table is a section of its card, and README shows the same one;
a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bt_node.domain.tumour import Region
from bt_node.infer.release import Release
from training.releases import CARD
from training.runs import read_json, write_atomically, write_json
from training.segmenter.card import WATCHED_HEADING
from training.segmenter.evaluate import REGIONS, CaseScore
from training.segmenter.provenance import seen_among
from training.segmenter.report import metrics_table, region_rows
from training.segmenter.report_tables import NO_FIGURE, cases_table, markdown_table, peer_table
from training.segmenter.summary import how_intervals_were_made, summarise

KEPT_APART = "kept-apart.json"
_BEGIN, _END = "<!-- kept apart: begin -->", "<!-- kept apart: end -->"


class NotKeptApartError(ValueError):
    """The release has seen some of the cases, or does not tell what it has seen."""


def check_kept_apart(release: Release, names: Sequence[str]) -> None:
    """Make sure, by their names, that a release knows none of these cases.

    Raises:
        NotKeptApartError: it was trained on one or watched with one, or its manifest does not say.
    """
    seen = seen_among(release.manifest.training, names)
    if seen is None:
        raise NotKeptApartError(
            f"{release.folder.name} does not tell which cases it was trained on: none counts as kept apart"
        )
    if seen:
        raise NotKeptApartError(
            f"{release.folder.name} was trained on or watched with {', '.join(seen)}; "
            "name with --case only those that it has never seen"
        )


def write_kept_apart(release: Release, scores: Sequence[CaseScore]) -> None:
    """Write `kept-apart.json` into the release's folder and its table into the card, in place of an earlier one."""
    table = {
        "release": f"{release.identity.name} {release.identity.version}",
        "weights_sha256": release.identity.weights_sha256,
        **metrics_table(scores, summarise(scores), ()),
        "cases": {score.name: region_rows(score) for score in scores},
    }
    write_json(release.folder / KEPT_APART, table)
    card = release.folder / CARD
    before, _, after = _around(card.read_text(encoding="utf-8"))
    parts = [
        _BEGIN,
        "## Cases kept apart",
        _WORDS,
        headline(read_json(release.folder / KEPT_APART)),
        f"{_TABLE_WORDS} {how_intervals_were_made(len(scores))}",
        cases_table(scores),
        "### Beside others",
        peer_table(table["release"], scores),
        _END,
    ]
    section = "\n\n".join(parts)
    write_atomically(card, f"{before}{section}{after}".encode())


_WORDS = (
    "Measured after the release was finished, on cases that it was neither trained on nor watched with, and on which "
    "nothing was chosen. These are the figures to expect; those of the validation cases below are not."
)
_TABLE_WORDS = "Where the expert drew none of a region, Dice is 1 if none was drawn, else 0."


def headline(table: Mapping[str, Any]) -> str:
    """The short table of `kept-apart.json`: mean Dice and HD95, and whether what is absent was drawn all the same."""
    figures, absent, cases = table["figures"], table["absent"], len(table["cases"])
    rows = [
        ["Dice, mean", *(_ranged(figures[region.value]["dice"], 2) for region in REGIONS)],
        ["Dice, lowest case", *(f"{figures[region.value]['dice']['lowest']:.2f}" for region in REGIONS)],
        ["HD95, mm, mean", *(_ranged(figures[region.value]["hd95_mm"], 0) for region in REGIONS)],
        ["left empty where there is none", *(_kept_empty(absent[region.value]) for region in REGIONS)],
        ["drawn in vain there, ml", *(_listed(absent[region.value]["drawn_ml"]) for region in REGIONS)],
    ]
    names = {Region.WT: "whole tumour", Region.TC: "core", Region.ET: "enhancing"}
    return markdown_table([f"{table['release']}, {cases} cases kept apart", *(names[each] for each in REGIONS)], rows)


def _ranged(figure: Mapping[str, Any], decimals: int) -> str:
    if "mean" not in figure:
        return NO_FIGURE
    low, high = figure.get("mean_95", (figure["lowest"], figure["highest"]))
    return f"{figure['mean']:.{decimals}f} ({low:.{decimals}f} to {high:.{decimals}f})"


def _kept_empty(absent: Mapping[str, Any]) -> str:
    return f"{absent['stayed_empty']} of {absent['cases']}" if absent["cases"] else NO_FIGURE


def _listed(millilitres: Sequence[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in millilitres) or NO_FIGURE


def _around(card: str) -> tuple[str, str, str]:
    """The card before, within and after the section; a card without one gets it before its validation figures."""
    if _BEGIN in card and _END in card:
        before, rest = card.split(_BEGIN, 1)
        within, after = rest.split(_END, 1)
        return before, within, after
    before, heading, after = card.partition(f"{WATCHED_HEADING}\n")
    return (before, "", f"\n\n{heading}{after}") if heading else (f"{card.rstrip()}\n\n", "", "\n")
