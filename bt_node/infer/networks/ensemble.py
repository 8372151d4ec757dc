"""Several networks as one: the mean of their probabilities, for example of the folds of a cross-validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

_SURE = 1e-7  # keeps the logit of a probability of 0 or 1 finite


class Ensemble(nn.Module):
    """Averages the members' probabilities and answers logits that stand for the mean, as a single network does.

    Maps (batch, roles, Z, Y, X) to float32 logits (batch, channels, Z, Y, X). Members are stored in one weights file
    under `members.0.`, `members.1.` and so on, so that one hash still names the whole release.

    Args:
        members: networks of the same inputs and outputs.
        exclusive: a voxel is one of the channels (softmax), instead of each channel for itself (sigmoid).
    """

    def __init__(self, members: Sequence[nn.Module], *, exclusive: bool = False) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self._exclusive = exclusive

    def forward(self, image: Tensor) -> Tensor:
        """Logits of the mean probability: their sigmoid, or their softmax, is the mean."""
        answers = torch.stack([member(image).float() for member in self.members])
        if self._exclusive:
            return answers.softmax(dim=2).mean(dim=0).clamp_min(_SURE).log()
        return torch.logit(answers.sigmoid().mean(dim=0), eps=_SURE)


def joined(members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Weights of single networks as the weights of their ensemble; of one network, its own weights."""
    if len(members) == 1:
        return dict(members[0])
    return {
        f"members.{place}.{name}": value for place, member in enumerate(members) for name, value in member.items()
    }
