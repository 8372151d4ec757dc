"""Train a segmenter, score it, turn it into a release: `python -m training segmenter COMMAND`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bt_node.domain.errors import BtNodeError
from bt_node.infer.device import choose_device, use_threads
from bt_node.infer.networks.build import NetworkArgumentsError
from training.segmenter.cases import CaseError
from training.segmenter.kept_apart import NotKeptApartError
from training.segmenter.recipe import RecipeError, read_recipe, with_architecture, with_fold
from training.segmenter.scoring import (
    add_crossvalidate,
    add_evaluate,
    add_export,
    crossvalidate,
    evaluate,
    make_release,
)
from training.segmenter.toy import write_toy_cases
from training.segmenter.train import DivergedError, RunMismatchError, train

_MISTAKES = (
    RecipeError, CaseError, RunMismatchError, DivergedError, NotKeptApartError, NetworkArgumentsError, BtNodeError
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Run one command; 0 is success, 2 a mistake that the message explains."""
    options = _parser().parse_args(arguments)
    use_threads(options.threads)
    try:
        options.do(options)
    except _MISTAKES as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; a training run goes on from its last checkpoint with the same command", file=sys.stderr)
        return 130  # as shells say it of SIGINT
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training segmenter", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    begin = _command(commands, "train", "train a network, or resume a run", _train)
    begin.add_argument("--recipe", type=Path, required=True, help="TOML file, see training/recipes/")
    begin.add_argument("--run", type=Path, required=True, help="folder for cache, metrics, curves and checkpoint")
    begin.add_argument("--architecture", help="another network than the recipe's, at its usual size")
    begin.add_argument("--fold", type=int, help="the fold to validate, for recipes with [data] folds")

    add_evaluate(_command(commands, "evaluate", "score a release on cases with expert labels", evaluate))
    add_crossvalidate(
        _command(commands, "crossvalidate", "pool the validation cases of several folds", crossvalidate)
    )
    add_export(_command(commands, "export", "write a release from a run's last checkpoint", make_release))

    toy = commands.add_parser("toy", help="write simulated cases to try the commands on")
    toy.add_argument("--output", type=Path, required=True, help="folder for the cases")
    toy.add_argument("--cases", type=int, default=3, help="how many (3)")
    toy.set_defaults(do=_toy, threads=0)
    return parser


def _command(
    commands: Any, name: str, purpose: str, do: Callable[[argparse.Namespace], None]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=purpose, description=purpose)
    parser.add_argument("--data", type=Path, required=True, help="folder of cases")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.set_defaults(do=do)
    return parser


def _train(options: argparse.Namespace) -> None:
    recipe = read_recipe(options.recipe)
    if options.architecture:
        recipe = with_architecture(recipe, options.architecture)
    if options.fold is not None:
        recipe = with_fold(recipe, options.fold)
    train(recipe, options.data, options.run, choose_device(options.device))


def _toy(options: argparse.Namespace) -> None:
    names = write_toy_cases(options.output, options.cases)
    print(
        f"{', '.join(names)} in {options.output}, in BraTS' layout. Simulated: no patient, nothing to learn for one."
    )
