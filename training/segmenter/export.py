"""From runs to a release: averaged weights in half precision, manifest and card, scored as they will be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from bt_node.infer.networks.ensemble import joined
from bt_node.infer.release import Axis, Release, SegmenterInput
from bt_node.infer.segmenter import Segmenter, load_segmenter
from training.releases import write_release
from training.segmenter.card import Facts, model_card
from training.segmenter.evaluate import CaseScore, input_of, output_of, score_case
from training.segmenter.folds import Fold, read_folds, score_folds, tuning_cases
from training.segmenter.origin import origin_of
from training.segmenter.provenance import TRAINED, WATCHED, hashes_of
from training.segmenter.recipe import SegmenterRecipe
from training.segmenter.report import metrics_table
from training.segmenter.subsets import SubsetScore, score_subsets
from training.segmenter.summary import summarise
from training.segmenter.tuning import Tuning, tune

_NOTE = "Written by `python -m training segmenter export`. For research use only, not for diagnosis."


@dataclass(frozen=True)
class Choices:
    """What the person who exports decides.

    Attributes:
        tuned: choose thresholds and smallest volumes on the validation cases.
        flips: axes along which inference mirrors its input; None leaves the recipe's.
        best: weights of the best validation instead of the last ones; their scores flatter, having chosen them.
    """

    tuned: bool = False
    flips: tuple[Axis, ...] | None = None
    best: bool = False


def export(
    runs: Path | Sequence[Path], data: Path, folder: Path, device: torch.device, choices: Choices | None = None
) -> Release:
    """Write a release from a run, or from the folds of a cross-validation as an ensemble.

    The scores in manifest and card of a single run are those of the written file: it is loaded as the node loads it,
    half precision included, and outlines the run's validation cases. Each case of an ensemble was trained on by all
    members but one, so its scores are those of that one member: of single networks on cases they did not train on.

    Args:
        runs: folder of the run, or folders of the folds.
        data: the data they were trained on.
        folder: the release to write, for example `models/bt-segmenter-0.2`.
        device: where the validation cases are outlined.
        choices: tuning and flips.

    Raises:
        RunMismatchError: no checkpoint, other data, or folds that do not belong together.
    """
    choices = choices or Choices()
    folds = read_folds([runs] if isinstance(runs, Path) else list(runs), data, best=choices.best)
    recipe = folds[0].recipe
    reads = _reads(recipe, choices)
    tuning = tune(output_of(recipe), tuning_cases(folds, device, reads=reads)) if choices.tuned else None
    manifest = _manifest(folds, reads, tuning, choices)
    weights = joined([fold.weights for fold in folds])
    with TemporaryDirectory() as scratch:
        segmenter = load_segmenter(write_release(Path(scratch), manifest, weights, card=""), device)
        scores = _scores(folds, segmenter)
        subsets = _subsets(folds, segmenter)
    summary = summarise(scores)
    manifest["training"] |= {"metrics": metrics_table(scores, summary, subsets)}
    card = model_card(Facts(recipe, manifest, scores, subsets, summary, tuning))
    return write_release(folder, manifest, weights, card, note=_NOTE)


def _reads(recipe: SegmenterRecipe, choices: Choices) -> SegmenterInput:
    plain = input_of(recipe)
    return plain if choices.flips is None else plain.model_copy(update={"flips": choices.flips})


def _scores(folds: Sequence[Fold], released: Segmenter) -> Sequence[CaseScore]:
    if len(folds) == 1:
        return [score_case(released, case, distances=True) for case in folds[0].validation]
    return score_folds(folds, released.device, reads=released.input, output=released.output)


def _subsets(folds: Sequence[Fold], released: Segmenter) -> tuple[SubsetScore, ...]:
    """Of a release that answers on subsets; an ensemble's cases are not new to it, so it has none."""
    if not released.needs_one_of or len(folds) > 1:
        return ()
    return score_subsets(released, folds[0].validation)


def _manifest(
    folds: Sequence[Fold], reads: SegmenterInput, tuning: Tuning | None, choices: Choices
) -> dict[str, Any]:
    first = folds[0]
    recipe = first.recipe
    trained = sorted({name for fold in folds for name in fold.split.training})
    origins = [origin for fold in folds if (origin := origin_of(fold.run))]
    known = {key: {each for origin in origins for each in origin[key]} for key in (TRAINED, WATCHED)}
    validating = [case.name for fold in folds for case in fold.validation]
    network: dict[str, Any] = {"architecture": recipe.network.architecture, "members": len(folds)}
    training: dict[str, Any] = {
        "data": recipe.data.description,
        "citation": recipe.data.citation,
        "cases": len(trained),
        WATCHED: [*validating, *sorted(known[WATCHED] - set(validating))],
        TRAINED: sorted({*hashes_of(trained), *known[TRAINED]}),
        "began_from": [
            f"{origin['name']} {origin['version']}, weights {origin['weights_sha256']}" for origin in origins
        ],
        "split_sha256": first.split.sha256 if len(folds) == 1 else [fold.split.sha256 for fold in folds],
        "command": "python -m training segmenter train --recipe RECIPE --data DIR --run DIR",
        "seed": recipe.seed,
        "step": min(fold.step for fold in folds),
        "steps_planned": recipe.optimiser.steps,
        "weights": "of the best validation" if choices.best else "of the last step",
    }
    return {
        "schema": 1,
        "name": recipe.name,
        "version": recipe.version,
        "kind": "segmenter",
        "network": network | {"arguments": dict(recipe.network.arguments)},
        "input": reads.model_dump(mode="json"),
        "output": (tuning.output if tuning else output_of(recipe)).model_dump(mode="json"),
        "intended": recipe.intended.model_dump(exclude_none=True),
        "training": training | ({"tuning": tuning.table()} if tuning else {}),
    }
