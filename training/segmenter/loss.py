"""Dice plus cross-entropy on nested regions or exclusive labels, at every level that answers, plus a VAE's loss."""

from __future__ import annotations

import torch
from monai.losses.dice import DiceLoss
from torch import Tensor, nn
from torch.nn import functional

_VAE_WEIGHT = 0.1  # arXiv:1810.11654, eq. 1
_SURE = 1e-4
_COARSER_COUNTS = 0.5  # weight of a level beside the next finer one (Isensee 2021, doi:10.1038/s41592-020-01008-z)


class RegionLoss(nn.Module):
    """Mean over regions of (1 - soft Dice over the batch) plus mean cross-entropy of all voxels.

    Args:
        exclusive: the network's channels are background, NCR, ED and ET (softmax), not WT, TC and ET (sigmoid). Dice
            is then that of the three parts.
        cross_entropy: without it the loss is Dice alone, as in arXiv:1810.11654.
        smooth_voxels: added to both sides of Dice's fraction. With 1, a patch without a region costs nothing by
            itself, and what is drawn there in vain is hardly felt; with hundreds it is.
    """

    def __init__(self, *, exclusive: bool = False, cross_entropy: bool = True, smooth_voxels: float = 1.0) -> None:
        super().__init__()
        self._exclusive = exclusive
        # The batch is one volume.
        self._dice = DiceLoss(
            sigmoid=not exclusive, softmax=exclusive, include_background=not exclusive, batch=True,
            smooth_nr=smooth_voxels, smooth_dr=smooth_voxels,
        )  # fmt: skip
        terms = nn.CrossEntropyLoss() if exclusive else nn.BCEWithLogitsLoss()
        self._cross_entropy = terms if cross_entropy else None

    def forward(
        self,
        output: Tensor | tuple[Tensor, Tensor] | list[Tensor],
        regions: Tensor,
        counted: Tensor | None = None,
    ) -> Tensor:
        """Loss of what a network answers while training against regions (batch, 3, Z, Y, X).

        Args:
            output: logits of the regions' shape; or a list of logits from fine to coarse (deep supervision), compared
                with averaged regions and weighted 1, 1/2, 1/4 of their sum; or (logits, VAE loss).
            regions: float32, 0 or 1.
            counted: bool (batch, 3): which regions of which patch teach anything; None: all do. Not for exclusive
                labels, where one part's loss is the others' too.
        """
        if self._exclusive:
            regions = parts_of(regions)
        if isinstance(output, tuple):
            logits, extra = output
            return self._at_one_level(logits, regions, counted) + _VAE_WEIGHT * extra.float()
        levels = output if isinstance(output, list) else [output]
        weights = [_COARSER_COUNTS**level for level in range(len(levels))]
        losses = [
            weight * self._at_one_level(logits, functional.adaptive_avg_pool3d(regions, logits.shape[2:]), counted)
            for weight, logits in zip(weights, levels, strict=True)
        ]
        return torch.stack(losses).sum() / sum(weights)

    def _at_one_level(self, logits: Tensor, regions: Tensor, counted: Tensor | None) -> Tensor:
        logits = logits.float()
        if counted is not None:
            # The right answer in the network's place: no gradient, and the batch's Dice is not spoilt.
            logits = torch.where(counted[:, :, None, None, None], logits, torch.logit(regions, eps=_SURE))
        loss: Tensor = self._dice(logits, regions)
        return loss if self._cross_entropy is None else loss + self._cross_entropy(logits, regions)


def parts_of(regions: Tensor) -> Tensor:
    """Nested regions WT, TC, ET (N, 3, Z, Y, X) as background, NCR, ED, ET (N, 4, Z, Y, X), 0 or 1."""
    whole, core, enhancing = regions.unbind(dim=1)
    return torch.stack([1 - whole, core - enhancing, whole - core, enhancing], dim=1)
