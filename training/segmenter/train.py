"""The training loop: seeded, resumable to the bit, the same on processor and GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bt_node.domain.study import Role
from bt_node.domain.tumour import Region
from bt_node.infer.device import has_fast_bfloat16
from bt_node.infer.networks.build import build_network
from bt_node.infer.segmenter import channels_last
from training.progress import Display, Pace
from training.runs import MetricsTable, load_tensors, save_tensors
from training.segmenter.curves import CURVES, draw_curves
from training.segmenter.evaluate import REGIONS, mean_scores, score_case, unreleased
from training.segmenter.leaks import check_no_leak
from training.segmenter.loss import RegionLoss
from training.segmenter.optimise import laid_out_as, learning_rate, make_optimiser
from training.segmenter.origin import begin_from
from training.segmenter.outlook import TIMED_STEPS, memory_in_words, plan_in_words, time_in_words
from training.segmenter.patches import PatchSource
from training.segmenter.recipe import SegmenterRecipe
from training.segmenter.run_folder import (
    BEST,
    CHECKPOINT,
    METRICS,
    RECIPE,
    SPLIT,
    RunMismatchError,
    TrainingData,
    cases_of,
    check_run_folder,
    claim_run_folder,
    draw_split,
    load_data,
    prepared_split,
    read_split,
)

__all__ = [
    "CHECKPOINT",
    "RECIPE",
    "SPLIT",
    "DivergedError",
    "RunMismatchError",
    "Trainer",
    "TrainingData",
    "prepared_split",
    "read_split",
    "train",
]
_COLUMNS = ("step", "loss", "learning_rate", "seconds", *(f"dice_{region.value}" for region in REGIONS))
_ROW_EVERY = 10  # steps


class DivergedError(ValueError):
    """The loss is not a number any more; the last checkpoint is from before that."""


def train(recipe: SegmenterRecipe, data: Path, run: Path, device: torch.device) -> None:
    """Train, or go on where the run folder's checkpoint stopped.

    Args:
        recipe: what to do.
        data: folder of cases, in the recipe's layout.
        run: folder for recipe, split, cache, metrics, curves and checkpoint; made when absent.
        device: where to compute.

    Raises:
        CaseError: a case is incomplete or unsound, or the same head lies on both sides of the split.
        DivergedError: the loss is not a number any more.
        DiskFullError: no space left; the run can go on.
        RunMismatchError: the run folder was made with another recipe or other cases.
    """
    run.mkdir(parents=True, exist_ok=True)
    found = cases_of(recipe.data, data)
    split = draw_split(recipe, found.cases)
    check_run_folder(run, recipe, split)
    trainer = Trainer(recipe, device)
    print(f"{len(found.cases)} cases in the {found.layout} layout", *found.notes, sep="\n")
    print(plan_in_words(recipe, split, trainer.parameters, device, run), flush=True)
    trainer.resume(run / CHECKPOINT)
    if recipe.network.start_from is not None and trainer.step == 0:
        trainer.start(begin_from(recipe.network.start_from, split.validation, found.kept_apart, run))
    prepared = load_data(found.cases, split, recipe, run)
    check_no_leak(prepared.training, prepared.validation)
    claim_run_folder(run, recipe, split)
    trainer.run(prepared, run)


class Trainer:
    """Network, averaged network and optimiser, and the step they stand at."""

    def __init__(self, recipe: SegmenterRecipe, device: torch.device) -> None:
        torch.manual_seed(recipe.seed)
        self._recipe, self._device, self.step = recipe, device, 0
        self._network = build_network(recipe.network.architecture, recipe.network.arguments).to(device)
        channels_last(self._network)
        self._average = AveragedModel(self._network, multi_avg_fn=_moving_average(recipe.optimiser.ema_decay))
        self._optimiser = make_optimiser(recipe.optimiser, self._network.parameters())
        self._forward: Callable[[Tensor], Any] = self._network
        if recipe.optimiser.compile and device.type == "cuda":  # compiling for the processor costs more than it saves
            self._forward = torch.compile(self._network)
        self._loss = RegionLoss(
            exclusive=recipe.output.channels == "exclusive",
            cross_entropy=recipe.optimiser.loss == "dice+bce",
            smooth_voxels=recipe.optimiser.dice_smooth_voxels,
        )

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(parameter.numel() for parameter in self._network.parameters())

    @property
    def averaged_network(self) -> nn.Module:
        """The network with averaged weights: what is validated and released."""
        module: nn.Module = self._average.module
        return module

    def start(self, weights: Mapping[str, Tensor]) -> None:
        """Begin from another network's weights instead of random ones.

        Raises:
            RunMismatchError: they are of another network.
        """
        try:
            self._network.load_state_dict(weights)
        except RuntimeError as error:
            raise RunMismatchError(f"the weights to start from are of another network: {error}") from error
        self._average.module.load_state_dict(self._network.state_dict())

    def run(self, data: TrainingData, run: Path) -> None:
        """Train to the recipe's last step, writing metrics, curves and checkpoints into the run folder."""
        recipe, plan = self._recipe, self._recipe.optimiser
        source = PatchSource(data.training, recipe.data.roles, recipe.sampling, recipe.augmentation, recipe.seed)
        table = MetricsTable(run / METRICS, _COLUMNS, resume_at=self.step)
        pace, began, first = Pace(plan.steps, self.step, plan.validate_every), time.monotonic(), self.step
        with Display(plan.steps, self.step) as display:
            while self.step < plan.steps:
                loss = self.train_step(*source.batch(self.step))
                pace.step(self.step)
                self._tell(display, pace, loss, self.step - first)
                last = self.step == plan.steps
                scores = {}
                if self.step % plan.validate_every == 0 or last:
                    scores = self._validate(data, display)
                    pace.validated()
                if self.step % _ROW_EVERY == 0 or scores:
                    row = {"step": self.step, "loss": loss, "learning_rate": learning_rate(plan, self.step)}
                    table.append(row | {"seconds": round(time.monotonic() - began, 1)} | scores)
                if scores:
                    self._keep_best(run / BEST, table.rows())
                    draw_curves(run / CURVES, table.rows(), [region.value for region in REGIONS])
                if self.step % plan.checkpoint_every == 0 or last:
                    self.save(run / CHECKPOINT)

    def _tell(self, display: Display, pace: Pace, loss: float, steps: int) -> None:
        if steps == 1:
            display.say(memory_in_words(self._device))
        if steps == TIMED_STEPS:
            display.say(time_in_words(pace))
        display.step(self.step, loss, pace)

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
            output = self._forward(images)
        loss = self._loss(output, regions.to(self._device), self._counted(images))
        if not torch.isfinite(loss):
            raise DivergedError(f"the loss at step {self.step} is {float(loss.detach())}; lower the learning rate")
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), self._recipe.optimiser.clip_norm)
        self._optimiser.step()
        self._average.update_parameters(self._network)
        self.step += 1
        return float(loss.detach())

    def _counted(self, images: Tensor) -> Tensor | None:
        """Which regions of which patch teach: enhancing tumour does not where T1c is blank, for it cannot be seen.

        Taught there, a network guesses enhancement from the other sequences, also where T1c shows none.
        """
        roles = self._recipe.data.roles
        if Role.T1C not in roles or self._recipe.output.channels == "exclusive":
            return None
        counted = torch.ones((len(images), len(REGIONS)), dtype=torch.bool, device=images.device)
        counted[:, REGIONS.index(Region.ET)] = images[:, roles.index(Role.T1C)].flatten(1).any(dim=1)
        return counted

    def save(self, path: Path) -> None:
        """Write network, averaged network and optimiser state to one safetensors file."""
        optimiser = self._optimiser.state_dict()["state"]
        tensors = {f"network.{name}": value for name, value in self._network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self._average.state_dict().items()}
        tensors |= {f"optimiser.{i}.{name}": value for i, state in optimiser.items() for name, value in state.items()}
        save_tensors(path, tensors, {"step": self.step})

    def _keep_best(self, path: Path, rows: Sequence[Mapping[str, str]]) -> None:
        """Write the averaged network if the newest validation is the best of all rows, by mean Dice."""
        means = [mean for row in rows if (mean := mean_dice(row)) is not None]
        if means[-1] == max(means):
            average = {f"average.{name}": value for name, value in self._average.state_dict().items()}
            save_tensors(path, average, {"step": self.step, "mean_dice": means[-1], "validations": len(means)})

    def resume(self, path: Path) -> None:
        """Take up the state that `save` wrote; a missing file leaves the trainer fresh."""
        if not path.exists():
            return
        tensors, state = load_tensors(path)
        self._network.load_state_dict(_under("network.", tensors))
        self._average.load_state_dict(_under("average.", tensors))
        moments = laid_out_as(list(self._network.parameters()), _under("optimiser.", tensors))
        self._optimiser.load_state_dict(self._optimiser.state_dict() | {"state": moments})
        self.step = int(state["step"])
        print(f"resumed at step {self.step}", flush=True)

    def _validate(self, data: TrainingData, display: Display) -> dict[str, float]:
        segmenter = unreleased(self._recipe, self.averaged_network, self._device)
        means = mean_scores([score_case(segmenter, case) for case in data.validation])
        words = "  ".join(f"{region.value} {means[region]:.3f}" for region in REGIONS)
        display.validation(self.step, words)
        return {f"dice_{region.value}": round(means[region], 4) for region in REGIONS}


def mean_dice(row: Mapping[str, str]) -> float | None:
    """Mean over the regions of a row of metrics.csv; None where nothing was validated."""
    values = [float(row[f"dice_{region.value}"]) for region in REGIONS if row.get(f"dice_{region.value}")]
    return sum(values) / len(values) if values else None


def _moving_average(decay: float) -> Any:
    return get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch leaves it bare


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
