"""Measure a run's best weights as they will be released: in half precision, at the release's picture size."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from rich.console import Console
from rich.progress import track
from torch import nn

from bt_node.domain.geometry import FloatArray
from bt_node.infer.classifier import picture_logits
from bt_node.infer.networks.build import build_network
from bt_node.infer.picture import to_network
from training.bootstrap import FEWEST_GROUPS, RESAMPLES, Indices, intervals_by_group
from training.classifier.calibration import calibration_figures, cross_fitted_temperatures
from training.classifier.control import FEATURES, control_answers, control_figures
from training.classifier.groups import Grouping, grouped
from training.classifier.limit import type_limit
from training.classifier.loop import BEST, Data, resized
from training.classifier.metrics import Labels, fit_temperature, scores, summary
from training.classifier.pictures import CLASSES, DataError, Pictures
from training.classifier.recipe import ClassifierRecipe
from training.releases import halved
from training.runs import hash_of, load_tensors, read_json, write_atomically

_BATCH = 32
_CONTROL = "control."
_FACTS = "data.json"


@dataclass(frozen=True, eq=False)
class Answers:
    """A network's answers to one set of pictures, and what is needed to judge them.

    Attributes:
        pictures: framed, with labels.
        logits: (N, classes), as the node would compute them.
        grouping: which pictures belong together.
        temperature: the release's.
        cross_fitted: (N, halvings), each fitted on other groups than its picture's; None where the release's
            temperature was fitted on other pictures anyway, or where there is nothing to halve.
        control: answers of the control classifier.
    """

    pictures: Pictures
    logits: FloatArray
    grouping: Grouping
    temperature: float
    cross_fitted: FloatArray | None
    control: Mapping[str, Labels]

    def figures(self, places: Indices | None = None) -> dict[str, float | None]:
        """Every figure of the pictures at some places, or of all of them; the control's begin with `control.`."""
        at = np.arange(len(self.pictures)) if places is None else places
        logits, labels = self.logits[at], self.pictures.labels[at]
        found = scores(logits, labels, self.temperature)
        if self.cross_fitted is not None:
            found |= calibration_figures(logits, labels, self.cross_fitted[at])
        control = control_figures({name: named[at] for name, named in self.control.items()}, labels)
        return found | {f"{_CONTROL}{name}": value for name, value in control.items()}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A measured run: the network as released, its answers, and the numbers that `metrics.json` holds."""

    network: nn.Module
    parts: Mapping[str, Answers]  # "pictures" and, where the recipe has volumes, "slices"
    metrics: dict[str, Any]


def load_best(run: Path) -> tuple[dict[str, torch.Tensor], int]:
    """The run's best weights and the epoch they come from.

    Raises:
        DataError: the run has none yet.
    """
    if not (run / BEST).exists():
        raise DataError(f"{run} holds no {BEST}; train first")
    weights, state = load_tensors(run / BEST)
    return weights, int(state["epoch"])


def evaluate(
    recipe: ClassifierRecipe,
    data: Data,
    run: Path,
    device: torch.device,
    *,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """All numbers that `metrics.json`, report, manifest and model card hold.

    The released temperature is fitted on all validation pictures; calibration is told with temperatures fitted on
    other groups. The best epoch was still chosen on the validation pictures, and the card says so.

    Args:
        recipe: of the run.
        data: training part (for the control classifier) and validation part.
        run: folder with the best weights; logits are kept in its cache.
        device: where the network runs.
        resamples: draws of the bootstrap.
    """
    weights, epoch = load_best(run)
    content = safetensors.torch.save(halved(weights))
    sha256 = hashlib.sha256(content).hexdigest()
    network = build_network(recipe.network.architecture, {"classes": len(CLASSES), **recipe.network.arguments})
    network.load_state_dict({name: value.float() for name, value in halved(weights).items()})
    network.eval().to(device)
    logits = _kept_logits(network, sha256, recipe, data.validation, run / "cache", device)
    temperature = fit_temperature(logits, data.validation.labels)
    facts = read_json(run / _FACTS) if (run / _FACTS).exists() else {}
    grouping = grouped(data.validation, known=facts.get("guard", {}).get("patients") == "known")
    print("control classifier on eleven histogram numbers …", flush=True)
    parts = {
        "pictures": Answers(
            data.validation,
            logits,
            grouping,
            temperature,
            cross_fitted_temperatures(logits, data.validation.labels, grouping.groups),
            control_answers(data.train, data.validation, recipe.seed),
        )
    }
    if data.validation_slices is not None and data.train_slices is not None:
        sliced = _kept_logits(network, sha256, recipe, data.validation_slices, run / "cache", device)
        control = control_answers(data.train_slices, data.validation_slices, recipe.seed)
        parts["slices"] = Answers(
            data.validation_slices, sliced, grouped(data.validation_slices), temperature, None, control
        )
    limit = type_limit(logits, data.validation.labels, grouping.groups, temperature, recipe.seed)
    metrics: dict[str, Any] = {
        "epoch": epoch,
        "weights_sha256": sha256,
        "temperature": temperature,
        "mirror_average": recipe.output.mirror_average,
        "classes": [kind.value for kind in CLASSES],
        "train_pictures": len(data.train),
        "train_slices": 0 if data.train_slices is None else len(data.train_slices),
        "control_features": list(FEATURES),
        "data": facts,
        **({} if limit is None else {"type_limit": limit}),
    }
    for name, answers in parts.items():
        print(f"{name}: intervals from {resamples} draws of {answers.grouping.count} groups …", flush=True)
        metrics[name] = told(answers, resamples, recipe.seed)
    return Evaluation(network, parts, metrics)


def told(answers: Answers, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """The numbers of one set of pictures, with intervals by group: a table of `metrics.json`."""
    labels = answers.pictures.labels
    numbers = summary(answers.logits, labels, answers.temperature)
    found = answers.figures()
    if answers.cross_fitted is not None:
        numbers |= {name: found[name] for name in found if name.endswith("_cross_fitted")}
        numbers["temperatures_cross_fitted"] = sorted({round(float(t), 4) for t in answers.cross_fitted.ravel()})
    intervals = intervals_by_group(
        answers.grouping.groups, answers.figures, strata=labels.tolist(), resamples=resamples, seed=seed
    )
    numbers["control"] = {
        name.removeprefix(_CONTROL): value for name, value in found.items() if name.startswith(_CONTROL)
    }
    numbers |= {
        "groups": answers.grouping.count,
        "group_is": answers.grouping.words,
        "intervals": {name: list(interval) for name, interval in intervals.items()},
        "intervals_from": resamples if intervals else 0,
    }
    if not intervals:
        numbers["no_intervals"] = f"a class has fewer than {FEWEST_GROUPS} groups"
    return numbers


def _kept_logits(
    network: nn.Module,
    sha256: str,
    recipe: ClassifierRecipe,
    pictures: Pictures,
    cache: Path,
    device: torch.device,
) -> FloatArray:
    """Logits (N, classes) as the node computes them, or from `cache` if these weights saw these pictures before."""
    size, normalisation = recipe.input.size, recipe.input.normalisation
    shown = hashlib.sha256(pictures.grey.tobytes()).hexdigest()
    key = hash_of([sha256, shown, size, normalisation, recipe.output.mirror_average, recipe.network.model_dump()])
    stored = cache / f"logits-{pictures.source}-{key[:16]}.npy"
    if stored.exists():
        return np.asarray(np.load(stored), dtype=np.float64)
    parts = []
    with torch.inference_mode():
        starts, words = range(0, len(pictures), _BATCH), f"answers to {len(pictures)} {pictures.source}"
        for start in track(starts, description=words, console=Console(stderr=True)):
            grey = resized(pictures.grey[start : start + _BATCH], size).to(device)
            shown_to = to_network(grey, normalisation)
            parts.append(picture_logits(network, shown_to, mirror_average=recipe.output.mirror_average).cpu().numpy())
    logits = np.concatenate(parts).astype(np.float64)
    content = io.BytesIO()
    np.save(content, logits, allow_pickle=False)
    cache.mkdir(parents=True, exist_ok=True)
    write_atomically(stored, content.getvalue())
    return logits
