"""The training loop: seeded, resumable to the bit, the same on processor and GPU."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bt_node.infer.device import has_fast_bfloat16
from bt_node.infer.networks.build import build_network
from bt_node.infer.segmenter import channels_last
from training.runs import MetricsTable, TimeLeft, hash_of, load_tensors, read_json, save_tensors, write_json
from training.segmenter.cases import Case, Split, find_brats2018, split_by_case
from training.segmenter.evaluate import REGIONS, mean_scores, score_case, unreleased
from training.segmenter.loss import RegionLoss
from training.segmenter.patches import PatchSource
from training.segmenter.prepared import PreparedCase, cached_cases
from training.segmenter.recipe import OptimiserRecipe, SegmenterRecipe

CHECKPOINT = "checkpoint.safetensors"
SPLIT = "split.json"
RECIPE = "recipe.json"
_COLUMNS = ("step", "loss", "learning_rate", "seconds", *(f"dice_{region.value}" for region in REGIONS))


class RunMismatchError(ValueError):
    """The run folder belongs to another recipe or other data."""


class DivergedError(ValueError):
    """The loss is not a number any more; the last checkpoint is from before that."""


@dataclass(frozen=True)
class TrainingData:
    """Both sides of the split, ready for the network."""

    training: tuple[PreparedCase, ...]
    validation: tuple[PreparedCase, ...]


def train(recipe: SegmenterRecipe, data: Path, run: Path, device: torch.device) -> None:
    """Train, or go on where the run folder's checkpoint stopped.

    Args:
        recipe: what to do.
        data: folder of cases, in the recipe's layout.
        run: folder for recipe, split, cache, metrics and checkpoint; made when absent.
        device: where to compute.

    Raises:
        CaseError: a case is incomplete or unsound.
        DivergedError: the loss is not a number any more.
        RunMismatchError: the run folder was made with another recipe or other cases.
    """
    run.mkdir(parents=True, exist_ok=True)
    cases = find_brats2018(data)
    split = split_by_case([case.name for case in cases], recipe.data.validation_cases, recipe.seed)
    _claim_run_folder(run, recipe, split)
    trainer = Trainer(recipe, device)
    trainer.resume(run / CHECKPOINT)
    print(f"{trainer.parameters / 1e6:.1f} million parameters on {device}; split {split.sha256[:12]}", flush=True)
    trainer.run(load_data(cases, split, recipe, run), run)


def prepared_split(recipe: SegmenterRecipe, data: Path, run: Path) -> TrainingData:
    """The cases of an existing run, both sides.

    Raises:
        RunMismatchError: `data` does not hold the cases of the run's split.
    """
    cases, split = find_brats2018(data), read_split(run)
    absent = {*split.training, *split.validation} - {case.name for case in cases}
    if absent:
        raise RunMismatchError(f"{data} lacks cases of the run: {', '.join(sorted(absent))}")
    return load_data(cases, split, recipe, run)


def load_data(cases: Sequence[Case], split: Split, recipe: SegmenterRecipe, run: Path) -> TrainingData:
    """Prepare (or read from the run's cache) the cases of a split."""
    by_name = {case.name: case for case in cases}
    return TrainingData(
        cached_cases([by_name[name] for name in split.training], recipe.data.roles, run / "cache"),
        cached_cases([by_name[name] for name in split.validation], recipe.data.roles, run / "cache"),
    )


def read_split(run: Path) -> Split:
    """The split that a run was trained with.

    Raises:
        RunMismatchError: the folder is not a run.
    """
    if not (run / SPLIT).exists():
        raise RunMismatchError(f"{run} is not a run folder: {SPLIT} is missing")
    stored = read_json(run / SPLIT)
    return Split(tuple(stored["training"]), tuple(stored["validation"]))


class Trainer:
    """Network, averaged network and optimiser, and the step they stand at."""

    def __init__(self, recipe: SegmenterRecipe, device: torch.device) -> None:
        torch.manual_seed(recipe.seed)
        self._recipe, self._device, self.step = recipe, device, 0
        self._network = build_network(recipe.network.architecture, recipe.network.arguments).to(device)
        channels_last(self._network)
        self._average = AveragedModel(self._network, multi_avg_fn=_moving_average(recipe.optimiser.ema_decay))
        self._optimiser = AdamW(
            self._network.parameters(),
            recipe.optimiser.learning_rate,
            weight_decay=recipe.optimiser.weight_decay,
            fused=True,
        )
        self._loss = RegionLoss()

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(parameter.numel() for parameter in self._network.parameters())

    @property
    def averaged_network(self) -> nn.Module:
        """The network with averaged weights: what is validated and released."""
        module: nn.Module = self._average.module
        return module

    def run(self, data: TrainingData, run: Path) -> None:
        """Train to the recipe's last step, writing metrics and checkpoints into the run folder."""
        plan = self._recipe.optimiser
        recipe = self._recipe
        source = PatchSource(data.training, recipe.data.roles, recipe.sampling, recipe.augmentation, recipe.seed)
        table = MetricsTable(run / "metrics.csv", _COLUMNS, resume_at=self.step)
        clock, began = TimeLeft(plan.steps, self.step), time.monotonic()
        while self.step < plan.steps:
            loss = self.train_step(*source.batch(self.step))
            last = self.step == plan.steps
            if self.step % 10 == 0 or last:
                print(f"step {self.step}/{plan.steps}  loss {loss:.3f}  {clock.step(self.step)}", flush=True)
                row = {"step": self.step, "loss": loss, "learning_rate": learning_rate(plan, self.step)}
                scores = self._validate(data) if self.step % plan.validate_every == 0 or last else {}
                table.append(row | {"seconds": round(time.monotonic() - began, 1)} | scores)
            if self.step % plan.checkpoint_every == 0 or last:
                self.save(run / CHECKPOINT)

    def train_step(self, images: Tensor, regions: Tensor) -> float:
        """One step of gradient descent on one batch; answers the loss.

        Raises:
            DivergedError: the loss is not finite; no weight was changed.
        """
        # Dropout draws from torch's generator: seeded by the step, a resumed run drops what it would have dropped.
        torch.manual_seed(self._recipe.seed * 1_000_003 + self.step)
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(self._recipe.optimiser, self.step)
        self._network.train()
        images = images.to(self._device, memory_format=torch.channels_last_3d)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=has_fast_bfloat16(self._device)):
            output = self._network(images)
        loss = self._loss(output, regions.to(self._device))
        if not torch.isfinite(loss):
            raise DivergedError(f"the loss at step {self.step} is {float(loss.detach())}; lower the learning rate")
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), self._recipe.optimiser.clip_norm)
        self._optimiser.step()
        self._average.update_parameters(self._network)
        self.step += 1
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write network, averaged network and optimiser state to one safetensors file."""
        optimiser = self._optimiser.state_dict()["state"]
        tensors = {f"network.{name}": value for name, value in self._network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self._average.state_dict().items()}
        tensors |= {f"optimiser.{i}.{name}": value for i, state in optimiser.items() for name, value in state.items()}
        save_tensors(path, tensors, {"step": self.step})

    def resume(self, path: Path) -> None:
        """Take up the state that `save` wrote; a missing file leaves the trainer fresh."""
        if not path.exists():
            return
        tensors, state = load_tensors(path)
        self._network.load_state_dict(_under("network.", tensors))
        self._average.load_state_dict(_under("average.", tensors))
        moments = _moments(_under("optimiser.", tensors), list(self._network.parameters()))
        self._optimiser.load_state_dict(self._optimiser.state_dict() | {"state": moments})
        self.step = int(state["step"])
        print(f"resumed at step {self.step}", flush=True)

    def _validate(self, data: TrainingData) -> dict[str, float]:
        segmenter = unreleased(self._recipe, self.averaged_network, self._device)
        means = mean_scores([score_case(segmenter, case) for case in data.validation])
        words = "  ".join(f"{region.value} {means[region]:.3f}" for region in REGIONS)
        print(f"step {self.step}  validation Dice  {words}", flush=True)
        return {f"dice_{region.value}": round(means[region], 4) for region in REGIONS}


def learning_rate(plan: OptimiserRecipe, step: int) -> float:
    """Linear warm-up, then a cosine down to a hundredth."""
    if step < plan.warmup_steps:
        return plan.learning_rate * (step + 1) / plan.warmup_steps
    share = (step - plan.warmup_steps) / max(1, plan.steps - plan.warmup_steps)
    return plan.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, share))))


def _moving_average(decay: float) -> Any:
    return get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch leaves it bare


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _moments(tensors: Mapping[str, Tensor], parameters: Sequence[Tensor]) -> dict[int, dict[str, Tensor]]:
    """Optimiser state by parameter, laid out in memory as its parameter is.

    A checkpoint stores plain order, but fused AdamW walks parameter and moments side by side without looking at
    strides: moments in another layout would silently belong to other weights.
    """
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        like = parameters[int(index)]
        laid_out = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
        moments.setdefault(int(index), {})[name] = laid_out.detach()
    return moments


def _claim_run_folder(run: Path, recipe: SegmenterRecipe, split: Split) -> None:
    """Write recipe and split into a new run folder; in an old one they must be the same."""
    mine = recipe.model_dump(mode="json")
    if (run / RECIPE).exists() and hash_of(read_json(run / RECIPE)) != hash_of(mine):
        raise RunMismatchError(f"{run} was begun with another recipe; take a new run folder")
    if (run / SPLIT).exists() and read_split(run).sha256 != split.sha256:
        raise RunMismatchError(f"{run} was begun with other cases; take a new run folder")
    write_json(run / RECIPE, mine)
    write_json(
        run / SPLIT, {"training": split.training, "validation": split.validation, "split_sha256": split.sha256}
    )
