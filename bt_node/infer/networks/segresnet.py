"""SegResNet and SegResNetVAE (Myronenko 2018, arXiv:1810.11654), as monai builds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.nets.segresnet import SegResNet, SegResNetVAE
from torch import nn


class _LogitsInEvaluation(SegResNetVAE):
    """SegResNetVAE that answers (logits, vae loss) while training and plain logits otherwise."""

    def forward(self, x: torch.Tensor) -> Any:  # the parent always answers a pair
        logits, vae_loss = super().forward(x)  # type: ignore[no-untyped-call]  # monai leaves it bare
        return (logits, vae_loss) if self.training else logits


def build_segresnet(
    *,
    in_channels: int,
    out_channels: int,
    initial_filters: int = 16,
    blocks_down: Sequence[int] = (1, 2, 2, 4),
    blocks_up: Sequence[int] = (1, 1, 1),
    dropout: float = 0.2,
) -> nn.Module:
    """Build the encoder and decoder of the paper without its VAE branch.

    Args:
        in_channels: sequences that go in.
        out_channels: regions that come out, as logits.
        initial_filters: feature channels of the finest level (the paper has 32); a multiple of 8 (group norm).
        blocks_down: residual blocks of each encoder level.
        blocks_up: residual blocks of each decoder level.
        dropout: share of channels dropped after the first convolution while training.
    """
    return SegResNet(
        spatial_dims=3,
        in_channels=in_channels,
        out_channels=out_channels,
        init_filters=initial_filters,
        blocks_down=tuple(blocks_down),
        blocks_up=tuple(blocks_up),
        dropout_prob=dropout,
    )


def build_segresnet_vae(
    *,
    in_channels: int,
    out_channels: int,
    patch: Sequence[int],
    initial_filters: int = 16,
    blocks_down: Sequence[int] = (1, 2, 2, 4),
    blocks_up: Sequence[int] = (1, 1, 1),
    dropout: float = 0.2,
    latent: int = 256,
) -> nn.Module:
    """Build the paper's network with the branch that reconstructs its input from the bottleneck.

    While training, forward returns (logits, loss of the branch: squared error plus KL divergence) and every input
    must have the size `patch`; in evaluation it returns logits for any size that divides by 8.

    Args:
        in_channels: sequences that go in.
        out_channels: regions that come out, as logits.
        patch: size (Z, Y, X) of the training input, which fixes the branch's dense layers.
        initial_filters: feature channels of the finest level.
        blocks_down: residual blocks of each encoder level.
        blocks_up: residual blocks of each decoder level.
        dropout: share of channels dropped after the first convolution while training.
        latent: numbers in the branch's latent vector.
    """
    return _LogitsInEvaluation(
        input_image_size=tuple(patch),
        vae_estimate_std=True,
        vae_nz=latent,
        spatial_dims=3,
        in_channels=in_channels,
        out_channels=out_channels,
        init_filters=initial_filters,
        blocks_down=tuple(blocks_down),
        blocks_up=tuple(blocks_up),
        dropout_prob=dropout,
    )
