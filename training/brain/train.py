"""The training loop of the brain finder: one head a step, averaged weights, everything from one seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from bt_node.infer.networks.build import build_network
from training.brain.augment import Frame, as_it_is, drawn
from training.brain.heads import Head
from training.runs import write_atomically, write_json

ARCHITECTURE = "unet"
ARGUMENTS: dict[str, Any] = {
    "in_channels": 4,
    "out_channels": 1,
    "channels": [16, 32, 64, 96, 96],
    "residual_units": 2,
    "bottleneck_dropout": 0.1,
}
FRAME = Frame((80, 96, 80), 2.5)
WEIGHTS, SCORES = "weights.safetensors", "scores.json"
_CLIP = 2.0
_HALF = 0.5


@dataclass(frozen=True)
class Plan:
    """Steps, peak learning rate of the one-cycle schedule, seed, and how often the held-out heads are scored."""

    steps: int = 2000
    learning_rate: float = 2e-3
    seed: int = 0
    validate_every: int = 100


def train(
    train_heads: Sequence[Path],
    validation_heads: Sequence[Path],
    run: Path,
    plan: Plan,
    say: Callable[[str], None] = print,
    start: Path | None = None,
) -> list[float]:
    """Train and write the averaged weights and their scores into `run` at each validation.

    Args:
        train_heads: files of `training.brain.heads`.
        validation_heads: heads made from other patients.
        run: folder for weights and scores.
        plan: see there.
        say: gets one line at each validation.
        start: weights of an earlier run to go on from.

    Returns:
        Dice of each validation head at the end, as it is on the frame.
    """
    torch.manual_seed(plan.seed)
    random = np.random.default_rng(plan.seed)
    network = build_network(ARCHITECTURE, ARGUMENTS)
    if start is not None:
        network.load_state_dict(safetensors.torch.load_file(start))
    averaged = {name: value.clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, plan.learning_rate, total_steps=plan.steps, pct_start=0.1
    )
    begun, scores = time.monotonic(), []
    for step in range(1, plan.steps + 1):
        images, brain = drawn(Head.load(train_heads[int(random.integers(len(train_heads)))]), FRAME, random)
        network.train()
        loss = loss_of(network(images), brain)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        optimiser.step()
        schedule.step()
        _follow(averaged, network, min(0.995, (step + 1) / (step + 10)))
        if step % plan.validate_every == 0 or step == plan.steps:
            scores = score(averaged, validation_heads)
            write_atomically(run / WEIGHTS, safetensors.torch.save(averaged))
            write_json(run / SCORES, {"plan": asdict(plan), "step": step, "dice": scores})
            mean = sum(scores) / len(scores)
            say(f"step {step}: loss {loss.item():.3f}, Dice {mean:.3f}, {time.monotonic() - begun:.0f} s")
    return scores


def score(weights: dict[str, Tensor], heads: Sequence[Path]) -> list[float]:
    """Dice of brain on each head, as it is, on the training's frame."""
    network = build_network(ARCHITECTURE, ARGUMENTS)
    network.load_state_dict(weights)
    network.eval()
    found = []
    with torch.inference_mode():
        for path in heads:
            images, brain = as_it_is(Head.load(path), FRAME)
            found.append(dice(network(images).sigmoid() > _HALF, brain > _HALF))
    return found


def dice(first: Tensor, second: Tensor) -> float:
    """Dice of two boolean tensors; 1 where both are empty."""
    total = int(first.sum() + second.sum())
    return 2 * int((first & second).sum()) / total if total else 1.0


def loss_of(logits: Tensor, brain: Tensor) -> Tensor:
    """Cross-entropy with the share of brain plus soft Dice: the one weighs every voxel, the other the whole."""
    probability = logits.sigmoid()
    overlap = 2 * (probability * brain).sum() + 1
    soft_dice = overlap / (probability.square().sum() + brain.square().sum() + 1)
    return functional.binary_cross_entropy_with_logits(logits, brain) + 1 - soft_dice


def _follow(averaged: dict[str, Tensor], network: nn.Module, keep: float) -> None:
    with torch.no_grad():
        for name, value in network.state_dict().items():
            averaged[name].lerp_(value, 1 - keep)
