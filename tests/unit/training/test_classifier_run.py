"""The classifier's training, end to end, on generated shapes of four kinds."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from bt_node.infer.classifier import load_classifier, read_picture
from bt_node.infer.networks.build import build_network
from bt_node.infer.picture import to_network
from bt_node.infer.release import read_release
from training.__main__ import main
from training.classifier.commands import load_data
from training.classifier.loop import LAST, Trainer, draw_epoch, expected_counts, mix, resized
from training.classifier.pictures import CLASSES, DataError
from training.classifier.pretrained import load_pretrained
from training.classifier.recipe import ClassifierRecipe, RecipeError, read_recipe
from training.classifier.tables import read_table
from training.classifier.toy import draw_head

RECIPE = """
name = "toy"
version = "1"
seed = 5
[data]
[[data.sources]]
name = "generated shapes"
classes = ["glioma", "meningioma", "pituitary", "no_tumour"]
citation = "none"
licence = "Apache-2.0"
[network]
architecture = "efficientnet_b0"
[network.arguments]
dropout = 0.0
stochastic_depth = 0.0
[input]
size = 32
[sampling]
batch = 8
[augmentation]
rotation_deg = 5.0
gamma = 0.1
[[stages]]
epochs = {epochs}
size = 32
[optimiser]
learning_rate = 2e-3
warmup_steps = 10
ema_decay = 0.9
patience = 20
"""


def write_data(folder: Path, train: int = 16, validation: int = 4) -> Path:
    """A data folder in the layout of split.csv."""
    pictures = folder / "classification"
    generator = np.random.default_rng(1)
    rows = []
    for kind in CLASSES:
        (pictures / kind.value).mkdir(parents=True)
        for number in range(train + validation):
            name = f"{kind.value}/{number:04d}.png"
            Image.fromarray(draw_head(kind, generator, side=48)).save(pictures / name)
            rows.append([name, kind.value, number, "train" if number < train else "val"])
    with (pictures / "split.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "class", "number", "split"], *rows])
    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


def toy_recipe(folder: Path, epochs: int) -> ClassifierRecipe:
    path = folder / "recipe.toml"
    path.write_text(RECIPE.format(epochs=epochs))
    return read_recipe(path)


def trainer(recipe: ClassifierRecipe, data_folder: Path, run: Path) -> Trainer:
    run.mkdir(exist_ok=True)
    data, _ = load_data(recipe, data_folder, run / "cache")
    return Trainer(recipe, data, run, torch.device("cpu"))


def test_the_three_commands_turn_a_folder_into_a_release_that_the_node_loads(
    tmp_path: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_recipe(tmp_path, epochs=3)
    shared = ["--recipe", f"{tmp_path}/recipe.toml", "--data", str(data_folder), "--run", f"{tmp_path}/run"]
    shared += ["--threads", "1", "--device", "cpu"]
    assert main(["classifier", "train", *shared]) == 0
    assert main(["classifier", "evaluate", *shared]) == 0
    assert main(["classifier", "export", *shared, "--release", f"{tmp_path}/toy-1"]) == 0

    with (tmp_path / "run/metrics.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    release = read_release(tmp_path / "toy-1")
    classifier = load_classifier(release, torch.device("cpu"))
    rows = [entry for entry in read_table(data_folder / "classification") if entry.split == "val"]
    named = [classifier.classify([read_picture(data_folder / "classification" / row.path)]).top for row in rows]
    confusion = np.zeros((4, 4), dtype=int)
    for row, answer in zip(rows, named, strict=True):
        confusion[CLASSES.index(row.kind), CLASSES.index(answer)] += 1
    # The released half-precision weights, through the node's own door, make the confusion matrix that was told.
    assert confusion.tolist() == metrics["pictures"]["confusion"]
    card = (tmp_path / "toy-1/MODEL_CARD.md").read_text()
    assert f"balanced accuracy {metrics['pictures']['balanced_accuracy']:.3f}" in card
    assert "not for diagnosis" in card
    told = capsys.readouterr().out
    assert "best: epoch" in told
    for said in ("step 20/", "s/step", " left", "validation balanced accuracy", "epoch 3/3: size 32  loss"):
        assert said in told
    with Image.open(tmp_path / "run/curves.png") as curves:
        assert len(np.unique(np.asarray(curves.convert("RGB")).reshape(-1, 3), axis=0)) > 10


def test_pictures_are_learnt_by_heart(tmp_path: Path, data_folder: Path) -> None:
    """What a toy run makes of unseen pictures hangs on the processor; that it learns these eight does not."""
    learner = trainer(toy_recipe(tmp_path, epochs=3), data_folder, tmp_path / "run")
    kinds = learner.data.train.labels
    chosen = np.concatenate([np.flatnonzero(kinds == kind)[:2] for kind in range(len(CLASSES))])
    pictures, truth = resized(learner.data.train.grey[chosen], 32), torch.from_numpy(kinds[chosen])
    learner._set_learning(frozen=False)
    losses = [learner._step(pictures, (truth, truth), 1.0, step) for step in range(24)]
    assert losses[-1] < 0.5 * losses[0]
    with torch.no_grad():
        logits = learner.network(to_network(pictures, learner.recipe.input.normalisation))
    assert logits.argmax(dim=1).tolist() == truth.tolist()


def test_a_run_that_was_cut_off_and_resumed_ends_with_the_same_weights(tmp_path: Path, data_folder: Path) -> None:
    recipe = toy_recipe(tmp_path, epochs=3)
    trainer(recipe, data_folder, tmp_path / "whole").train()

    class CutOffError(Exception):
        pass

    cut = trainer(recipe, data_folder, tmp_path / "cut")
    epoch_of = cut._epoch

    def until_the_third(epoch: int, *shown: Any) -> float:
        if epoch == 2:
            raise CutOffError
        return epoch_of(epoch, *shown)

    cut._epoch = until_the_third  # type: ignore[method-assign]
    with pytest.raises(CutOffError):
        cut.train()
    trainer(recipe, data_folder, tmp_path / "cut").train()

    whole, resumed = load_file(tmp_path / "whole" / LAST), load_file(tmp_path / "cut" / LAST)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert (tmp_path / "whole/metrics.csv").read_text() == (tmp_path / "cut/metrics.csv").read_text()


def test_a_run_folder_of_another_recipe_is_not_touched(
    tmp_path: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/recipe.json").write_text('{"name": "other"}')
    toy_recipe(tmp_path, epochs=1)
    arguments = ["--recipe", f"{tmp_path}/recipe.toml", "--data", str(data_folder), "--run", f"{tmp_path}/run"]
    assert main(["classifier", "train", *arguments, "--threads", "1"]) == 2
    assert "another recipe" in capsys.readouterr().err
    assert (tmp_path / "run/recipe.json").read_text() == '{"name": "other"}'


def test_evaluate_and_export_say_what_must_come_first(
    tmp_path: Path, data_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_recipe(tmp_path, epochs=1)
    shared = ["--recipe", f"{tmp_path}/recipe.toml", "--data", str(data_folder), "--run", f"{tmp_path}/run"]
    assert main(["classifier", "evaluate", *shared]) == 2
    assert "train first" in capsys.readouterr().err
    assert main(["classifier", "export", *shared, "--release", f"{tmp_path}/x"]) == 2
    assert "evaluate first" in capsys.readouterr().err


def test_an_epoch_shows_each_tumour_once_and_the_weights_balance_the_classes(
    tmp_path: Path, data_folder: Path
) -> None:
    recipe = toy_recipe(tmp_path, epochs=1)
    recipe = recipe.model_copy(update={"sampling": recipe.sampling.model_copy(update={"no_tumour_pictures": 8})})
    built = trainer(recipe, data_folder, tmp_path / "run")
    counts = expected_counts(built.data, recipe.sampling)
    assert counts == [16, 16, 16, 8]
    assert (built.weights * torch.tensor(counts)).tolist() == pytest.approx([14.0] * 4)
    shown = np.concatenate(
        [labels for _, labels in draw_epoch(built.data, recipe.sampling, np.random.default_rng(0))]
    )
    assert len(shown) == 56  # seven whole batches of 8


def test_all_pictures_that_cannot_be_used_are_named_together(tmp_path: Path) -> None:
    folder = write_data(tmp_path, train=2, validation=1)
    (folder / "classification/glioma/0000.png").write_text("no picture")
    Image.fromarray(np.zeros((40, 40), dtype=np.uint8)).save(folder / "classification/pituitary/0001.png")
    with pytest.raises(DataError, match=r"(?s)2 picture\(s\).*glioma/0000.*pituitary/0001"):
        load_data(toy_recipe(tmp_path, epochs=1), folder, tmp_path / "cache")


def test_a_recipe_with_mistakes_lists_them_all(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(epochs=0).replace("gamma = 0.1", "gama = 0.1"))
    with pytest.raises(RecipeError, match=r"(?s)mistake\(s\).*gama.*epochs"):
        read_recipe(path)


def test_the_released_recipes_are_sound_and_end_at_the_size_that_the_node_shows() -> None:
    folder = Path(__file__).parents[3] / "training/recipes"
    parts = ("classifier", "classifier-224", "classifier-sources")
    small, full, last = (read_recipe(folder / f"{name}.toml") for name in parts)
    assert {last.size_in(epoch) for epoch in range(last.epochs)} == {224}
    assert last.network == full.network
    assert small.size_in(0) < small.size_in(small.epochs - 1) < 224
    assert {full.size_in(epoch) for epoch in range(full.epochs)} == {full.input.size} == {224}
    assert small.data == full.data
    assert small.network == full.network
    brought = read_recipe(folder / "classifier-imagenet.toml")
    assert [stage.frozen for stage in brought.stages] == [True, False]
    assert (brought.optimiser.algorithm, brought.optimiser.learning_rate) == ("adam", 1e-4)


@pytest.mark.parametrize("algorithm", ["adam", "adamw"])
def test_the_recipe_chooses_how_weights_decay(tmp_path: Path, data_folder: Path, algorithm: str) -> None:
    recipe = toy_recipe(tmp_path, epochs=1)
    chosen = recipe.model_copy(update={"optimiser": recipe.optimiser.model_copy(update={"algorithm": algorithm})})
    optimiser = trainer(chosen, data_folder, tmp_path / "run").optimiser
    assert type(optimiser).__name__.lower() == algorithm


def test_in_a_frozen_stage_only_the_last_layer_learns(tmp_path: Path, data_folder: Path) -> None:
    recipe = toy_recipe(tmp_path, epochs=1)
    frozen = recipe.model_copy(update={"stages": (recipe.stages[0].model_copy(update={"frozen": True}),)})
    changed = {}
    for name, wanted in (("frozen", frozen), ("free", recipe)):
        run = trainer(wanted, data_folder, tmp_path / name)
        before = {key: value.clone() for key, value in run.network.state_dict().items()}
        run.train()
        after = run.network.state_dict()
        changed[name] = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed["frozen"] == {"classifier.1.weight", "classifier.1.bias"}
    assert changed["free"] == set(before)


def test_mixup_blends_pictures_with_their_partners_and_repeats() -> None:
    pictures = torch.eye(6)[:, :, None] * torch.ones(1, 1, 4)
    first, second = (mix(pictures, 0.4, torch.Generator().manual_seed(2)) for _ in range(2))
    blended, others, share = first
    assert torch.equal(blended, second[0])
    assert sorted(others.tolist()) == list(range(6))
    assert 0 < share < 1
    assert torch.allclose(blended, share * pictures + (1 - share) * pictures[others])
    assert mix(pictures, 0.0, torch.Generator())[2] == 1.0


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_imagenet_weights_fill_everything_but_the_last_layer(tmp_path: Path, suffix: str) -> None:
    given = build_network("efficientnet_b0", {"classes": 1000}).state_dict()
    path = tmp_path / f"imagenet.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(given, path)
    network = build_network("efficientnet_b0", {"classes": 4})
    head = network.classifier[1].weight.clone()
    sha256 = load_pretrained(network, path)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    filled = network.state_dict()
    assert torch.equal(filled["classifier.1.weight"], head)
    assert all(torch.equal(filled[name], given[name]) for name in given if not name.startswith("classifier."))


class Sly:
    """What a pickle may hold besides weights: a call that runs when it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this ran",)


def test_a_weights_file_that_holds_more_than_tensors_is_refused_and_runs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"conv1.weight": Sly()}, tmp_path / "sly.pth")
    with pytest.raises(DataError, match="does not hold plain weights"):
        load_pretrained(build_network("efficientnet_b0", {"classes": 4}), tmp_path / "sly.pth")
    assert "this ran" not in capsys.readouterr().out


def test_weights_of_another_backbone_are_refused_with_names(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "resnet.safetensors")
    network = build_network("efficientnet_b0", {"classes": 4})
    with pytest.raises(DataError, match=r"does not fit EfficientNetB0: .* more"):
        load_pretrained(network, tmp_path / "resnet.safetensors")
