"""`python -m training classifier train|evaluate|export --recipe FILE --data DIR --run DIR`, or `toy`."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from pydantic import ValidationError

from bt_node.domain.errors import BtNodeError
from bt_node.infer.device import choose_device, use_threads
from training.bootstrap import RESAMPLES
from training.classifier.evaluate import evaluate
from training.classifier.export import export
from training.classifier.leaks import OnLeak
from training.classifier.loop import Trainer
from training.classifier.pictures import DataError
from training.classifier.plots import RESEARCH_ONLY
from training.classifier.prepare import DATA, load_data
from training.classifier.recipe import ClassifierRecipe, DataRecipe, RecipeError, read_recipe
from training.classifier.report import write_report
from training.classifier.toy import write_toy
from training.classifier.wording import key_table
from training.runs import read_json, write_json
from training.segmenter.cases import CaseError

METRICS = "metrics.json"


def main(arguments: list[str]) -> int:
    """Run one command; 0 is success, 2 a mistake that the message explains."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "toy":
            _toy(options.output, options.count)
            return 0
        recipe = read_recipe(options.recipe)
        use_threads(options.threads)
        _COMMANDS[options.command](recipe, options)
    except (RecipeError, DataError, CaseError, BtNodeError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _train(recipe: ClassifierRecipe, options: argparse.Namespace) -> None:
    run: Path = options.run
    _open_run(recipe, options.recipe, run)
    on_leak = OnLeak(options.on_leak) if options.on_leak else None
    data, facts = load_data(recipe, options.data, run / "cache", on_leak=on_leak)
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
    if stored.exists() and not _same_recipe(read_json(stored), recipe):
        raise RecipeError(f"{run} holds a run of another recipe; name a new folder with --run")
    write_json(stored, wanted)
    shutil.copyfile(path, run / "recipe.toml")


def _same_recipe(stored: Mapping[str, object], recipe: ClassifierRecipe) -> bool:
    """Whether a run folder's recipe is this one; keys that it is too old to have stand at their defaults."""
    try:
        return ClassifierRecipe.model_validate(stored) == recipe
    except ValidationError:
        return False


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


def _toy(output: Path, count: int) -> None:
    pictures = output / DataRecipe().pictures
    total = write_toy(pictures, count)
    print(
        f"{total} drawn heads in {pictures}; train on them with training/recipes/classifier-toy.toml --data {output}"
    )


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
            ways = [way.value for way in OnLeak if way is not OnLeak.TELL]
            command.add_argument("--on-leak", choices=ways, help="what to do about copies in both parts (recipe's)")
            command.add_argument("--pretrained", type=Path, help="torchvision's weights: .safetensors or .pth")
        if name == "evaluate":
            command.add_argument("--resamples", type=int, default=RESAMPLES, help="bootstrap draws for intervals")
        if name == "export":
            command.add_argument("--release", type=Path, required=True, help="folder to write")
    toy = commands.add_parser("toy", help="write a small set of drawn heads, to try the commands on")
    toy.add_argument("--output", type=Path, required=True, help="folder to write; --data of the other commands")
    toy.add_argument("--count", type=int, default=24, help="pictures of each class")
    return parser
