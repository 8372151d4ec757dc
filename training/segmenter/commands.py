"""`python -m training segmenter train|evaluate|export`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bt_node.domain.errors import BtNodeError
from bt_node.infer.device import choose_device, use_threads
from training.segmenter.cases import CaseError
from training.segmenter.recipe import RecipeError, read_recipe
from training.segmenter.train import RunMismatchError, train


def main(arguments: list[str]) -> int:
    """Run one command; 0 is success, 2 a mistake that the message explains."""
    options = _parser().parse_args(arguments)
    try:
        options.do(options)
    except (RecipeError, CaseError, RunMismatchError, BtNodeError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training segmenter", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    begin = commands.add_parser("train", help="train a network, or resume a run")
    begin.add_argument("--recipe", type=Path, required=True, help="TOML file, see training/recipes/")
    begin.add_argument("--data", type=Path, required=True, help="folder of cases")
    begin.add_argument("--run", type=Path, required=True, help="folder for cache, metrics and checkpoints")
    begin.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    begin.add_argument("--threads", type=int, default=0, help="0: all cores")
    begin.set_defaults(do=_train)
    return parser


def _train(options: argparse.Namespace) -> None:
    use_threads(options.threads)
    train(read_recipe(options.recipe), options.data, options.run, choose_device(options.device))
