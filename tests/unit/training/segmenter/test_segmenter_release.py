"""From runs to a release and a report: what is written is what was measured, and the words warn where they should."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from bt_node.domain.study import Role
from bt_node.infer.networks.build import build_network
from bt_node.infer.networks.ensemble import Ensemble
from bt_node.infer.release import read_release
from bt_node.infer.segmenter import load_segmenter
from training.runs import load_tensors, read_json, save_tensors, write_json
from training.segmenter import folds as folds_module
from training.segmenter.evaluate import mean_scores, score_case
from training.segmenter.export import Choices, export
from training.segmenter.folds import read_folds, score_folds
from training.segmenter.pictures import most_different_slice, overlay
from training.segmenter.prepared import PreparedCase
from training.segmenter.provenance import caution, hashes_of
from training.segmenter.report import Report, write_report
from training.segmenter.run_folder import BEST, CHECKPOINT, RunMismatchError
from training.segmenter.subsets import score_subsets, subsets

CPU = torch.device("cpu")
SHAPE = (20, 22, 24)
ARGUMENTS = {"in_channels": 4, "out_channels": 3, "channels": [4, 8], "residual_units": 1}
NAMES = ("A", "B", "C", "D")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def a_case(name: str) -> PreparedCase:
    rng = np.random.default_rng(ord(name))
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[4:14, 5:15, 6:16] = 2
    labels[6:10, 7:11, 8:12] = 1
    labels[7:9, 8:10, 9:11] = 3
    images = rng.normal(size=(4, *SHAPE)) + 2 * (labels > 0) + 2 * (labels == 3)
    return PreparedCase(name, images.astype(np.float16), labels)


def a_recipe(**augmentation: float) -> dict[str, Any]:
    """As `recipe.json` of a run held it before tuning, flips and folds were known."""
    return {
        "name": "toy",
        "version": "0.0",
        "seed": 5,
        "data": {
            "layout": "brats2018",
            "description": "generated boxes",
            "citation": "nobody",
            "validation_cases": 2,
        },
        "network": {"architecture": "unet", "arguments": ARGUMENTS},
        "sampling": {"patch": [16, 16, 16]},
        "augmentation": augmentation,
        "optimiser": {"steps": 7},
        "output": {"thresholds": [0.5, 0.5, 0.5], "min_component_ml": [0.0, 0.0, 0.0], "window": [16, 16, 16]},
    }


@pytest.fixture
def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A run folder with random weights whose validation cases come from memory."""
    monkeypatch.setattr(
        folds_module, "_validation", lambda recipe, split, data, run: tuple(map(a_case, split.validation))
    )

    def make(name: str, validation: tuple[str, ...], *, seed: int = 7, recipe: dict[str, Any] | None = None) -> Path:
        run = tmp_path / name
        run.mkdir()
        recipe = recipe or a_recipe()
        torch.manual_seed(seed)
        network = build_network("unet", recipe["network"]["arguments"])
        tensors = {f"average.module.{key}": value for key, value in network.state_dict().items()}
        save_tensors(run / "checkpoint.safetensors", tensors, {"step": 7})
        write_json(run / "recipe.json", recipe)
        training = [other for other in NAMES if other not in validation]
        write_json(run / "split.json", {"training": training, "validation": list(validation)})
        return run

    return make


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def assert_mean_dice(page: str, row: str, told: float) -> None:
    """The row's first figure, in 3 digits, is that of a file in 4: each is rounded from the full figure."""
    shown = re.search(rf"\| {re.escape(row)} \| (\d\.\d{{3}})\b", page)
    assert shown is not None
    assert float(shown[1]) == pytest.approx(told, abs=0.00056)


# ---------------------------------------------------------------- release


def test_a_release_tells_the_dice_of_its_own_file(make_run: Callable[..., Path], data: Path, tmp_path: Path) -> None:
    release = export(make_run("run", ("A", "B")), data, tmp_path / "release", CPU)
    again = load_segmenter(read_release(release.folder), CPU)
    told = release.manifest.training["metrics"]
    for name in ("A", "B"):
        measured = {region.value: round(value, 4) for region, value in score_case(again, a_case(name)).dice.items()}
        assert measured == told["dice_by_case"][name]
    card = (release.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert_mean_dice(card, "Dice", told["dice"]["WT"])
    for said in (
        "not for diagnosis",
        "watched during training",
        "watched cases, not what to expect",
        "too few for an interval",
        "Nothing was tuned",
        "All of T1, T1C, T2, FLAIR are needed",
        release.manifest.training["split_sha256"],
        "generated boxes",
        "| A |",
    ):
        assert said in card
    assert "nnU-Net" not in card  # nobody's published figures stand beside those of watched cases


def test_a_run_with_dropped_sequences_ends_in_a_release_that_says_what_each_subset_is_worth(
    make_run: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    run = make_run("run", ("A",), recipe=a_recipe(sequence_dropout=0.25))
    release = export(run, data, tmp_path / "release", CPU)
    manifest: Any = release.manifest
    assert set(manifest.input.needs_one_of) == {Role.T1C, Role.FLAIR}
    table = manifest.training["metrics"]["dice_by_subset"]
    assert len(table) == 15
    assert {name for name, row in table.items() if not row["answered"]} == {"T1", "T2", "T1-T2"}
    assert table["T1-T1C-T2-FLAIR"]["WT"] == manifest.training["metrics"]["dice"]["WT"]
    card = (release.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert card.count("not answered") == 3 + 1  # and once in the words above the table
    assert "It answers when T1C or FLAIR is there" in card


def test_tuned_values_stand_in_manifest_and_card_with_the_words_that_they_were_tuned(
    make_run: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    run = make_run("run", ("A", "B"))
    release = export(run, data, tmp_path / "release", CPU, Choices(tuned=True))
    manifest: Any = release.manifest
    tuning = manifest.training["tuning"]
    assert tuning["changes"], "random weights are off by so much that some change always helps"
    told = manifest.training["metrics"]["dice"]  # of the file; tuning looked at probabilities in half precision
    assert tuning["dice_after"] == pytest.approx(told, abs=0.005)
    assert "optimistic" in tuning["words"]
    card = (release.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    for said in (*tuning["changes"], "chosen on them too"):
        assert said in card


def test_flips_that_are_asked_for_are_what_the_release_does_and_was_measured_with(
    make_run: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    run = make_run("run", ("A",))
    plain = export(run, data, tmp_path / "plain", CPU)
    mirrored = export(run, data, tmp_path / "mirrored", CPU, Choices(flips=("X",)))
    assert mirrored.manifest.input.flips == ("X",)  # type: ignore[union-attr]
    assert mirrored.manifest.training["metrics"] != plain.manifest.training["metrics"]
    assert "Mirrored along X" in (mirrored.folder / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_whom_a_release_is_meant_for_comes_from_the_recipe(
    make_run: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    recipe = a_recipe()
    adults = recipe | {"intended": {"min_age_years": 18}}
    for name, wanted, told in (("all", recipe, None), ("adults", adults, 18.0)):
        release = export(make_run(name, ("A",), recipe=wanted), data, tmp_path / f"release-{name}", CPU)
        assert read_release(release.folder).manifest.intended.min_age_years == told


def test_a_release_holds_the_last_weights_or_on_demand_the_best_and_says_which(
    make_run: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    run, other = make_run("run", ("A",), seed=1), make_run("other", ("A",), seed=2)
    with pytest.raises(RunMismatchError, match=r"best\.safetensors"):
        export(run, data, tmp_path / "none", CPU, Choices(best=True))
    tensors, state = load_tensors(other / CHECKPOINT)
    save_tensors(run / BEST, tensors, state)
    last, best = (
        export(run, data, tmp_path / str(kept), CPU, Choices(best=kept)).manifest.training for kept in (False, True)
    )
    assert best["metrics"] == export(other, data, tmp_path / "same", CPU).manifest.training["metrics"]
    assert best["metrics"] != last["metrics"]
    assert (last["weights"], best["weights"]) == ("of the last step", "of the best validation")
    assert "in half precision, of the best validation." in (tmp_path / "True" / "MODEL_CARD.md").read_text()


# ---------------------------------------------------------------- folds


def test_an_ensemble_is_judged_by_the_member_that_did_not_train_on_the_case(
    make_run: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    runs = [make_run("one", ("A", "B"), seed=1), make_run("two", ("C", "D"), seed=2)]
    release = export(runs, data, tmp_path / "release", CPU)
    segmenter = load_segmenter(release, CPU)
    assert isinstance(segmenter.network, Ensemble)
    singles = [export(run, data, tmp_path / run.name / "release", CPU) for run in runs]
    expected: dict[str, Any] = {}
    for single in singles:
        expected |= single.manifest.training["metrics"]["dice_by_case"]
    assert release.manifest.training["metrics"]["dice_by_case"] == expected
    card = (release.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "by the one member that did not train on it" in card
    assert "2 of them, whose probabilities are averaged" in card


def test_pooled_folds_score_every_case_once(make_run: Callable[..., Path], data: Path) -> None:
    runs = [make_run("one", ("A", "B")), make_run("two", ("C", "D"))]
    scores = score_folds(read_folds(runs, data), CPU)
    assert [score.name for score in scores] == ["A", "B", "C", "D"]
    assert all(np.isfinite(score.regions[region].true_ml) for score in scores for region in score.regions)
    assert set(mean_scores(scores)) == set(scores[0].regions)


def test_folds_that_share_a_validation_case_are_refused(make_run: Callable[..., Path], data: Path) -> None:
    runs = [make_run("one", ("A", "B")), make_run("two", ("B", "C"))]
    with pytest.raises(RunMismatchError, match="more than one run: B;"):
        read_folds(runs, data)


def test_folds_of_other_networks_are_refused(make_run: Callable[..., Path], data: Path) -> None:
    other = a_recipe()
    other["network"] = {"architecture": "unet", "arguments": ARGUMENTS | {"channels": [4, 4]}}
    runs = [make_run("one", ("A",)), make_run("two", ("B",), recipe=other)]
    with pytest.raises(RunMismatchError, match="two has another network"):
        read_folds(runs, data)


# ---------------------------------------------------------------- subsets


def test_there_are_fifteen_subsets_the_whole_first() -> None:
    found = subsets(tuple(Role))
    assert len(found) == len(set(found)) == 15
    assert found[0] == tuple(Role)
    assert sorted(map(len, found), reverse=True) == [len(subset) for subset in found]


def test_a_sequence_that_is_not_in_the_subset_is_a_channel_of_zeros(
    make_run: Callable[..., Path], data: Path
) -> None:
    recipe = a_recipe(sequence_dropout=0.25)
    [fold] = read_folds([make_run("run", ("A",), recipe=recipe)], data)
    segmenter, seen = fold.segmenter(CPU), set()
    segmenter.network.register_forward_pre_hook(
        lambda _, given: seen.add(tuple(bool(channel.any()) for channel in given[0][0]))
    )
    scores = score_subsets(segmenter, fold.validation)
    assert len(seen) == 15
    by_roles = {score.roles: score for score in scores}
    assert by_roles[(Role.FLAIR,)].answered
    assert not by_roles[(Role.T1, Role.T2)].answered


def test_a_release_that_needs_all_sequences_answers_on_one_subset_only(
    make_run: Callable[..., Path], data: Path
) -> None:
    [fold] = read_folds([make_run("run", ("A",))], data)
    scores = score_subsets(fold.segmenter(CPU), fold.validation)
    assert [score.roles for score in scores if score.answered] == [fold.recipe.data.roles]


# ---------------------------------------------------------------- report


@pytest.fixture
def written(make_run: Callable[..., Path], data: Path, tmp_path: Path) -> Path:
    [fold] = read_folds([make_run("run", NAMES[:3])], data)
    segmenter = fold.segmenter(CPU)
    scores = [score_case(segmenter, case) for case in fold.validation]  # without distances: HD95 is not defined
    report = Report("Scores", "toy", ["a fact"], scores, score_subsets(segmenter, fold.validation[:1]), ["w.png"])
    write_report(tmp_path / "out", report)
    return tmp_path / "out"


def test_a_report_is_markdown_json_and_csv_of_the_same_figures(written: Path) -> None:
    page = (written / "report.md").read_text(encoding="utf-8")
    table = json.loads((written / "evaluation.json").read_text(), parse_constant=pytest.fail)
    assert "For research use only, not for diagnosis." in page
    assert "research use only" in table["note"]
    assert_mean_dice(page, "toy, 3 case(s)", table["dice"]["WT"])
    assert "- a fact" in page
    assert "`w.png`" in page
    with (written / "cases.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 3
    assert np.mean([float(row["dice"]) for row in rows if row["region"] == "WT"]) == pytest.approx(
        table["dice"]["WT"], abs=1e-4
    )
    assert {row["hd95_mm"] for row in rows} == {""}
    assert table["cases"]["A"]["WT"]["hd95_mm"] is None
    with (written / "subsets.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 15


def test_cases_that_a_release_was_trained_on_are_called_out() -> None:
    training = {"training_case_hashes": hashes_of(["A", "B"]), "validation_cases": ["C"]}
    assert "2 of 3 cases were trained on (A, B)" in caution(training, ["A", "B", "D"])
    assert "1 of 1 cases were watched" in caution(training, ["C"])
    assert "None of these cases" in caution(training, ["D"])
    assert "unknown" in caution({}, ["D"])


def test_the_hashes_of_training_cases_stand_in_the_manifest(
    make_run: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    release = export(make_run("run", ("A", "B")), data, tmp_path / "release", CPU)
    assert "trained on (C)" in caution(release.manifest.training, ["C", "A"])
    assert read_json(tmp_path / "run" / "split.json")["training"] == ["C", "D"]


# ---------------------------------------------------------------- pictures


def test_a_picture_says_what_it_shows_and_what_it_is_not_for(
    tmp_path: Path, make_run: Callable[..., Path], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k)))
    [fold] = read_folds([make_run("run", ("A",))], data)
    [case] = fold.validation
    score = score_case(fold.segmenter(CPU), case)
    overlay(tmp_path / "a.png", case, np.asarray(case.labels), score, fold.recipe.data.roles)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    [figure] = drawn
    titles = [axes.get_title() for axes in figure.axes]
    assert len(titles) == 3 * 4
    assert "research use only, not for diagnosis" in figure.get_suptitle()
    for said in ("expert", "segmenter", "FLAIR", "T1C", "axial", "coronal", "sagittal"):
        assert any(said in title for title in titles)


def test_the_slice_shown_is_where_expert_and_segmenter_differ_most() -> None:
    true = np.zeros(SHAPE, dtype=np.uint8)
    true[5:10, 5:15, 5:15] = 2
    drawn = true.copy()
    drawn[12, 3:20, 3:9] = 1
    assert most_different_slice(drawn, true, axis=0) == 12
    assert most_different_slice(true, true, axis=0) == 5
