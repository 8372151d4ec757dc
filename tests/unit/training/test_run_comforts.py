"""A run folder survives a disk that fills; progress says how long; recipes and toy cases serve a newcomer."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from bt_node.infer.networks.build import build_network
from training.__main__ import main
from training.progress import Display, Pace, duration
from training.runs import CheckpointError, DiskFullError, MetricsTable, load_tensors, save_tensors, write_atomically
from training.segmenter.cases import find_cases
from training.segmenter.curves import draw_curves
from training.segmenter.optimise import learning_rate, make_optimiser
from training.segmenter.outlook import peak_memory
from training.segmenter.reading import read_images, read_labels
from training.segmenter.recipe import RecipeError, SegmenterRecipe, read_recipe, with_architecture, with_fold
from training.segmenter.run_folder import BEST, RunMismatchError, check_run_folder, claim_run_folder, draw_split
from training.segmenter.split import Split
from training.segmenter.toy import write_toy_cases
from training.segmenter.train import Trainer

RECIPES = Path(__file__).resolve().parents[3] / "training" / "recipes"
SEGMENTERS = sorted(RECIPES.glob("segmenter*.toml"))


# ---------------------------------------------------------------- a disk that fills


def test_a_file_that_does_not_fit_leaves_the_old_one_and_no_half(small_disk: Path) -> None:
    path = small_disk / "checkpoint.safetensors"
    save_tensors(path, {"w": torch.ones(1000)}, {"step": 5})
    with pytest.raises(DiskFullError, match=r"No space.*checkpoint.*7\.6 MiB.*same command again"):
        save_tensors(path, {"w": torch.ones(2_000_000)}, {"step": 6})
    tensors, state = load_tensors(path)
    assert state == {"step": 5}
    assert tensors["w"].shape == (1000,)
    assert [file.name for file in small_disk.iterdir()] == ["checkpoint.safetensors"]


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)


@pytest.mark.usefixtures("full_disk")
def test_a_training_command_on_a_full_disk_ends_with_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_toy_cases(tmp_path / "data", 2)
    arguments = ["--recipe", str(RECIPES / "segmenter-toy.toml"), "--data", str(tmp_path / "data")]
    assert main(["segmenter", "train", *arguments, "--run", str(tmp_path / "run"), "--device", "cpu"]) == 2
    assert "No space is left on the disk" in capsys.readouterr().err
    assert [path for path in (tmp_path / "run").rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("full_disk")
def test_a_disk_that_says_so_only_at_the_end_is_heard(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(DiskFullError):
        write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_other_faults_of_a_disk_are_not_called_full(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "nowhere" / "file", b"new")


def test_a_metrics_row_is_whole_or_absent(small_disk: Path) -> None:
    table = MetricsTable(small_disk / "metrics.csv", ("step", "word"))
    table.append({"step": 1, "word": "a"})
    with pytest.raises(DiskFullError):
        table.append({"step": 2, "word": "x" * 2_000_000})
    table.append({"step": 3, "word": "b"})
    assert [row["step"] for row in table.rows()] == ["1", "3"]


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_tensors(path, {"w": torch.ones(1000)}, {"step": 5})
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="is damaged"):
        load_tensors(path)


# ---------------------------------------------------------------- run folder and split


def recipe_with(**data: object) -> SegmenterRecipe:
    recipe = read_recipe(RECIPES / "segmenter.toml")
    table = recipe.data.model_dump() | {"validation_cases": None} | data
    return SegmenterRecipe.model_validate(recipe.model_dump() | {"data": table})


def test_a_run_from_before_the_newest_keys_is_still_the_same_run(tmp_path: Path) -> None:
    recipe, split = read_recipe(RECIPES / "segmenter.toml"), Split(("a",), ("b",))
    claim_run_folder(tmp_path, recipe, split)
    stored = (tmp_path / "recipe.json").read_text(encoding="utf-8")
    older = "\n".join(
        line for line in stored.splitlines() if '"schedule"' not in line and '"label_scheme"' not in line
    )
    (tmp_path / "recipe.json").write_text(older, encoding="utf-8")
    check_run_folder(tmp_path, recipe, split)
    with pytest.raises(RunMismatchError, match="another recipe"):
        check_run_folder(tmp_path, with_architecture(recipe, "segresnet"), split)
    with pytest.raises(RunMismatchError, match="other cases"):
        check_run_folder(tmp_path, recipe, Split(("b",), ("a",)))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "name one of"),
        ({"validation_cases": 1, "folds": 5}, "name one of"),
        ({"folds": 5, "fold": 5}, "fold must be 0 to 4"),
        ({"validation_cases": 1, "fold": 1}, "fold must be 0 to 0"),
    ],
)
def test_a_recipe_says_in_one_way_who_validates(data: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        recipe_with(**data)


def test_each_way_to_split_draws_its_own(tmp_path: Path) -> None:
    for name in "ABCDEF":
        (tmp_path / name).mkdir()
        for suffix in ("t1", "t1ce", "t2", "flair", "seg"):
            (tmp_path / name / f"{name}_{suffix}.nii.gz").touch()
    cases = find_cases(tmp_path).cases
    assert draw_split(recipe_with(validation=["C", "E"]), cases).validation == ("C", "E")
    assert len(draw_split(recipe_with(validation_cases=1), cases).validation) == 1
    folds = [draw_split(with_fold(recipe_with(folds=3), fold), cases) for fold in range(3)]
    assert sorted(name for split in folds for name in split.validation) == list("ABCDEF")
    with pytest.raises(RecipeError, match="folds"):
        with_fold(recipe_with(validation_cases=1), 1)


# ---------------------------------------------------------------- recipes


@pytest.mark.parametrize("path", SEGMENTERS, ids=lambda path: path.stem)
def test_each_shipped_recipe_is_sound_and_its_network_answers(path: Path) -> None:
    recipe = read_recipe(path)
    arguments = dict(recipe.network.arguments)
    if "patch" in arguments:  # the dense layers of the paper's size are large: the same network, a smaller patch
        arguments |= {"patch": [32, 32, 32], "initial_filters": 8}
    network = build_network(recipe.network.architecture, arguments).eval()
    with torch.inference_mode():
        logits = network(torch.zeros(1, len(recipe.data.roles), 32, 32, 32))
    assert logits.shape == (1, arguments["out_channels"], 32, 32, 32)


@pytest.mark.parametrize("architecture", ["unet", "segresnet", "segresnet_vae"])
def test_another_architecture_is_one_option(architecture: str) -> None:
    recipe = with_architecture(read_recipe(RECIPES / "segmenter-toy.toml"), architecture)
    network = build_network(recipe.network.architecture, recipe.network.arguments)
    assert sum(weight.numel() for weight in network.parameters()) > 1e5
    with pytest.raises(RecipeError, match="known are unet"):
        with_architecture(recipe, "dragon")


def test_a_vae_whose_patch_is_not_the_training_patch_is_refused() -> None:
    recipe = read_recipe(RECIPES / "segmenter-segresnet-vae.toml")
    sampling = recipe.sampling.model_dump() | {"patch": (64, 64, 64)}
    with pytest.raises(ValueError, match=r"must be sampling.patch \[64, 64, 64\]"):
        SegmenterRecipe.model_validate(recipe.model_dump() | {"sampling": sampling})


def test_the_papers_learning_rate_falls_as_the_paper_says() -> None:
    plan = read_recipe(RECIPES / "segmenter-segresnet-vae.toml").optimiser
    epoch = plan.steps / 300
    for done in (0, 100, 299):
        assert learning_rate(plan, round(done * epoch)) == pytest.approx(1e-4 * (1 - done / 300) ** 0.9)
    optimiser = make_optimiser(plan, [torch.nn.Parameter(torch.ones(2))])
    assert type(optimiser) is torch.optim.Adam
    assert optimiser.defaults["weight_decay"] == 1e-5


def test_the_cosine_warms_up_and_ends_at_a_hundredth() -> None:
    plan = read_recipe(RECIPES / "segmenter.toml").optimiser
    assert learning_rate(plan, 0) == pytest.approx(plan.learning_rate / plan.warmup_steps)
    assert learning_rate(plan, plan.warmup_steps) == pytest.approx(plan.learning_rate)
    assert learning_rate(plan, plan.steps) == pytest.approx(plan.learning_rate / 100)


def test_the_best_weights_are_those_of_the_highest_mean_dice(tmp_path: Path) -> None:
    trainer = Trainer(read_recipe(RECIPES / "segmenter-toy.toml"), torch.device("cpu"))
    rows = [{"step": "1", "dice_WT": "0.6", "dice_TC": "0.6", "dice_ET": "0.3"}, {"step": "2"}]
    trainer.step = 1
    trainer._keep_best(tmp_path / BEST, rows[:1])
    trainer.step = 3
    trainer._keep_best(tmp_path / BEST, [*rows, {"step": "3", "dice_WT": "0.9", "dice_TC": "0.3", "dice_ET": "0.2"}])
    assert load_tensors(tmp_path / BEST)[1]["step"] == 1
    trainer._keep_best(tmp_path / BEST, [*rows, {"step": "3", "dice_WT": "0.9", "dice_TC": "0.3", "dice_ET": "0.4"}])
    tensors, state = load_tensors(tmp_path / BEST)
    assert state == {"step": 3, "mean_dice": pytest.approx(1.6 / 3), "validations": 2}
    assert all(name.startswith("average.") for name in tensors)


# ---------------------------------------------------------------- progress, curves, memory


def test_time_left_counts_steps_and_validations(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("training.progress.time.monotonic", lambda: now[0])
    pace = Pace(total=100, done=0, validate_every=50)
    for done, second in ((1, 30.0), (2, 32.0), (3, 34.0)):  # the first step warms up
        now[0] = second
        pace.step(done)
    assert pace.left_seconds() == pytest.approx(97 * 2.0)
    now[0] += 10.0
    pace.validated()
    assert pace.left_seconds() == pytest.approx(97 * 2.0 + 2 * 10.0)


@pytest.mark.parametrize(("seconds", "said"), [(40, "40 s"), (700, "12 min"), (12_000, "3 h 20 min")])
def test_durations_are_for_people(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_without_a_terminal_progress_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(20, 0) as display:
        for step in range(1, 21):
            display.step(step, 0.5, Pace(20, step, 10))
        display.validation(20, "WT 0.900")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("step 10/20  loss 0.500")
    assert "\x1b" not in "".join(lines)


def test_on_a_terminal_a_bar_shows_loss_and_dice(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Display(20, 0) as display:
        display.validation(10, "WT 0.900")
        display.step(11, 0.25, Pace(20, 11, 10))
    shown = screen.getvalue()
    assert "loss 0.250" in shown
    assert "Dice WT 0.900" in shown
    assert "left" in shown


def test_curves_are_drawn_from_the_table_even_before_the_first_validation(tmp_path: Path) -> None:
    rows = [{"step": str(step), "loss": "1.0", "learning_rate": "1e-3", "dice_WT": ""} for step in (10, 20)]
    draw_curves(tmp_path / "before.png", rows, ["WT", "TC", "ET"])
    draw_curves(tmp_path / "after.png", [*rows, {**rows[0], "step": "30", "dice_WT": "0.5"}], ["WT", "TC", "ET"])
    before, after = ((tmp_path / f"{name}.png").read_bytes() for name in ("before", "after"))
    assert before[:8] == after[:8] == b"\x89PNG\r\n\x1a\n"
    assert before != after


def test_peak_memory_is_measured_in_bytes() -> None:
    assert 50e6 < peak_memory() < 1e12


# ---------------------------------------------------------------- toy cases


def test_toy_cases_are_whole_and_hold_every_label(tmp_path: Path) -> None:
    names = write_toy_cases(tmp_path, 1)
    [case] = find_cases(tmp_path).cases
    assert (case.name,) == names
    images = read_images(case, tuple(case.images))
    labels, grid, values = read_labels(case)
    assert values == (0, 1, 2, 4)
    assert all(image.grid.is_close(grid, 0.01) for image in images.values())
    assert (np.any([image.array != 0 for image in images.values()], axis=0)[labels > 0]).all()
