"""From a run to a release: averaged weights in half precision, manifest and card, scored as they will be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from bt_node.infer.release import Release
from bt_node.infer.segmenter import load_segmenter
from training.releases import write_release
from training.runs import load_tensors, read_json
from training.segmenter.card import model_card
from training.segmenter.evaluate import REGIONS, CaseScore, input_of, mean_scores, output_of, score_case
from training.segmenter.recipe import SegmenterRecipe
from training.segmenter.train import CHECKPOINT, RECIPE, RunMismatchError, prepared_split, read_split

_NOTE = "Written by `python -m training segmenter export`. For research use only, not for diagnosis."
_AVERAGED = "average.module."


def export(run: Path, data: Path, folder: Path, device: torch.device) -> Release:
    """Write a release from a run's last checkpoint.

    The scores in manifest and card are those of the written file: it is loaded as the node loads it, half precision
    included, and outlines the run's validation cases.

    Args:
        run: folder of the run.
        data: the data folder it was trained on.
        folder: the release to write, for example `models/bt-segmenter-0.1`.
        device: where the validation cases are outlined.

    Raises:
        RunMismatchError: no checkpoint, or other data.
    """
    recipe, weights, step = read_run(run)
    validation = prepared_split(recipe, data, run).validation
    manifest = _manifest(recipe, run, step)
    with TemporaryDirectory() as scratch:
        segmenter = load_segmenter(write_release(Path(scratch), manifest, weights, card=""), device)
    scores = [score_case(segmenter, case) for case in validation]
    manifest["training"] |= {"metrics": metrics_table(scores)}
    return write_release(folder, manifest, weights, model_card(recipe, manifest, scores), note=_NOTE)


def read_run(run: Path) -> tuple[SegmenterRecipe, dict[str, Tensor], int]:
    """Recipe, averaged weights and step of a run's last checkpoint.

    Raises:
        RunMismatchError: the folder holds no run with a checkpoint.
    """
    if not (run / CHECKPOINT).exists():
        raise RunMismatchError(f"{run} holds no {CHECKPOINT}; train first")
    tensors, state = load_tensors(run / CHECKPOINT)
    weights = {key.removeprefix(_AVERAGED): value for key, value in tensors.items() if key.startswith(_AVERAGED)}
    return SegmenterRecipe.model_validate(read_json(run / RECIPE)), weights, int(state["step"])


def metrics_table(scores: Sequence[CaseScore]) -> dict[str, Any]:
    """Mean Dice per region, and each case's, for the manifest."""
    means = mean_scores(scores)
    cases: Mapping[str, Any] = {
        score.name: {region.value: round(score.dice[region], 4) for region in REGIONS} for score in scores
    }
    return {"dice": {region.value: round(means[region], 4) for region in REGIONS}, "dice_by_case": cases}


def _manifest(recipe: SegmenterRecipe, run: Path, step: int) -> dict[str, Any]:
    split = read_split(run)
    return {
        "schema": 1,
        "name": recipe.name,
        "version": recipe.version,
        "kind": "segmenter",
        "network": {"architecture": recipe.network.architecture, "arguments": dict(recipe.network.arguments)},
        "input": input_of(recipe).model_dump(mode="json"),
        "output": output_of(recipe).model_dump(mode="json"),
        "training": {
            "data": recipe.data.description,
            "citation": recipe.data.citation,
            "cases": len(split.training),
            "validation_cases": list(split.validation),
            "split_sha256": split.sha256,
            "command": "python -m training segmenter train --recipe training/recipes/segmenter.toml",
            "seed": recipe.seed,
            "step": step,
            "steps_planned": recipe.optimiser.steps,
        },
    }
