"""Train a segmenter, score it, turn it into a release: `python -m training segmenter train|evaluate|export`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bt_node.domain.errors import BtNodeError
from bt_node.domain.study import Role
from bt_node.domain.tumour import Region
from bt_node.infer.device import choose_device, use_threads
from bt_node.infer.release import read_release
from bt_node.infer.segmenter import load_segmenter
from training.runs import write_json
from training.segmenter.cases import CaseError, find_brats2018
from training.segmenter.evaluate import REGIONS, CaseScore, mean_scores, outline, score_labels
from training.segmenter.export import export, metrics_table
from training.segmenter.pictures import overlay
from training.segmenter.prepared import cached_cases
from training.segmenter.recipe import RecipeError, read_recipe
from training.segmenter.train import DivergedError, RunMismatchError, train

_MISTAKES = (RecipeError, CaseError, RunMismatchError, DivergedError, BtNodeError)


def main(arguments: list[str]) -> int:
    """Run one command; 0 is success, 2 a mistake that the message explains."""
    options = _parser().parse_args(arguments)
    use_threads(options.threads)
    try:
        options.do(options)
    except _MISTAKES as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training segmenter", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    begin = _command(commands, "train", "train a network, or resume a run", _train)
    begin.add_argument("--recipe", type=Path, required=True, help="TOML file, see training/recipes/")
    begin.add_argument("--run", type=Path, required=True, help="folder for cache, metrics and checkpoint")

    score = _command(commands, "evaluate", "score a release on cases with expert labels", _evaluate)
    score.add_argument("--release", type=Path, required=True, help="folder of the release")
    score.add_argument("--output", type=Path, required=True, help="folder for scores, pictures and cache")
    score.add_argument("--case", action="append", help="only this case; may be repeated")

    write = _command(commands, "export", "write a release from a run's last checkpoint", _export)
    write.add_argument("--run", type=Path, required=True, help="folder of the run")
    write.add_argument(
        "--output", type=Path, required=True, help="folder of the release, e.g. models/bt-segmenter-0.1"
    )
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
    train(read_recipe(options.recipe), options.data, options.run, choose_device(options.device))


def _export(options: argparse.Namespace) -> None:
    release = export(options.run, options.data, options.output, choose_device(options.device))
    dice = release.manifest.training["metrics"]["dice"]
    print(f"{release.folder}: validation Dice {dice}; weights {release.identity.weights_sha256}")


def _evaluate(options: argparse.Namespace) -> None:
    segmenter = load_segmenter(read_release(options.release), choose_device(options.device))
    cases = [case for case in find_brats2018(options.data) if not options.case or case.name in options.case]
    shown = (segmenter.roles.index(Role.FLAIR), segmenter.roles.index(Role.T1C))
    scores: list[CaseScore] = []
    for case in cached_cases(cases, segmenter.roles, options.output / "cache"):
        labels = outline(segmenter, case)
        scores.append(score_labels(case.name, labels, np.asarray(case.labels)))
        overlay(options.output / f"{case.name}.png", case, labels, shown)
        _say(case.name, scores[-1].dice)
    if not scores:
        raise CaseError(f"none of the cases {options.case} is under {options.data}")
    _say("mean", mean_scores(scores))
    write_json(options.output / "evaluation.json", metrics_table(scores))


def _say(name: str, dice: Mapping[Region, float]) -> None:
    words = "  ".join(f"{region.value} {dice[region]:.3f}" for region in REGIONS)
    print(f"{name:28}  {words}", flush=True)
