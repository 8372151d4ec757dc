"""The training loop: epochs of growing picture size, a running average of the weights, checkpoints to resume from.

Every epoch draws its random numbers from (seed, epoch) alone, so that a run that was cut off and resumed ends with
the same weights as one that was not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from bt_node.domain.geometry import FloatArray
from bt_node.domain.tumour import TumourType
from bt_node.infer.device import float32_only
from bt_node.infer.networks.build import build_network
from bt_node.infer.picture import to_network
from training.classifier.augment import augment
from training.classifier.metrics import (
    balanced_accuracy,
    negative_log_likelihood,
    three_class_balanced_accuracy,
)
from training.classifier.pictures import CLASSES, Bytes, Pictures
from training.classifier.plots import draw_curves, save
from training.classifier.pretrained import load_pretrained
from training.classifier.recipe import ClassifierRecipe, SamplingRecipe
from training.progress import Display, Pace
from training.runs import MetricsTable, load_tensors, save_tensors

LAST, BEST = "last.safetensors", "best.safetensors"
METRICS, CURVES = "metrics.csv", "curves.png"
_COLUMNS = (
    "step",
    "size",
    "learning_rate",
    "loss",
    "val_nll",
    "val_balanced",
    "val_three_tumours",
    "slices_balanced",
)
_EVALUATION_BATCH = 64


@dataclass(frozen=True)
class Data:
    """What a run learns from and what it is measured on; slices may be absent."""

    train: Pictures
    validation: Pictures
    train_slices: Pictures | None = None
    validation_slices: Pictures | None = None


@dataclass(frozen=True)
class Progress:
    """How far a run is, and its best epoch so far."""

    epoch: int = 0  # epochs that are finished
    best: float = -math.inf
    best_epoch: int = 0


class Trainer:
    """One run. `train` goes on from the last checkpoint in the run's folder, if there is one."""

    def __init__(self, recipe: ClassifierRecipe, data: Data, run: Path, device: torch.device) -> None:
        self.recipe, self.data, self.run, self.device = recipe, data, run, device
        torch.manual_seed(recipe.seed)
        arguments = {"classes": len(CLASSES), **recipe.network.arguments}
        self.network = build_network(recipe.network.architecture, arguments).to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        settings = recipe.optimiser
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.algorithm]
        self.optimiser = kind(
            self.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._forward: Callable[[torch.Tensor], Any] = self.network
        if settings.compile and device.type == "cuda":
            self._forward = torch.compile(self.network)
        self.weights = class_weights(data, recipe.sampling).to(device)
        self.progress = Progress()

    def start_from(self, path: Path) -> str:
        """Begin with a user's weights instead of random ones; returns their SHA-256. A checkpoint still wins."""
        sha256 = load_pretrained(self.network, path)
        self.average = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        return sha256

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one epoch; the last, smaller batch is left out (batch normalisation dislikes it)."""
        return max(1, sum(expected_counts(self.data, self.recipe.sampling)) // self.recipe.sampling.batch)

    def train(self) -> Progress:
        """Run all epochs that are left, or until the last stage stops improving."""
        self._resume()
        steps = self.recipe.epochs * self.steps_per_epoch
        done = self.progress.epoch * self.steps_per_epoch
        table = MetricsTable(self.run / METRICS, _COLUMNS, resume_at=self.progress.epoch)
        pace = Pace(steps, done, self.steps_per_epoch)
        with Display(steps, done, score="balanced accuracy") as display:
            while self.progress.epoch < self.recipe.epochs and not self._out_of_patience():
                epoch = self.progress.epoch
                loss = self._epoch(epoch, display, pace)
                size = self.recipe.size_in(epoch)
                row = {"step": epoch + 1, "size": size, "loss": round(loss, 5), **self._validate(epoch)}
                pace.validated()
                table.append(row)
                self._note(
                    epoch, -float(row["val_nll"])
                )  # a proper score: sure mistakes count, and all classes alike
                display.validation((epoch + 1) * self.steps_per_epoch, f"{row['val_balanced']:.3f}")
                display.say(f"epoch {epoch + 1}/{self.recipe.epochs}: {_in_words(row)}")
                self._draw()
        return self.progress

    def _draw(self) -> None:
        figure = draw_curves(self.run / METRICS)
        if figure is not None:
            save(figure, self.run / CURVES)

    def _epoch(self, epoch: int, display: Display, pace: Pace) -> float:
        """Train one epoch; returns its mean loss."""
        torch.manual_seed(self.recipe.seed * 1000 + epoch)
        generator = torch.Generator().manual_seed(self.recipe.seed * 1000 + epoch)
        size, losses = self.recipe.size_in(epoch), []
        self._set_learning(frozen=self.recipe.stage_of(epoch).frozen)
        batches = draw_epoch(self.data, self.recipe.sampling, np.random.default_rng((self.recipe.seed, epoch)))
        for number, (grey, labels) in enumerate(batches):
            pictures = augment(resized(grey, size), self.recipe.augmentation, generator).to(self.device)
            step = epoch * self.steps_per_epoch + number
            pictures, others, share = mix(pictures, self.recipe.augmentation.mixup, generator)
            truth = torch.from_numpy(labels).to(self.device)
            losses.append(self._step(pictures, (truth, truth[others]), share, step))
            pace.step(step + 1)
            display.step(step + 1, losses[-1], pace)
        return float(np.mean(losses))

    def _set_learning(self, *, frozen: bool) -> None:
        """Let all layers learn, or only the last: then the others keep their batch statistics too."""
        self.network.train(not frozen)
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(not frozen or name.startswith(str(self.network.head_prefix)))

    def _step(
        self, pictures: torch.Tensor, labels: tuple[torch.Tensor, torch.Tensor], share: float, step: int
    ) -> float:
        """One step on pictures that are `share` of the first labels and the rest of the second."""
        settings = self.recipe.optimiser
        for group in self.optimiser.param_groups:
            group["lr"] = self._learning_rate(step)
        normalised = to_network(pictures, self.recipe.input.normalisation).contiguous(
            memory_format=torch.channels_last
        )
        low_precision = self.device.type == "cuda" if settings.bfloat16 is None else settings.bfloat16
        with torch.autocast(self.device.type, torch.bfloat16, enabled=low_precision and not float32_only()):
            logits = self._forward(normalised).float()
        first, second = (
            functional.cross_entropy(logits, truth, weight=self.weights, label_smoothing=settings.label_smoothing)
            for truth in labels
        )
        loss = share * first + (1 - share) * second
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip_norm)
        self.optimiser.step()
        self._update_average(step)
        return float(loss.detach())

    def _learning_rate(self, step: int) -> float:
        """Rise over the warm-up, then fall along a cosine to nothing."""
        settings, total = self.recipe.optimiser, self.recipe.epochs * self.steps_per_epoch
        if step < settings.warmup_steps:
            return settings.learning_rate * (step + 1) / settings.warmup_steps
        done = (step - settings.warmup_steps) / max(1, total - settings.warmup_steps)
        return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def _update_average(self, step: int) -> None:
        """Exponential moving average; young averages forget faster, or they would remember the random start."""
        decay = min(self.recipe.optimiser.ema_decay, (1 + step) / (10 + step))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value.detach(), 1 - decay)
            else:
                self.average[name].copy_(value)

    def _validate(self, epoch: int) -> dict[str, float]:
        """Measure the averaged weights at this epoch's picture size."""
        size = self.recipe.size_in(epoch)
        rate = self._learning_rate((epoch + 1) * self.steps_per_epoch - 1)
        logits = self._averaged_logits(self.data.validation, size)
        labels = self.data.validation.labels
        three = three_class_balanced_accuracy(logits, labels)
        row = {
            "learning_rate": rate,
            "val_nll": negative_log_likelihood(logits, labels),
            "val_balanced": balanced_accuracy(labels, logits.argmax(axis=1)),
            "val_three_tumours": math.nan if three is None else three,
        }
        if self.data.validation_slices is not None:
            slices = self.data.validation_slices
            predicted = self._averaged_logits(slices, size).argmax(axis=1)
            row["slices_balanced"] = balanced_accuracy(slices.labels, predicted)
        return {name: float(f"{value:.5g}") for name, value in row.items()}

    def _averaged_logits(self, pictures: Pictures, size: int) -> FloatArray:
        current = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.average)
        try:
            return network_logits(self.network, pictures, size, self.recipe.input.normalisation, self.device)
        finally:
            self.network.load_state_dict(current)

    def _out_of_patience(self) -> bool:
        """The last stage has gone `patience` epochs without a better one."""
        last_stage = self.recipe.epochs - self.recipe.stages[-1].epochs
        since = self.progress.epoch - max(self.progress.best_epoch, last_stage)
        return self.progress.epoch > last_stage and since >= self.recipe.optimiser.patience

    def _note(self, epoch: int, score: float) -> None:
        """Keep the best weights of the *current* picture size, and a checkpoint after each epoch."""
        new_stage = epoch > 0 and self.recipe.size_in(epoch) != self.recipe.size_in(epoch - 1)
        best = -math.inf if new_stage else self.progress.best
        if score > best:
            self.progress = Progress(epoch + 1, score, epoch + 1)
            save_tensors(self.run / BEST, self.average, {"epoch": epoch + 1})
        else:
            self.progress = Progress(epoch + 1, best, self.progress.best_epoch)
        self._save()

    def _save(self) -> None:
        tensors = {f"network/{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"average/{name}": value for name, value in self.average.items()}
        for name, parameter in self.network.named_parameters():
            for key, value in self.optimiser.state[parameter].items():
                tensors[f"optimiser/{name}/{key}"] = torch.as_tensor(value)
        state = {"epoch": self.progress.epoch, "best": self.progress.best, "best_epoch": self.progress.best_epoch}
        save_tensors(self.run / LAST, tensors, state)

    def _resume(self) -> None:
        """Go on from the last checkpoint, if the run has one."""
        if not (self.run / LAST).exists():
            return
        tensors, state = load_tensors(self.run / LAST)
        self.network.load_state_dict(_under(tensors, "network/"))
        self.average = {name: value.to(self.device) for name, value in _under(tensors, "average/").items()}
        for name, parameter in self.network.named_parameters():
            kept = _under(tensors, f"optimiser/{name}/")
            self.optimiser.state[parameter] = {
                key: value if key == "step" else value.to(self.device) for key, value in kept.items()
            }
        self.progress = Progress(int(state["epoch"]), float(state["best"]), int(state["best_epoch"]))
        print(f"resuming after epoch {self.progress.epoch}", flush=True)


def _in_words(row: Mapping[str, float]) -> str:
    shown = {name: value for name, value in row.items() if name != "step" and not math.isnan(value)}
    return "  ".join(f"{name} {value:g}" for name, value in shown.items())


def mix(pictures: torch.Tensor, alpha: float, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Blend each picture with another one of the batch (mixup, arXiv:1710.09412).

    Returns:
        The blends, the place of each one's partner, and the share of the first picture (1 where alpha is 0).
    """
    if alpha == 0:
        return pictures, torch.arange(len(pictures), device=pictures.device), 1.0
    others = torch.randperm(len(pictures), generator=generator).to(pictures.device)
    share = float(np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator))).beta(alpha, alpha))
    return share * pictures + (1 - share) * pictures[others], others, share


def resized(grey: Bytes, size: int) -> torch.Tensor:
    """Framed bytes (N, S, S) as float 0 to 1 at `size`."""
    pictures = torch.from_numpy(grey).float()[:, None] / 255.0
    if grey.shape[-1] != size:
        pictures = functional.interpolate(pictures, size=(size, size), mode="bilinear", antialias=True)
    return pictures[:, 0]


def network_logits(
    network: nn.Module, pictures: Pictures, size: int, normalisation: str, device: torch.device
) -> FloatArray:
    """Logits (N, classes) of undistorted pictures."""
    network.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(pictures), _EVALUATION_BATCH):
            grey = resized(pictures.grey[start : start + _EVALUATION_BATCH], size).to(device)
            parts.append(network(to_network(grey, normalisation)).float().cpu().numpy())
    return np.concatenate(parts).astype(np.float64)


def draw_epoch(
    data: Data, sampling: SamplingRecipe, generator: np.random.Generator
) -> Iterator[tuple[Bytes, npt.NDArray[np.int64]]]:
    """Shuffled batches of one epoch: pictures without repetition, slices balanced between their two classes."""
    grey, labels = [], []
    for pictures, numbers in _drawn(data, sampling, generator):
        grey += [pictures.grey[number] for number in numbers]
        labels += [int(pictures.labels[number]) for number in numbers]
    order = generator.permutation(len(labels))
    whole = max(1, len(labels) // sampling.batch) * sampling.batch
    for start in range(0, min(whole, len(labels)), sampling.batch):
        batch = order[start : start + sampling.batch]
        yield np.stack([grey[number] for number in batch]), np.array([labels[number] for number in batch])


def _drawn(
    data: Data, sampling: SamplingRecipe, generator: np.random.Generator
) -> Iterator[tuple[Pictures, npt.NDArray[np.int64]]]:
    none = CLASSES.index(TumourType.NONE)
    for wanted, chosen in (
        (sampling.tumour_pictures, data.train.labels != none),
        (sampling.no_tumour_pictures, data.train.labels == none),
    ):
        numbers = np.flatnonzero(chosen)
        yield data.train, generator.permutation(numbers)[: min(wanted, len(numbers))]
    if data.train_slices is not None and sampling.volume_slices:
        for kind in np.unique(data.train_slices.labels):
            numbers = np.flatnonzero(data.train_slices.labels == kind)
            wanted = sampling.volume_slices // 2
            yield data.train_slices, generator.choice(numbers, wanted, replace=wanted > len(numbers))


def expected_counts(data: Data, sampling: SamplingRecipe) -> list[int]:
    """Pictures of each class that one epoch shows, in the order of `CLASSES` (rounded where parts are drawn)."""
    counts = np.bincount(data.train.labels, minlength=len(CLASSES)).astype(float)
    none = CLASSES.index(TumourType.NONE)
    tumours = counts.sum() - counts[none]
    counts[:none] *= min(1.0, sampling.tumour_pictures / max(1.0, tumours))
    counts[none] = min(counts[none], sampling.no_tumour_pictures)
    if data.train_slices is not None:
        for kind in np.unique(data.train_slices.labels):
            counts[kind] += sampling.volume_slices // 2
    return [round(count) for count in counts]


def class_weights(data: Data, sampling: SamplingRecipe) -> torch.Tensor:
    """Weights of the loss, so that each class counts alike over an epoch; their mean over its pictures is 1."""
    counts = np.asarray(expected_counts(data, sampling), dtype=float)
    weights = np.where(counts > 0, counts.sum() / (len(CLASSES) * np.maximum(counts, 1)), 0.0)
    return torch.tensor(weights, dtype=torch.float32)


def _under(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
