"""The commands that come after training: `evaluate`, `crossvalidate` and `export`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bt_node.domain.geometry import LabelArray
from bt_node.domain.tumour import Region
from bt_node.infer.device import choose_device
from bt_node.infer.release import read_release
from bt_node.infer.segmenter import Segmenter, load_segmenter
from training.segmenter.case import CaseError
from training.segmenter.cases import AUTO, LAYOUTS, find_cases
from training.segmenter.evaluate import REGIONS, CaseScore, mean_scores, outline, score_labels
from training.segmenter.export import Choices, export
from training.segmenter.folds import read_folds, score_folds
from training.segmenter.kept_apart import check_kept_apart, write_kept_apart
from training.segmenter.pictures import overlay
from training.segmenter.prepared import PreparedCase, cached_cases
from training.segmenter.provenance import caution
from training.segmenter.report import Report, write_report
from training.segmenter.subsets import score_subsets

_AXES = ("Z", "Y", "X")


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Options of `evaluate`."""
    parser.add_argument("--release", type=Path, required=True, help="folder of the release")
    parser.add_argument("--output", type=Path, required=True, help="folder for report, pictures and cache")
    parser.add_argument("--case", action="append", help="only this case; may be repeated")
    parser.add_argument("--layout", choices=LAYOUTS, default=AUTO, help="how the data lie; see docs/training.md")
    parser.add_argument("--subsets", action="store_true", help="each subset of sequences too: 15 times the work")
    parser.add_argument(
        "--kept-apart",
        action="store_true",
        help="write the figures into the release too; refused where it has seen one of the cases",
    )
    parser.add_argument("--worst", type=int, default=5, metavar="N", help="pictures of the N worst cases (default 5)")


def add_crossvalidate(parser: argparse.ArgumentParser) -> None:
    """Options of `crossvalidate`."""
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="folders of the folds' runs")
    parser.add_argument("--output", type=Path, required=True, help="folder for the report")


def add_export(parser: argparse.ArgumentParser) -> None:
    """Options of `export`."""
    parser.add_argument(
        "--run", type=Path, nargs="+", required=True, help="folder of the run; of several folds an ensemble is made"
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="folder of the release, e.g. models/bt-segmenter-0.2"
    )
    parser.add_argument(
        "--tune", action="store_true", help="choose thresholds and smallest volumes on the validation cases"
    )
    parser.add_argument(
        "--best", action="store_true", help="weights of the best validation instead of the last; the card says so"
    )
    parser.add_argument("--flips", nargs="*", choices=_AXES, help="mirror the input along these axes and average")


def evaluate(options: argparse.Namespace) -> None:
    """Score a release on cases with expert labels and write the report.

    Raises:
        CaseError: a named case is not there, or a case is unsound.
        NotKeptApartError: `--kept-apart`, and the release has seen one of the cases.
        ReleaseError: the release cannot be read.
    """
    release = read_release(options.release)
    segmenter = load_segmenter(release, choose_device(options.device))
    cases = _cases(options, segmenter)
    if options.kept_apart:
        check_kept_apart(release, [case.name for case in cases])
    worst = _Worst(options.worst)
    scores = [_scored(segmenter, case, worst) for case in cases]
    _say("mean", mean_scores(scores))
    identity, training = release.identity, release.manifest.training
    report = Report(
        f"Scores of {identity.name} {identity.version}",
        f"{identity.name} {identity.version}",
        [
            f"Release {identity.name} {identity.version}, weights {identity.weights_sha256}.",
            f"{len(scores)} case(s) of the folder `{options.data.name}`, all {len(segmenter.roles)} sequences given.",
            caution(training, [score.name for score in scores]),
        ],
        scores,
        score_subsets(segmenter, cases, progress=_print) if options.subsets else (),
        worst.draw(options.output, segmenter),
    )
    write_report(options.output, report)
    if options.kept_apart:
        write_kept_apart(release, scores)
    print(f"{options.output / 'report.md'}", flush=True)


def crossvalidate(options: argparse.Namespace) -> None:
    """Score each run on its own validation cases and pool them in one report.

    Raises:
        RunMismatchError: a run is unfinished, or the runs do not belong together.
    """
    folds = read_folds(options.runs, options.data)
    scores = score_folds(folds, choose_device(options.device), progress=lambda score: _say(score.name, score.dice))
    _say("mean", mean_scores(scores))
    recipe = folds[0].recipe
    steps = ", ".join(f"{fold.run.name} at step {fold.step}" for fold in folds)
    facts = [
        f"{len(folds)} run(s): {steps}. Each case is outlined by the run that did not train on it.",
        "These cases were watched while their runs trained: the figures are optimistic, if only a little.",
    ]
    label = f"{recipe.name}, {len(folds)} fold(s)"
    write_report(options.output, Report(f"Cross-validation of {recipe.name}", label, facts, scores))
    print(f"{options.output / 'report.md'}", flush=True)


def make_release(options: argparse.Namespace) -> None:
    """Write a release.

    Raises:
        RunMismatchError: no checkpoint, other data, or folds that do not belong together.
    """
    flips = None if options.flips is None else tuple(options.flips)
    choices = Choices(tuned=options.tune, flips=flips, best=options.best)
    release = export(options.run, options.data, options.output, choose_device(options.device), choices)
    training = release.manifest.training
    for change in training.get("tuning", {}).get("changes", ()):
        print(f"tuned: {change}")
    print(
        f"{release.folder}: validation Dice {training['metrics']['dice']}; weights {release.identity.weights_sha256}"
    )


@dataclass
class _Worst:
    """The worst cases so far, with their labels; labels of better ones are let go."""

    count: int
    kept: list[tuple[CaseScore, PreparedCase, LabelArray]] = field(default_factory=list)

    def add(self, score: CaseScore, case: PreparedCase, labels: LabelArray) -> None:
        self.kept.append((score, case, labels))
        self.kept.sort(key=lambda item: item[0].mean_dice)
        del self.kept[max(0, self.count) :]

    def draw(self, folder: Path, segmenter: Segmenter) -> list[str]:
        """Write one picture each; answers their names, the worst case first."""
        names = []
        for place, (score, case, labels) in enumerate(self.kept, start=1):
            names.append(f"worst-{place:02d}-{score.name}.png")
            overlay(folder / names[-1], case, labels, score, segmenter.roles)
        return names


def _cases(options: argparse.Namespace, segmenter: Segmenter) -> tuple[PreparedCase, ...]:
    found = find_cases(options.data, options.layout, segmenter.roles).cases
    absent = sorted(set(options.case or ()) - {case.name for case in found})
    if absent:
        raise CaseError(f"none of {len(found)} cases under {options.data} is called {', '.join(absent)}")
    wanted = [case for case in found if not options.case or case.name in options.case]
    return cached_cases(wanted, segmenter.roles, options.output / "cache")


def _scored(segmenter: Segmenter, case: PreparedCase, worst: _Worst) -> CaseScore:
    labels = outline(segmenter, case)
    score = score_labels(case.name, labels, np.asarray(case.labels))
    worst.add(score, case, labels)
    _say(case.name, score.dice)
    return score


def _say(name: str, dice: Mapping[Region, float]) -> None:
    _print(f"{name:28}  " + "  ".join(f"{region.value} {dice[region]:.3f}" for region in REGIONS))


def _print(line: str) -> None:
    print(line, flush=True)
