"""Runs as folds of one experiment: each outlines its own validation cases, and the answers are pooled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from bt_node.infer.networks.build import build_network
from bt_node.infer.release import SegmenterInput, SegmenterOutput
from bt_node.infer.segmenter import Segmenter
from training.releases import halved
from training.runs import load_tensors, read_json
from training.segmenter.evaluate import CaseScore, case_inputs, score_case, unreleased
from training.segmenter.prepared import PreparedCase, cached_cases
from training.segmenter.recipe import SegmenterRecipe
from training.segmenter.run_folder import BEST, CHECKPOINT, RECIPE, RunMismatchError, cases_of, read_split
from training.segmenter.split import Split
from training.segmenter.tuning import TuningCase

_AVERAGED = "average.module."


@dataclass(frozen=True, eq=False)
class Fold:
    """A run that has a checkpoint.

    Attributes:
        run: its folder.
        recipe: what it was told to do.
        weights: averaged, of its last checkpoint or of its best validation.
        step: where they were taken.
        split: names of its cases.
        validation: the cases that it did not train on.
    """

    run: Path
    recipe: SegmenterRecipe
    weights: Mapping[str, Tensor]
    step: int
    split: Split
    validation: tuple[PreparedCase, ...]

    def segmenter(
        self, device: torch.device, *, reads: SegmenterInput | None = None, output: SegmenterOutput | None = None
    ) -> Segmenter:
        """Its network with weights in half precision, as a release would hold them."""
        network = build_network(self.recipe.network.architecture, self.recipe.network.arguments)
        network.load_state_dict({name: value.float() for name, value in halved(self.weights).items()})
        plain = unreleased(self.recipe, network, device)
        return replace(plain, input=reads or plain.input, output=output or plain.output)


def read_run(run: Path, *, best: bool = False) -> tuple[SegmenterRecipe, dict[str, Tensor], int]:
    """Recipe, averaged weights and step of a run's last checkpoint, or of its best validation.

    Raises:
        RunMismatchError: the folder holds no run with a checkpoint.
    """
    file = run / (BEST if best else CHECKPOINT)
    if not file.exists():
        raise RunMismatchError(f"{run} holds no {file.name}; train first")
    tensors, state = load_tensors(file)
    weights = {key.removeprefix(_AVERAGED): value for key, value in tensors.items() if key.startswith(_AVERAGED)}
    return SegmenterRecipe.model_validate(read_json(run / RECIPE)), weights, int(state["step"])


def read_folds(runs: Sequence[Path], data: Path, *, best: bool = False) -> tuple[Fold, ...]:
    """Runs of one experiment, each with its last weights or with its best.

    Raises:
        RunMismatchError: a folder is no run with a checkpoint, networks or sequences differ, or a case validates in
            more than one run and would be counted twice.
    """
    folds = []
    for run in runs:
        recipe, weights, step = read_run(run, best=best)
        split = read_split(run)
        folds.append(Fold(run, recipe, weights, step, split, _validation(recipe, split, data, run)))
    first = folds[0].recipe
    for fold in folds[1:]:
        if (fold.recipe.network, fold.recipe.data.roles) != (first.network, first.data.roles):
            raise RunMismatchError(f"{fold.run} has another network or other sequences than {folds[0].run}")
    counted = Counter(case.name for fold in folds for case in fold.validation)
    repeated = sorted(name for name, times in counted.items() if times > 1)
    if repeated:
        raise RunMismatchError(
            f"cases validate in more than one run: {', '.join(repeated)}; folds must share no validation case"
        )
    return tuple(folds)


def _validation(recipe: SegmenterRecipe, split: Split, data: Path, run: Path) -> tuple[PreparedCase, ...]:
    """The cases that validate; those that train need not be there."""
    by_name = {case.name: case for case in cases_of(recipe.data, data).cases}
    absent = sorted(set(split.validation) - set(by_name))
    if absent:
        raise RunMismatchError(f"{data} lacks validation cases of {run}: {', '.join(absent)}")
    return cached_cases([by_name[name] for name in split.validation], recipe.data.roles, run / "cache")


def score_folds(
    folds: Sequence[Fold],
    device: torch.device,
    *,
    reads: SegmenterInput | None = None,
    output: SegmenterOutput | None = None,
    progress: Callable[[CaseScore], None] = lambda _: None,
) -> tuple[CaseScore, ...]:
    """Every fold's validation cases, each outlined by the network that did not train on it."""
    scores = []
    for fold in folds:
        segmenter = fold.segmenter(device, reads=reads, output=output)
        for case in fold.validation:
            scores.append(score_case(segmenter, case, distances=True))
            progress(scores[-1])
    return tuple(scores)


def tuning_cases(
    folds: Sequence[Fold], device: torch.device, *, reads: SegmenterInput | None = None
) -> tuple[TuningCase, ...]:
    """Answers for every fold's validation cases, in half precision: they all stay in memory, 20 MB each."""
    found = []
    for fold in folds:
        segmenter = fold.segmenter(device, reads=reads)
        for case in fold.validation:
            answer = segmenter.predict(case_inputs(segmenter, case)).astype("float16")
            found.append(TuningCase(answer, case.labels))
    return tuple(found)
