"""How the weights change: algorithm, learning rate, and optimiser state that survives a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from training.segmenter.recipe import OptimiserRecipe

_LAST_SHARE = 0.01  # the cosine ends at a hundredth
_POLY_POWER = 0.9  # arXiv:1810.11654, section 2.4


def make_optimiser(plan: OptimiserRecipe, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """AdamW (decay apart from the gradient), or Adam with an L2 penalty as arXiv:1810.11654 has it."""
    kind = {"adamw": AdamW, "adam": Adam}[plan.algorithm]
    return kind(parameters, plan.learning_rate, weight_decay=plan.weight_decay, fused=True)


def learning_rate(plan: OptimiserRecipe, step: int) -> float:
    """Linear warm-up, then the recipe's schedule: a cosine down to a hundredth, or a polynomial down to nothing."""
    if step < plan.warmup_steps:
        return plan.learning_rate * (step + 1) / plan.warmup_steps
    share = min(1.0, (step - plan.warmup_steps) / max(1, plan.steps - plan.warmup_steps))
    return plan.learning_rate * _FALL[plan.schedule](share)


def laid_out_as(parameters: Sequence[Tensor], tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """Optimiser state by parameter, laid out in memory as its parameter is.

    A checkpoint stores plain order, but fused AdamW walks parameter and moments side by side without looking at
    strides: moments in another layout would silently belong to other weights.

    Args:
        parameters: the network's, in order.
        tensors: state by "INDEX.NAME".
    """
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        like = parameters[int(index)]
        laid_out = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
        moments.setdefault(int(index), {})[name] = laid_out.detach()
    return moments


def _cosine(share: float) -> float:
    return _LAST_SHARE + (1 - _LAST_SHARE) * 0.5 * (1 + math.cos(math.pi * share))


def _poly(share: float) -> float:
    return float((1 - share) ** _POLY_POWER)


_FALL: Mapping[str, Callable[[float], float]] = {"cosine": _cosine, "poly": _poly}
