"""What an evaluated run says of itself: figures, groups, control, calibration, pages, card and manifest."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from bt_node.domain.tumour import TumourType
from bt_node.infer.classifier import load_classifier
from bt_node.infer.networks.build import build_network
from training.classifier import control, gradcam
from training.classifier import evaluate as evaluation_module
from training.classifier.calibration import HALVINGS, calibration_figures, cross_fitted_temperatures
from training.classifier.control import FEATURES, THREE_TUMOURS, TUMOUR_OR_NONE, control_answers, control_figures
from training.classifier.control import histogram_features as features
from training.classifier.evaluate import Answers, evaluate, told
from training.classifier.export import export
from training.classifier.gradcam import chosen_cases, write_pages
from training.classifier.groups import Grouping, grouped
from training.classifier.loop import BEST, Data
from training.classifier.metrics import scores, softmax, summary, tumour_or_none_balanced_accuracy
from training.classifier.pictures import CLASSES, Pictures
from training.classifier.recipe import ClassifierRecipe
from training.classifier.report import write_report
from training.classifier.wording import control_told, intervals_told
from training.runs import save_tensors, write_json

SIDE = 32
NONE = CLASSES.index(TumourType.NONE)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(control, "_TREES", 40)


def pictures(per_class: int, seed: int = 0, *, bright_tumours: bool = True) -> Pictures:
    """Noise; with `bright_tumours` its tone alone tells a tumour from none."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(CLASSES)), per_class)
    base = np.where((labels != NONE) & bright_tumours, 140, 40)
    grey = base[:, None, None] + generator.integers(0, 60, (len(labels), SIDE, SIDE))
    names = tuple(f"{CLASSES[label].value}/{n:04d}.png" for n, label in enumerate(labels))
    return Pictures(grey.astype(np.uint8), labels.astype(np.int64), names, "pictures")


def noisy_logits(labels: NDArray[np.int64], seed: int = 0, sharpness: float = 1.0) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    return sharpness * (2.0 * np.eye(len(CLASSES))[labels] + generator.normal(size=(len(labels), len(CLASSES))))


def recipe(**output: bool) -> ClassifierRecipe:
    return ClassifierRecipe.model_validate(
        {
            "name": "toy",
            "version": "1",
            "seed": 1,
            "data": {},
            "network": {"architecture": "efficientnet_b0", "arguments": {"dropout": 0.0}},
            "input": {"size": SIDE},
            "output": output,
            "stages": [{"epochs": 1, "size": SIDE}],
        }
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with random weights whose answers differ from picture to picture, and two epochs of metrics."""
    torch.manual_seed(3)
    network = build_network("efficientnet_b0", {"classes": 4, "dropout": 0.0})
    folder = tmp_path / "run"
    folder.mkdir()
    save_tensors(folder / BEST, network.state_dict(), {"epoch": 2})
    (folder / "metrics.csv").write_text(
        "step,size,loss,val_nll,val_balanced,val_three_tumours\n1,16,1.5,1.4,0.3,0.3\n2,32,1.0,1.2,0.5,0.4\n"
    )
    return folder


def test_precision_recall_f1_and_auc_are_those_counted_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, 1, NONE])
    named = np.array([0, 0, 1, 1, NONE, NONE])
    found = scores(np.eye(4)[named] * 3.0, labels, 1.0)
    assert found["precision.glioma"] == pytest.approx(1.0)
    assert found["recall.glioma"] == pytest.approx(2 / 3)
    assert found["f1.meningioma"] == pytest.approx(0.5)
    assert found["macro_precision"] == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    assert found["auc.no_tumour"] == pytest.approx(0.9)  # 4 of 5 others below it, one tied
    assert "recall.pituitary" not in found
    assert summary(np.eye(4)[named], labels, 1.0)["recall"]["pituitary"] is None


def test_the_question_tumour_or_none_forgives_the_wrong_type() -> None:
    labels, named = np.array([0, 1, 2, NONE, NONE]), np.array([1, 2, NONE, NONE, 0])
    assert tumour_or_none_balanced_accuracy(labels, named) == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert tumour_or_none_balanced_accuracy(labels[:3], named[:3]) is None


def test_the_brier_score_runs_from_0_to_2() -> None:
    labels = np.arange(4)
    assert scores(np.eye(4) * 1000.0, labels, 1.0)["brier"] == pytest.approx(0.0)
    assert scores(np.eye(4)[[1, 2, 3, 0]] * 1000.0, labels, 1.0)["brier"] == pytest.approx(2.0)
    assert scores(np.zeros((4, 4)), labels, 1.0)["brier"] == pytest.approx(0.75**2 + 3 * 0.25**2)


def test_a_temperature_is_never_fitted_on_the_groups_that_it_calibrates() -> None:
    labels = np.tile(np.arange(4), 60)
    groups = [f"g{k // 12}" for k in range(len(labels))]
    logits = noisy_logits(labels, sharpness=4.0)
    found = cross_fitted_temperatures(logits, labels, groups)
    assert found is not None
    first = found[:, 0]
    assert len(np.unique(first)) == 2
    by_group = {group: {float(first[k]) for k in range(len(labels)) if groups[k] == group} for group in groups}
    assert all(len(values) == 1 for values in by_group.values())
    spoilt = np.where((first == first[0])[:, None], -logits, logits)  # turn one half upside down
    again = cross_fitted_temperatures(spoilt, labels, groups)
    assert again is not None
    changed = ~np.isclose(again[:, 0], first)
    assert (changed == (first != first[0])).all()  # only the *other* half's temperature moved
    figures = calibration_figures(logits, labels, found)
    single = [calibration_figures(logits, labels, found[:, [k]])["ece_cross_fitted"] for k in range(found.shape[1])]
    assert len(single) == HALVINGS
    assert figures["ece_cross_fitted"] == pytest.approx(np.mean(single))
    assert figures["ece_cross_fitted"] < scores(logits, labels, 1.0)["ece_uncalibrated"]  # type: ignore[operator]


def test_one_group_cannot_be_halved() -> None:
    labels = np.tile(np.arange(4), 5)
    assert cross_fitted_temperatures(noisy_logits(labels), labels, ["only"] * 20) is None


def test_files_without_patients_are_grouped_in_blocks_of_their_numbers_class_by_class() -> None:
    found = grouped(pictures(50))
    assert found.count == 4 * 3
    assert found.groups[0] == found.groups[19] != found.groups[20]
    assert found.groups[50].startswith("meningioma")
    assert "20 consecutive" in found.words


def test_groups_that_the_data_names_are_taken_as_they_are() -> None:
    some = pictures(4)
    clusters = tuple(f"p{n // 2}" for n in range(16))
    named = Pictures(some.grey, some.labels, some.names, "pictures", clusters)
    assert grouped(named).groups == clusters
    alone = Pictures(some.grey, some.labels, some.names, "pictures", tuple(f"p{n}" for n in range(16)))
    assert grouped(alone, known=True).groups == alone.groups
    assert grouped(alone).count == 4  # a few strangers in consecutive files


def test_slices_whose_case_is_unknown_are_one_group_rather_than_many() -> None:
    slices = Pictures(
        np.zeros((9, 8, 8), np.uint8), np.zeros(9, np.int64), tuple(f"slice-{n}" for n in range(9)), "volumes"
    )
    assert grouped(slices).count == 1


def test_histogram_numbers_know_tones_and_nothing_else() -> None:
    grey = pictures(2).grey
    shuffled = grey.copy().reshape(len(grey), -1)
    np.random.default_rng(0).shuffle(shuffled, axis=1)
    found = features(grey)
    assert found.shape == (8, len(FEATURES)) == (8, 11)
    assert np.allclose(found, features(shuffled.reshape(grey.shape)))
    flat = grey[0].ravel() / 255.0
    assert found[0, 5] == pytest.approx(flat.mean())
    assert found[0, 6] == pytest.approx(flat.std())
    assert found[0, 2] == pytest.approx(np.percentile(flat, 50), abs=1 / 255)


def test_the_control_finds_a_confound_of_tone_and_no_tumour_types_in_noise() -> None:
    train, validation = pictures(30, 0), pictures(20, 1)
    figures = control_figures(control_answers(train, validation), validation.labels)
    assert figures[TUMOUR_OR_NONE] == pytest.approx(1.0)
    assert figures[THREE_TUMOURS] == pytest.approx(1 / 3, abs=0.2)
    plain = pictures(20, 1, bright_tumours=False)
    answers = control_answers(pictures(30, 0, bright_tumours=False), plain)
    assert control_figures(answers, plain.labels)[TUMOUR_OR_NONE] == pytest.approx(0.5, abs=0.2)


def answers(per_class: int = 80) -> Answers:
    validation = pictures(per_class, 1)
    grouping = grouped(validation)
    logits = noisy_logits(validation.labels)
    tones = control_answers(pictures(10, 0), validation)
    crossed = cross_fitted_temperatures(logits, validation.labels, grouping.groups)
    return Answers(validation, logits, grouping, 1.0, crossed, tones)


def test_each_figure_lies_inside_its_interval_and_the_share_of_confound_is_told() -> None:
    numbers = told(answers(), resamples=60)
    assert numbers["groups"] == 16
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "ece_cross_fitted", "brier"):
        low, high = numbers["intervals"][name]
        assert low < high
    for name in ("accuracy", "macro_auc", "brier"):
        low, high = numbers["intervals"][name]
        assert low <= numbers[name] <= high
    assert numbers["intervals"]["control.balanced_accuracy_tumour_or_none"] == [1.0, 1.0]
    assert {"recall.glioma", "precision.pituitary", "auc.no_tumour"} <= set(numbers["intervals"])
    text = control_told(numbers)
    assert text is not None
    assert 'For "tumour or none", tones alone reach 100% of what the network shows above chance' in text
    assert "blocks of 20" in intervals_told(numbers)


def test_too_few_groups_are_said_instead_of_a_narrow_interval() -> None:
    numbers = told(answers(per_class=20), resamples=60)
    assert numbers["intervals"] == {}
    assert "No intervals: a class has fewer than 4 groups" in intervals_told(numbers)


def test_pages_show_right_answers_from_unsure_to_sure_and_the_surest_wrong_ones_first() -> None:
    labels = np.zeros(30, dtype=np.int64)
    probabilities = softmax(noisy_logits(labels, sharpness=2.0))
    right, wrong = chosen_cases(probabilities, labels, 0)
    assert len(right) == 4
    assert [case.probability for case in right] == sorted(case.probability for case in right)
    assert {case.named for case in right} == {0}
    assert wrong
    assert all(case.named != 0 for case in wrong)
    assert [case.probability for case in wrong] == sorted((case.probability for case in wrong), reverse=True)
    assert chosen_cases(probabilities, labels, 2) == ([], [])


class SpotFinder(torch.nn.Module):
    """Class 0 speaks where the picture is bright."""

    last_features = "features.0"

    def __init__(self) -> None:
        super().__init__()
        self.features = torch.nn.Sequential(torch.nn.AvgPool2d(4))
        self.weight = torch.nn.Parameter(torch.tensor([1.0, 0.0, 0.0, 0.0]))

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return self.features(picture).mean((1, 2, 3))[:, None] * self.weight


def test_the_map_is_bright_where_the_network_looked_and_the_network_keeps_no_hooks(tmp_path: Path) -> None:
    network = SpotFinder()
    picture = torch.zeros(1, 3, SIDE, SIDE)
    picture[:, :, 4:12, 20:28] = 1.0
    found = gradcam.activation_map(gradcam._grad_cam(network), picture, 0)
    assert found.shape == (SIDE, SIDE)
    assert found[4:12, 20:28].mean() > 0.7
    assert found[20:].max() < 0.1
    assert not network.features[0]._forward_hooks
    some = pictures(2)
    pages = write_pages(network, some, softmax(noisy_logits(some.labels)), "head-imagenet", tmp_path, print)
    assert [page.name for page in pages] == [f"gradcam-{kind.value}.png" for kind in CLASSES]


@pytest.mark.parametrize("architecture", ["vgg16", "resnet50", "efficientnet_b0"])
def test_each_backbone_names_its_last_layer_with_places(architecture: str) -> None:
    with torch.device("meta"):
        network = build_network(architecture, {"classes": 4}).eval()
        shapes = []
        layer = network.get_submodule(str(network.last_features))
        layer.register_forward_hook(lambda _module, _given, output: shapes.append(tuple(output.shape)))
        network(torch.zeros(1, 3, 224, 224))
    channels = {"vgg16": (512, 14, 14), "resnet50": (2048, 7, 7), "efficientnet_b0": (1280, 7, 7)}
    assert shapes == [(1, *channels[architecture])]


def test_a_run_becomes_a_report_a_card_and_a_manifest_that_tell_the_same_figures(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = recipe(mirror_average=True)
    monkeypatch.setattr(gradcam, "WRONG", 2)
    train, some = pictures(6, 0), pictures(12, 1)
    # Four patients of each class, three pictures each: enough for intervals, few enough for a quick test.
    patients = tuple(f"patient {place // 3}" for place in range(len(some)))
    validation = Pictures(some.grey, some.labels, some.names, some.source, patients)
    device = torch.device("cpu")
    facts = {"split_sha256": "ab" * 32, "guard": {"patients": "unknown", "words": "Leakage guard: 7 pairs dropped."}}
    write_json(run / "data.json", facts)
    evaluation = evaluate(wanted, Data(train, validation), run, device, resamples=20)
    numbers = evaluation.metrics["pictures"]

    folder = write_report(wanted, evaluation, run)
    for name in ("confusion", "roc", "reliability", "curves", *(f"gradcam-{kind.value}" for kind in CLASSES)):
        with Image.open(folder / f"{name}.png") as image:
            assert min(image.size) > 200
    report = (folder / "report.md").read_text()
    assert "For research use only, not for diagnosis" in report
    assert f"{numbers['accuracy']:.3f}" in report
    rows = list(csv.DictReader((folder / "report.csv").open()))
    recall = next(row for row in rows if (row["figure"], row["class"]) == ("recall", "glioma"))
    assert float(recall["value"]) == numbers["recall"]["glioma"]
    assert [float(recall["low"]), float(recall["high"])] == numbers["intervals"]["recall.glioma"]
    assert json.loads((folder / "report.json").read_text())["pictures"] == json.loads(json.dumps(numbers))

    release = export(wanted, evaluation.metrics, facts, run, tmp_path / "toy-1", "the command")
    assert sorted(path.name for path in release.folder.iterdir()) == [
        "MODEL_CARD.md",
        "manifest.toml",
        "weights.safetensors",
    ]  # no picture leaves the run
    card = (release.folder / "MODEL_CARD.md").read_text()
    low, high = numbers["intervals"]["balanced_accuracy"]
    assert f"balanced accuracy {numbers['balanced_accuracy']:.3f} [{low:.3f}, {high:.3f}]" in card
    assert "How much is confound" in card
    for text in (card, report):
        assert "ab" * 32 in text
        assert "7 pairs dropped" in text
    manifest = tomllib.loads((release.folder / "manifest.toml").read_text())
    kept = manifest["training"]["metrics"]["pictures"]
    assert kept["intervals"]["balanced_accuracy"] == [round(low, 4), round(high, 4)]
    assert manifest["training"]["guard"]["patients"] == "unknown"
    assert kept["control"]["balanced_accuracy_tumour_or_none"] == 1.0
    assert manifest["output"]["mirror_average"] is True
    assert release.identity.weights_sha256 == evaluation.metrics["weights_sha256"]

    # What was measured is what the node computes, mirror image included.
    node = load_classifier(release, device).logits(validation.grey[:6].astype(np.float32) / 255.0)
    assert node == pytest.approx(evaluation.parts["pictures"].logits[:6], rel=1e-3, abs=1e-12)

    # Telling it again needs no network; other weights or another way to answer would.
    monkeypatch.setattr(evaluation_module, "picture_logits", None)
    again = evaluate(wanted, Data(train, validation), run, device, resamples=20)
    assert again.metrics == evaluation.metrics
    with pytest.raises(TypeError):
        evaluate(recipe(mirror_average=False), Data(train, validation), run, device, resamples=20)


def test_a_grouping_counts_its_groups() -> None:
    assert Grouping(("a", "a", "b"), "patients").count == 2
