"""Make heads, train a brain finder, turn it into a release: `python -m training brain COMMAND`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bt_node.convert.nifti import read_nifti
from bt_node.domain.errors import BtNodeError
from bt_node.infer.device import use_threads
from training.brain.export import export
from training.brain.heads import ROLES, make_heads
from training.brain.train import Plan, train
from training.segmenter.cases import CaseError, find_cases
from training.segmenter.split import Split, split_by_patient

TRAIN, VALIDATION = "train", "validation"
# The segmenter's split: no brain that either was scored on taught the other.
_VALIDATION_CASES, _SPLIT_SEED = 3, 20181
_FIRST_SEED = {TRAIN: 1000, VALIDATION: 51000}


def main(arguments: list[str]) -> int:
    """Run one command; 0 is success, 2 a mistake that the message explains."""
    options = _parser().parse_args(arguments)
    use_threads(options.threads)
    try:
        options.do(options)
    except (CaseError, BtNodeError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training brain", description=__doc__)
    parser.add_argument("--threads", type=int, default=0, help="processor threads (0: the machine decides)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    heads = commands.add_parser("heads", help="put stripped brains into synthetic heads (about 10 s each)")
    heads.add_argument(
        "--data", type=Path, required=True, help="skull-stripped cases, in any layout of the segmenter's"
    )
    heads.add_argument("--output", type=Path, required=True)
    heads.add_argument("--train", type=int, default=80, help="heads to learn from (80)")
    heads.add_argument("--validation", type=int, default=9, help="heads to score, of three other patients (9)")
    heads.set_defaults(do=_heads)

    begin = commands.add_parser("train", help="train on what `heads` wrote")
    begin.add_argument("--heads", type=Path, required=True)
    begin.add_argument("--run", type=Path, required=True)
    begin.add_argument("--steps", type=int, default=Plan.steps)
    begin.add_argument("--start", type=Path, help="weights.safetensors of an earlier run to go on from")
    begin.set_defaults(do=_train)

    release = commands.add_parser("export", help="write a release from a run")
    release.add_argument("--run", type=Path, required=True)
    release.add_argument("--data", type=Path, required=True, help="the cases, for their names and split")
    release.add_argument("--output", type=Path, required=True, help="for example models/bt-brain-0.1")
    release.add_argument("--version", required=True)
    release.set_defaults(do=_export)
    return parser


def _heads(options: argparse.Namespace) -> None:
    paths = {case.name: case.images for case in find_cases(options.data).cases}
    split = _split(options.data)
    for part, names, count in (
        (VALIDATION, split.validation, options.validation),
        (TRAIN, split.training, options.train),
    ):
        cases = [{role: read_nifti(paths[name][role]) for role in ROLES} for name in names]
        make_heads(cases, options.output / part, count, _FIRST_SEED[part])


def _train(options: argparse.Namespace) -> None:
    parts = {part: sorted((options.heads / part).glob("*.npz")) for part in (TRAIN, VALIDATION)}
    for part, files in parts.items():
        if not files:
            raise FileNotFoundError(
                f"no heads in {options.heads / part}; make them with `python -m training brain heads`"
            )
    options.run.mkdir(parents=True, exist_ok=True)
    train(parts[TRAIN], parts[VALIDATION], options.run, Plan(steps=options.steps), start=options.start)


def _export(options: argparse.Namespace) -> None:
    split = _split(options.data)
    export(options.run, options.output, version=options.version, training=split.training, validation=split.validation)


def _split(data: Path) -> Split:
    patients = {case.name: case.patient for case in find_cases(data).cases}
    return split_by_patient(patients, _VALIDATION_CASES, _SPLIT_SEED)
