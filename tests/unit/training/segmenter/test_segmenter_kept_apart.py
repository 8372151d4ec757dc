"""Figures that a release may promise: only of cases it has never seen, the same in card, file and README."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bt_node.domain.tumour import Region
from bt_node.infer.networks.build import build_network
from bt_node.infer.release import MANIFEST, Release, read_release
from training.releases import CARD, write_release
from training.runs import read_json
from training.segmenter.card import WATCHED_HEADING
from training.segmenter.evaluate import CaseScore, score_labels
from training.segmenter.kept_apart import (
    KEPT_APART,
    NotKeptApartError,
    check_kept_apart,
    headline,
    write_kept_apart,
)
from training.segmenter.provenance import hashes_of
from training.segmenter.report import absent_region, absent_words

REPOSITORY = Path(__file__).resolve().parents[4]
SEEN = {"training_case_hashes": hashes_of(["A", "B"]), "validation_cases": ["C"]}
ARGUMENTS = {"in_channels": 4, "out_channels": 3, "channels": [4, 8], "residual_units": 1}


def a_release(folder: Path, training: dict[str, Any]) -> Release:
    manifest = {
        "schema": 1,
        "name": "toy",
        "version": "0.1",
        "kind": "segmenter",
        "network": {"architecture": "unet", "arguments": ARGUMENTS},
        "input": {
            "roles": ["T1", "T1C", "T2", "FLAIR"],
            "spacing_mm": [1.0, 1.0, 1.0],
            "orientation": "LPS",
            "normalisation": "zscore-brain",
            "patch": [16, 16, 16],
        },
        "output": {
            "regions": ["WT", "TC", "ET"],
            "thresholds": [0.5, 0.5, 0.5],
            "min_component_ml": [0.0, 0.0, 0.0],
        },
        "training": training,
    }
    weights = build_network("unet", ARGUMENTS).state_dict()
    return write_release(
        folder,
        manifest,
        weights,
        "# toy\n\n## Training\n\nlong\n\n## Validation: watched cases, not what to expect\n\nwatched\n",
    )


def scores() -> list[CaseScore]:
    """D enhances and is drawn well; E does not, and 27 voxels of it are drawn; F does not, and none is drawn."""
    plain = np.zeros((20, 20, 20), dtype=np.uint8)
    plain[2:18, 2:18, 2:18] = 2
    plain[5:15, 5:15, 5:15] = 1
    enhancing = plain.copy()
    enhancing[6:9, 6:9, 6:9] = 3
    return [
        score_labels("D", enhancing, enhancing),
        score_labels("E", enhancing, plain),
        score_labels("F", plain, plain),
    ]


@pytest.mark.parametrize("name", ["A", "C"], ids=["trained on", "watched"])
def test_a_case_that_the_release_has_seen_is_no_case_kept_apart(tmp_path: Path, name: str) -> None:
    release = a_release(tmp_path / "toy", SEEN)
    check_kept_apart(release, ["D", "E"])
    with pytest.raises(NotKeptApartError, match=rf"watched with {name};"):
        check_kept_apart(release, ["D", name])


def test_a_release_that_does_not_tell_what_it_has_seen_has_no_figures_of_this_kind(tmp_path: Path) -> None:
    with pytest.raises(NotKeptApartError, match="does not tell"):
        check_kept_apart(a_release(tmp_path / "toy", {}), ["D"])


def test_what_was_drawn_where_there_is_none_is_counted_apart() -> None:
    assert absent_region(scores(), Region.ET) == {"cases": 2, "stayed_empty": 1, "drawn_ml": [0.027]}
    assert absent_region(scores(), Region.WT) == {"cases": 0, "stayed_empty": 0, "drawn_ml": []}
    assert "ET: absent in 2 case(s), stayed empty in 1; drawn in vain, ml: 0.0" in absent_words(scores())


def test_the_table_stands_before_the_watched_figures_and_is_replaced_not_repeated(tmp_path: Path) -> None:
    release = a_release(tmp_path / "toy", SEEN)
    write_kept_apart(release, scores()[:2])
    write_kept_apart(release, scores())
    table = read_json(release.folder / KEPT_APART)
    card = (release.folder / CARD).read_text(encoding="utf-8")
    assert headline(table) in card
    assert card.count("## Cases kept apart") == 1
    assert card.index("## Training") < card.index("## Cases kept apart") < card.index(WATCHED_HEADING)
    assert "| E |" in card
    assert "different test data, not comparable directly" in card
    assert "1 of 2" in headline(table)
    assert read_release(release.folder).identity == release.identity


@pytest.mark.parametrize("folder", sorted(REPOSITORY.glob("models/bt-segmenter-*")), ids=lambda folder: folder.name)
def test_readme_and_card_promise_what_was_measured_on_cases_kept_apart(folder: Path) -> None:
    release = read_release(folder)
    table = read_json(folder / KEPT_APART)
    assert table["weights_sha256"] == release.identity.weights_sha256, f"{MANIFEST} has other weights: measure again"
    check_kept_apart(release, list(table["cases"]))
    for page in (REPOSITORY / "README.md", folder / CARD):
        assert headline(table) in page.read_text(encoding="utf-8"), f"{page.name}: show the table of {KEPT_APART}"


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
