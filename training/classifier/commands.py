"""`python -m training classifier train|evaluate|export --recipe FILE --data DIR --run DIR`."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from bt_node.domain.errors import BtNodeError
from bt_node.infer.device import choose_device, use_threads
from training.bootstrap import RESAMPLES
from training.classifier.evaluate import evaluate
from training.classifier.export import export
from training.classifier.loop import Data, Trainer
from training.classifier.pictures import (
    TRAIN,
    VALIDATION,
    DataError,
    check_split,
    load_pictures,
    read_table,
    split_hash,
)
from training.classifier.plots import RESEARCH_ONLY
from training.classifier.recipe import ClassifierRecipe, RecipeError, read_recipe
from training.classifier.report import write_report
from training.classifier.volumes import load_slices
from training.classifier.wording import key_table
from training.runs import read_json, write_json
from training.segmenter.cases import CaseError, find_brats2018, split_by_case

METRICS, DATA = "metrics.json", "data.json"


def main(arguments: list[str]) -> int:
    """Run one command; 0 is success, 2 a mistake that the message explains."""
    options = _parser().parse_args(arguments)
    try:
        recipe = read_recipe(options.recipe)
        use_threads(options.threads)
        _COMMANDS[options.command](recipe, options)
    except (RecipeError, DataError, CaseError, BtNodeError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def load_data(recipe: ClassifierRecipe, folder: Path, cache: Path) -> tuple[Data, dict[str, object]]:
    """Read, check and frame everything the recipe names; also the facts that manifest and card cite."""
    pictures_folder = folder / recipe.data.pictures
    entries = read_table(pictures_folder)
    check_split(pictures_folder, entries)
    size = recipe.input.size
    train = load_pictures(pictures_folder, entries, TRAIN, size, cache)
    validation = load_pictures(pictures_folder, entries, VALIDATION, size, cache)
    facts: dict[str, object] = {"split_sha256": split_hash(entries)}
    if recipe.data.volumes is None:
        return Data(train, validation), facts
    volumes = recipe.data.volumes
    cases = {case.name: case for case in find_brats2018(folder / volumes.folder)}
    split = split_by_case(sorted(cases), volumes.validation_cases, volumes.split_seed)
    slices = [
        load_slices([cases[name] for name in names], volumes, size, recipe.seed, cache)
        for names in (split.training, split.validation)
    ]
    facts |= {"volumes_split_sha256": split.sha256, "validation_cases": list(split.validation)}
    return Data(train, validation, *slices), facts


def _train(recipe: ClassifierRecipe, options: argparse.Namespace) -> None:
    run: Path = options.run
    _open_run(recipe, options.recipe, run)
    data, facts = load_data(recipe, options.data, run / "cache")
    trainer = Trainer(recipe, data, run, choose_device(options.device))
    if options.pretrained is not None:
        facts["pretrained_sha256"] = trainer.start_from(options.pretrained)
    write_json(run / DATA, facts)
    slices = 0 if data.train_slices is None else len(data.train_slices)
    print(
        f"{len(data.train)} pictures and {slices} slices to learn from, {len(data.validation)} pictures to validate; "
        f"{recipe.epochs} epochs of {trainer.steps_per_epoch} steps on {trainer.device}, "
        f"{torch.get_num_threads()} threads",
        flush=True,
    )
    progress = trainer.train()
    print(f"best: epoch {progress.best_epoch}")


def _open_run(recipe: ClassifierRecipe, path: Path, run: Path) -> None:
    """Make the run's folder with its recipe; a folder that holds another recipe's run is not touched."""
    run.mkdir(parents=True, exist_ok=True)
    stored = run / "recipe.json"
    wanted = recipe.model_dump(mode="json")
    if stored.exists() and read_json(stored) != wanted:
        raise RecipeError(f"{run} holds a run of another recipe; name a new folder with --run")
    write_json(stored, wanted)
    shutil.copyfile(path, run / "recipe.toml")


def _evaluate(recipe: ClassifierRecipe, options: argparse.Namespace) -> None:
    data, _ = load_data(recipe, options.data, options.run / "cache")
    evaluation = evaluate(recipe, data, options.run, choose_device(options.device), resamples=options.resamples)
    write_json(options.run / METRICS, evaluation.metrics)
    for part in evaluation.parts:
        print(f"\n{part}\n{key_table(evaluation.metrics[part])}\n")
    print(f"report: {write_report(recipe, evaluation, options.run)}/report.md ({RESEARCH_ONLY})")


def _export(recipe: ClassifierRecipe, options: argparse.Namespace) -> None:
    if not (options.run / METRICS).exists():
        raise DataError(f"{options.run} holds no {METRICS}; evaluate first")
    metrics, facts = read_json(options.run / METRICS), read_json(options.run / DATA)
    command = (
        f"python -m training classifier train --recipe training/recipes/{options.recipe.name} --data DIR --run DIR"
    )
    release = export(recipe, metrics, facts, options.run, options.release, command)
    print(f"{release.folder}: {release.identity.weights_sha256}")


_COMMANDS: Mapping[str, Callable[[ClassifierRecipe, argparse.Namespace], None]] = {
    "train": _train,
    "evaluate": _evaluate,
    "export": _export,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training classifier", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, help_text in (
        ("train", "train, or go on with a run that was cut off"),
        ("evaluate", "measure a run's best weights; writes RUN/metrics.json and RUN/report/"),
        ("export", "write a release folder from an evaluated run"),
    ):
        command = commands.add_parser(name, help=help_text)
        command.add_argument("--recipe", type=Path, required=True)
        command.add_argument("--data", type=Path, required=True, help="folder that holds what [data] names")
        command.add_argument("--run", type=Path, required=True, help="folder of the run; made if absent")
        command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
        # On cores that other programs share, a second thread mostly waits for the first.
        command.add_argument("--threads", type=int, default=0, help="0: all cores")
        if name == "train":
            command.add_argument("--pretrained", type=Path, help="torchvision's weights: .safetensors or .pth")
        if name == "evaluate":
            command.add_argument("--resamples", type=int, default=RESAMPLES, help="bootstrap draws for intervals")
        if name == "export":
            command.add_argument("--release", type=Path, required=True, help="folder to write")
    return parser
