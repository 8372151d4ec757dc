"""Dice plus binary cross-entropy on nested regions, at every level that answers, plus a VAE branch's loss."""

from __future__ import annotations

import torch
from monai.losses.dice import DiceLoss
from torch import Tensor, nn
from torch.nn import functional

_VAE_WEIGHT = 0.1  # arXiv:1810.11654, eq. 1
_COARSER_COUNTS = 0.5  # weight of a level beside the next finer one (Isensee 2021, doi:10.1038/s41592-020-01008-z)


class RegionLoss(nn.Module):
    """Mean over regions of (1 - soft Dice over the batch) plus mean binary cross-entropy of all voxels."""

    def __init__(self) -> None:
        super().__init__()
        # The batch is one volume, and one voxel of smoothing: a patch without a region then costs nothing by itself.
        self._dice = DiceLoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0)
        self._cross_entropy = nn.BCEWithLogitsLoss()

    def forward(self, output: Tensor | tuple[Tensor, Tensor] | list[Tensor], regions: Tensor) -> Tensor:
        """Loss of what a network answers while training against regions (batch, 3, Z, Y, X).

        Args:
            output: logits of the regions' shape; or a list of logits from fine to coarse (deep supervision), compared
                with averaged regions and weighted 1, 1/2, 1/4 of their sum; or (logits, VAE loss).
            regions: float32, 0 or 1.
        """
        if isinstance(output, tuple):
            logits, extra = output
            return self._at_one_level(logits, regions) + _VAE_WEIGHT * extra.float()
        levels = output if isinstance(output, list) else [output]
        weights = [_COARSER_COUNTS**level for level in range(len(levels))]
        losses = [
            weight * self._at_one_level(logits, functional.adaptive_avg_pool3d(regions, logits.shape[2:]))
            for weight, logits in zip(weights, levels, strict=True)
        ]
        return torch.stack(losses).sum() / sum(weights)

    def _at_one_level(self, logits: Tensor, regions: Tensor) -> Tensor:
        logits = logits.float()
        loss: Tensor = self._dice(logits, regions) + self._cross_entropy(logits, regions)
        return loss
