"""Training on two generated cases in seconds: it learns, resumes to the bit, and ends in a release the node loads."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from bt_node.convert.nifti import write_nifti
from bt_node.domain.geometry import Grid, Volume
from bt_node.domain.region import Region
from bt_node.domain.study import Role
from bt_node.infer.networks.build import build_network
from bt_node.infer.release import read_release
from bt_node.infer.segmenter import load_segmenter
from training.__main__ import main
from training.segmenter.cases import CaseError, Split, find_brats2018, split_by_case
from training.segmenter.evaluate import REGIONS, outline, score_case, unreleased
from training.segmenter.export import export
from training.segmenter.folds import read_run
from training.segmenter.origin import begin_from
from training.segmenter.patches import PatchSource
from training.segmenter.prepared import cached_cases, prepare_case
from training.segmenter.recipe import RecipeError, SegmenterRecipe, read_recipe
from training.segmenter.run_folder import cases_of
from training.segmenter.train import CHECKPOINT, DivergedError, RunMismatchError, Trainer, train

CPU = torch.device("cpu")
SHAPE = (116, 114, 118)
NAMES = ("Brats18_Toy_1", "Brats18_Toy_2", "Brats18_Toy_3")
_FILES = {Role.T1: "t1", Role.T1C: "t1ce", Role.T2: "t2", Role.FLAIR: "flair"}

RECIPE = """
name = "toy"
version = "0.0"
seed = 5
[data]
description = "generated ellipsoids"
citation = "nobody"
validation_cases = 1
[network]
architecture = "unet"
[network.arguments]
in_channels = 4
out_channels = 3
channels = [8, 16]
residual_units = 1
bottleneck_dropout = 0.1
[sampling]
patch = [32, 32, 32]
tumour_centred = 0.5
[augmentation]
flip_left_right = 0.5
noise = 0.5
[optimiser]
steps = {steps}
learning_rate = 2e-2
warmup_steps = 2
ema_decay = 0.8
checkpoint_every = 5
validate_every = 1000
[output]
window = [112, 112, 112]
min_component_ml = [0.1, 0.0, 0.0]
"""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def write_toy_case(folder: Path, name: str, seed: int) -> None:
    """A ball of brain (697 ml) with a tumour of three shells: dark core, enhancing rim, bright oedema."""
    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[tuple(slice(n) for n in SHAPE)]
    brain = (z - 57) ** 2 + (y - 56) ** 2 + (x - 58) ** 2 < 55**2
    cz, cy, cx = rng.integers(42, 72, size=3)
    distance = np.sqrt((z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2)
    labels = np.select([distance < 6, distance < 10, distance < 15], [1, 4, 2], 0)
    brightness = {
        Role.T1: (60, 80, 70),
        Role.T1C: (50, 250, 90),
        Role.T2: (200, 150, 220),
        Role.FLAIR: (120, 200, 250),
    }
    (folder / name).mkdir(parents=True)
    for role, (core, enhancing, oedema) in brightness.items():
        shown = np.select([labels == 1, labels == 4, labels == 2], [core, enhancing, oedema], 100)
        image = shown + rng.normal(0, 5, SHAPE).round()  # whole numbers: smaller files, quicker to write
        write(folder / name / f"{name}_{_FILES[role]}.nii.gz", image * brain)
    write(folder / name / f"{name}_seg.nii.gz", labels)


def write(path: Path, array: np.ndarray, origin: tuple[float, float, float] = (0.0, -239.0, 0.0)) -> None:
    write_nifti(path, Volume(array.astype(np.float32), Grid(array.shape, (1.0, 1.0, 1.0), origin)))


@pytest.fixture
def toy_case(toy_data: Path, tmp_path: Path) -> Path:
    """A folder with a copy of one case, free to be damaged; the case's own folder is its only entry."""
    shutil.copytree(toy_data / NAMES[0], tmp_path / "damaged" / NAMES[0])
    return tmp_path / "damaged"


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    for seed, name in enumerate(NAMES):
        write_toy_case(folder, name, seed)
    return folder


def toy_recipe(folder: Path, steps: int) -> Path:
    path = folder / f"recipe-{steps}.toml"
    path.write_text(RECIPE.replace("{steps}", str(steps)), encoding="utf-8")
    return path


def losses(run: Path) -> list[float]:
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="session")
def finished_run(toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    run = tmp_path_factory.mktemp("run")
    train(read_recipe(toy_recipe(run, 20)), toy_data, run, CPU)
    return run


def test_a_patch_is_learnt_by_heart(toy_data: Path, tmp_path: Path) -> None:
    """What a toy run makes of unseen cases hangs on the processor; that it learns these two patches does not."""
    recipe = read_recipe(toy_recipe(tmp_path, 60))
    centred = recipe.sampling.model_copy(update={"tumour_centred": 1.0})
    case = prepare_case(find_brats2018(toy_data)[0], recipe.data.roles)
    images, regions = PatchSource([case], recipe.data.roles, centred, recipe.augmentation, recipe.seed).batch(0)
    trainer = Trainer(recipe, CPU)
    curve = [trainer.train_step(images, regions) for _ in range(60)]
    assert curve[-1] < 0.7 * curve[0]
    with torch.no_grad():
        found = trainer.averaged_network.eval()(images) > 0
    for number, region in enumerate(REGIONS):
        right = regions[:, number] > 0
        dice = 2 * (found[:, number] & right).sum() / (found[:, number].sum() + right.sum())
        assert dice > 0.7, region


class _PowerCutError(Exception):
    pass


def test_an_interrupted_run_resumes_to_the_same_bits(
    toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = read_recipe(toy_recipe(tmp_path, 10))
    train(recipe, toy_data, tmp_path / "straight", CPU)
    undisturbed = PatchSource.batch

    def cut_at_step_7(self: PatchSource, step: int) -> object:
        if step == 7:  # two steps after the last checkpoint: these are done again
            raise _PowerCutError
        return undisturbed(self, step)

    monkeypatch.setattr(PatchSource, "batch", cut_at_step_7)
    with pytest.raises(_PowerCutError):
        train(recipe, toy_data, tmp_path / "broken", CPU)
    monkeypatch.undo()
    train(recipe, toy_data, tmp_path / "broken", CPU)
    straight, broken = (tmp_path / name / CHECKPOINT for name in ("straight", "broken"))
    assert straight.read_bytes() == broken.read_bytes()
    assert losses(tmp_path / "straight") == losses(tmp_path / "broken")


def test_a_loss_that_is_no_number_stops_the_run_before_any_weight_changes(tmp_path: Path) -> None:
    trainer = Trainer(read_recipe(toy_recipe(tmp_path, 5)), CPU)
    before = [parameter.clone() for parameter in trainer.averaged_network.parameters()]
    images = torch.full((1, 4, 16, 16, 16), torch.nan)
    with pytest.raises(DivergedError, match="step 0"):
        trainer.train_step(images, torch.zeros(1, 3, 16, 16, 16))
    assert all(map(torch.equal, before, trainer.averaged_network.parameters()))


def test_where_t1c_is_blank_enhancing_tumour_teaches_nothing(tmp_path: Path) -> None:
    recipe = read_recipe(toy_recipe(tmp_path, 5))
    images = torch.randn((1, 4, 16, 16, 16), generator=torch.Generator().manual_seed(1))
    without, core = torch.zeros(1, 3, 16, 16, 16), torch.zeros(1, 3, 16, 16, 16)
    without[:, :2, 4:12, 4:12, 4:12] = core[:, :, 4:12, 4:12, 4:12] = 1.0

    def learnt(given: torch.Tensor, regions: torch.Tensor) -> list[torch.Tensor]:
        trainer = Trainer(recipe, CPU)
        trainer.train_step(given, regions)
        return [parameter.clone() for parameter in trainer.averaged_network.parameters()]

    blank = images.clone()
    blank[:, recipe.data.roles.index(Role.T1C)] = 0
    assert all(map(torch.equal, learnt(blank, without), learnt(blank, core)))
    assert not all(map(torch.equal, learnt(images, without), learnt(images, core)))


def test_a_run_goes_on_from_a_release_that_does_not_know_its_cases(
    finished_run: Path, toy_data: Path, tmp_path: Path
) -> None:
    release = export(finished_run, toy_data, tmp_path / "release", CPU)
    told = release.manifest.training
    [watched] = told["validation_cases"]
    text = toy_recipe(tmp_path, 1).read_text(encoding="utf-8")
    text = text.replace('architecture = "unet"', f'architecture = "unet"\nstart_from = "{release.folder}"')
    text = text.replace("learning_rate = 2e-2", "learning_rate = 1e-9")
    path = tmp_path / "next.toml"
    path.write_text(text.replace("validation_cases = 1", f'validation = ["{watched}"]'), encoding="utf-8")
    train(read_recipe(path), toy_data, tmp_path / "next", CPU)
    _, first, _ = read_run(finished_run)
    _, then, _ = read_run(tmp_path / "next")
    assert max(float((first[name] - then[name]).abs().max()) for name in first) < 2e-3  # half precision between
    again = export(tmp_path / "next", toy_data, tmp_path / "again", CPU).manifest.training
    assert again["began_from"] == [f"toy 0.0, weights {release.identity.weights_sha256}"]
    assert again["training_case_hashes"] == told["training_case_hashes"]

    trained = next(name for name in NAMES if name != watched)
    path.write_text(text.replace("validation_cases = 1", f'validation = ["{trained}"]'), encoding="utf-8")
    with pytest.raises(RunMismatchError, match=f"was trained on or watched with {trained},"):
        train(read_recipe(path), toy_data, tmp_path / "leaking", CPU)


def test_a_release_to_go_on_from_knows_no_case_kept_apart_not_even_by_watching_it(
    finished_run: Path, toy_data: Path, tmp_path: Path
) -> None:
    release = export(finished_run, toy_data, tmp_path / "release", CPU)
    [watched] = release.manifest.training["validation_cases"]
    begin_from(release.folder, [watched], ["Brats18_Other_1"], tmp_path)
    for apart in NAMES:
        with pytest.raises(RunMismatchError, match=f"watched with {apart},"):
            begin_from(release.folder, [], [apart], tmp_path)


def test_a_patient_kept_apart_is_told_by_the_names_of_all_cases(toy_data: Path, tmp_path: Path) -> None:
    dates = ("Brats18_Toy_9_1", "Brats18_Toy_9_2")
    for name in dates:
        (tmp_path / "data" / name).mkdir(parents=True)
        for file in (toy_data / NAMES[0]).iterdir():
            shutil.copy(file, tmp_path / "data" / name / file.name.replace(NAMES[0], name))
    recipe = read_recipe(toy_recipe(tmp_path, 1)).data.model_copy(update={"kept_apart": ("Brats18_Toy_9",)})
    found = cases_of(recipe, tmp_path / "data")
    assert (found.cases, found.kept_apart) == ((), dates)


def test_a_case_that_the_recipe_keeps_apart_neither_trains_nor_validates(toy_data: Path, tmp_path: Path) -> None:
    recipe = read_recipe(toy_recipe(tmp_path, 1))
    apart = recipe.data.model_copy(update={"kept_apart": (NAMES[1],)})
    assert [case.name for case in cases_of(apart, toy_data).cases] == [NAMES[0], NAMES[2]]
    with pytest.raises(CaseError, match="keeps apart what is not there: Nobody"):
        cases_of(recipe.data.model_copy(update={"kept_apart": ("Nobody",)}), toy_data)


def test_a_release_outlines_exactly_what_its_export_measured(
    finished_run: Path, toy_data: Path, tmp_path: Path
) -> None:
    release = export(finished_run, toy_data, tmp_path / "toy-0.0", CPU)
    again = load_segmenter(read_release(release.folder), CPU)
    [case] = cached_cases(
        [case for case in find_brats2018(toy_data) if case.name in release.manifest.training["validation_cases"]],
        again.roles,
        tmp_path / "cache",
    )
    score = score_case(again, case)
    told = release.manifest.training["metrics"]["dice_by_case"][case.name]
    assert {region.value: round(value, 4) for region, value in score.dice.items()} == told
    assert np.array_equal(outline(again, case), outline(load_segmenter(release, CPU), case))
    card = (release.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    for said in (
        "not for diagnosis",
        release.manifest.training["split_sha256"],
        f"{score.dice[Region.WT]:.3f}",
        "nobody",
    ):
        assert said in card


def test_half_precision_moves_probabilities_by_next_to_nothing(
    finished_run: Path, toy_data: Path, tmp_path: Path
) -> None:
    recipe, weights, _ = read_run(finished_run)
    network = build_network(recipe.network.architecture, recipe.network.arguments)
    network.load_state_dict(weights)
    released = load_segmenter(export(finished_run, toy_data, tmp_path / "toy-0.0", CPU), CPU)
    [case, *_] = cached_cases(find_brats2018(toy_data), released.roles, finished_run / "cache")
    inputs = dict(zip(released.roles, np.asarray(case.inputs, dtype=np.float32), strict=True))
    difference = released.predict(inputs) - unreleased(recipe, network, CPU).predict(inputs)
    assert np.abs(difference).mean() < 2e-3


def test_the_three_commands_make_a_scored_release(
    toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, release = tmp_path / "run", tmp_path / "models" / "toy-0.0"
    data = ["--data", str(toy_data), "--device", "cpu", "--threads", "1"]
    assert main(["segmenter", "train", "--recipe", str(toy_recipe(tmp_path, 2)), "--run", str(run), *data]) == 0
    assert main(["segmenter", "export", "--run", str(run), "--output", str(release), *data]) == 0
    scores = ["--release", str(release), "--output", str(tmp_path / "scores"), "--case", NAMES[0]]
    assert main(["segmenter", "evaluate", *scores, *data]) == 0
    assert (tmp_path / "scores" / f"worst-01-{NAMES[0]}.png").stat().st_size > 10_000
    assert set(json.loads((tmp_path / "scores" / "evaluation.json").read_text())["dice"]) == {"WT", "TC", "ET"}
    assert "left" in capsys.readouterr().out


def test_mistakes_end_with_a_message_and_no_traceback(
    toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(toy_data)]
    missing = ["--recipe", str(tmp_path / "none.toml"), "--run", str(tmp_path / "run")]
    assert main(["segmenter", "train", *missing, *data]) == 2
    assert main(["segmenter", "export", "--run", str(tmp_path), "--output", str(tmp_path / "out"), *data]) == 2
    assert "none.toml" in capsys.readouterr().err
    assert main(["dragon"]) == 2


def test_a_run_folder_takes_no_other_recipe(finished_run: Path, toy_data: Path, tmp_path: Path) -> None:
    with pytest.raises(RunMismatchError, match="another recipe"):
        train(read_recipe(toy_recipe(tmp_path, 61)), toy_data, finished_run, CPU)


def test_all_mistakes_of_a_recipe_come_at_once(tmp_path: Path) -> None:
    path = toy_recipe(tmp_path, 5)
    text = path.read_text().replace("learning_rate = 2e-2", "learning_rate = -1").replace("seed = 5", 'sead = "5"')
    path.write_text(text)
    with pytest.raises(RecipeError, match=r"3 mistake(?s:.)*seed(?s:.)*learning_rate(?s:.)*sead"):
        read_recipe(path)


def test_the_shipped_recipe_is_sound() -> None:
    repository = Path(__file__).resolve().parents[4]
    recipe = read_recipe(repository / "training" / "recipes" / "segmenter.toml")
    assert isinstance(recipe, SegmenterRecipe)


# ---------------------------------------------------------------- cases and split


def test_a_split_is_by_case_and_repeats() -> None:
    names = [f"case{number}" for number in range(15)]
    split = split_by_case(names, 3, seed=1)
    assert len(split.training) == 12
    assert not set(split.training) & set(split.validation)
    assert split == split_by_case(names[::-1], 3, seed=1)
    assert split.sha256 != split_by_case(names, 3, seed=2).sha256


def test_a_case_on_both_sides_of_a_split_is_refused() -> None:
    with pytest.raises(ValueError, match="both sides"):
        Split(("a", "b"), ("b",))


def test_labels_become_the_nodes_own_and_the_brain_is_cropped(toy_data: Path) -> None:
    case = prepare_case(find_brats2018(toy_data)[0], tuple(Role))
    assert set(np.unique(case.labels)) == {0, 1, 2, 3}
    assert case.inputs.shape == (4, 109, 109, 109)
    brain = case.inputs[0].astype(np.float32)[case.inputs[0] != 0]
    assert abs(brain.mean()) < 0.01
    assert abs(brain.std() - 1) < 0.01


def test_a_missing_sequence_is_listed(toy_case: Path) -> None:
    (toy_case / NAMES[0] / f"{NAMES[0]}_t2.nii.gz").unlink()
    with pytest.raises(CaseError, match=f"{NAMES[0]}_t2"):
        find_brats2018(toy_case)


def test_a_label_that_brats_does_not_have_is_refused(toy_case: Path) -> None:
    write(toy_case / NAMES[0] / f"{NAMES[0]}_seg.nii.gz", np.full(SHAPE, 7))
    with pytest.raises(CaseError, match=rf"{NAMES[0]}.*7"):
        prepare_case(find_brats2018(toy_case)[0], tuple(Role))


def test_a_label_that_is_no_whole_number_is_refused(toy_case: Path) -> None:
    write(toy_case / NAMES[0] / f"{NAMES[0]}_seg.nii.gz", np.full(SHAPE, 0.5))
    with pytest.raises(CaseError, match="whole numbers"):
        prepare_case(find_brats2018(toy_case)[0], tuple(Role))


def test_labels_on_another_grid_are_refused(toy_case: Path) -> None:
    write(toy_case / NAMES[0] / f"{NAMES[0]}_seg.nii.gz", np.zeros(SHAPE), origin=(5.0, -239.0, 0.0))
    with pytest.raises(CaseError, match="labels do not lie"):
        prepare_case(find_brats2018(toy_case)[0], tuple(Role))


def test_a_corrupt_image_is_named(toy_case: Path) -> None:
    (toy_case / NAMES[0] / f"{NAMES[0]}_t1.nii.gz").write_bytes(b"not an image")
    with pytest.raises(CaseError, match=NAMES[0]):
        prepare_case(find_brats2018(toy_case)[0], tuple(Role))
