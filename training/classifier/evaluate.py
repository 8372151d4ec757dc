"""Measure a run's best weights as they will be released: in half precision, at the release's picture size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from bt_node.infer.networks.build import build_network
from training.classifier.loop import BEST, Data, network_logits
from training.classifier.metrics import fit_temperature, summary
from training.classifier.pictures import CLASSES, DataError
from training.classifier.recipe import ClassifierRecipe
from training.releases import halved
from training.runs import load_tensors


def load_best(run: Path) -> tuple[dict[str, torch.Tensor], int]:
    """The run's best weights and the epoch they come from.

    Raises:
        DataError: the run has none yet.
    """
    if not (run / BEST).exists():
        raise DataError(f"{run} holds no {BEST}; train first")
    weights, state = load_tensors(run / BEST)
    return weights, int(state["epoch"])


def evaluate(recipe: ClassifierRecipe, data: Data, run: Path, device: torch.device) -> dict[str, Any]:
    """All numbers that `metrics.json`, manifest and model card hold.

    Temperature is one number, fitted on the validation pictures on which the calibration error is then told; the
    best epoch was also chosen on them. Both make the numbers a little too good, and the card says so.
    """
    weights, epoch = load_best(run)
    network = build_network(recipe.network.architecture, {"classes": len(CLASSES), **recipe.network.arguments})
    network.load_state_dict({name: value.float() for name, value in halved(weights).items()})
    network.to(device)
    size, normalisation = recipe.input.size, recipe.input.normalisation
    logits = network_logits(network, data.validation, size, normalisation, device)
    temperature = fit_temperature(logits, data.validation.labels)
    metrics: dict[str, Any] = {
        "epoch": epoch,
        "temperature": temperature,
        "classes": [kind.value for kind in CLASSES],
        "train_pictures": len(data.train),
        "train_slices": 0 if data.train_slices is None else len(data.train_slices),
        "pictures": summary(logits, data.validation.labels, temperature),
    }
    if data.validation_slices is not None:
        sliced = network_logits(network, data.validation_slices, size, normalisation, device)
        metrics["slices"] = summary(sliced, data.validation_slices.labels, temperature)
    return metrics
