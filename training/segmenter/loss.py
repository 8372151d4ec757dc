"""Dice plus binary cross-entropy on nested regions, plus the VAE branch's loss where the network has one."""

from __future__ import annotations

import torch
from monai.losses.dice import DiceLoss
from torch import Tensor, nn

_VAE_WEIGHT = 0.1  # arXiv:1810.11654, eq. 1


class RegionLoss(nn.Module):
    """Mean over regions of (1 - soft Dice over the batch) plus mean binary cross-entropy of all voxels."""

    def __init__(self) -> None:
        super().__init__()
        # The batch is one volume, and one voxel of smoothing: a patch without a region then costs nothing by itself.
        self._dice = DiceLoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0)
        self._cross_entropy = nn.BCEWithLogitsLoss()

    def forward(self, output: Tensor | tuple[Tensor, Tensor], regions: Tensor) -> Tensor:
        """Loss of logits (batch, 3, Z, Y, X), or of (logits, VAE loss), against regions of the same shape."""
        logits, extra = output if isinstance(output, tuple) else (output, torch.zeros(()))
        logits = logits.float()
        loss: Tensor = self._dice(logits, regions) + self._cross_entropy(logits, regions)
        return loss + _VAE_WEIGHT * extra.to(loss)
