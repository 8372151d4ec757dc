"""3D U-Net: strided encoder, bottleneck with dropout, transposed-convolution decoder (Çiçek 2016, arXiv:1606.06650).

The body is monai's residual `UNet` (Kerfoot 2019, doi:10.1007/978-3-030-12029-0_40). Two things are added: dropout at
the bottleneck, because monai's own option drops features in every layer, and heads that let the loss see the coarser
levels of the decoder while training (deep supervision, Lee 2015, arXiv:1409.5185).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.layers.simplelayers import SkipConnection
from monai.networks.nets.unet import UNet
from torch import Tensor, nn


class _SupervisedUNet(UNet):
    """monai's UNet with channel dropout in its deepest features and optional heads on coarser decoder levels."""

    def __init__(self, bottleneck_dropout: float, deep_supervision: int, **arguments: Any) -> None:
        self.bottleneck_dropout = bottleneck_dropout
        super().__init__(**arguments)
        # The decoder of level k + 1 ends with the channels of level k, at 1 / 2 ** (k + 1) of the resolution.
        supervised = arguments["channels"][:deep_supervision]
        self.heads = nn.ModuleList(nn.Conv3d(width, arguments["out_channels"], kernel_size=1) for width in supervised)

    def _get_bottom_layer(self, in_channels: int, out_channels: int) -> nn.Module:
        bottom = super()._get_bottom_layer(in_channels, out_channels)
        return nn.Sequential(bottom, nn.Dropout3d(self.bottleneck_dropout))

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:  # type: ignore[override]  # training answers a list
        """Logits (N, regions, Z, Y, X); while training with heads, a list of them from fine to coarse."""
        if not (self.training and len(self.heads)):
            logits: Tensor = self.model(image)
            return logits
        levels: list[Tensor] = []
        self._decode(self.model, image, levels)
        finest, *coarser = reversed(levels)
        return [finest, *(head(features) for head, features in zip(self.heads, coarser, strict=False))]

    def _decode(self, level: nn.Module, features: Tensor, levels: list[Tensor]) -> Tensor:
        """Run one level as monai does and keep what its decoder answers, coarsest first."""
        if not (isinstance(level, nn.Sequential) and isinstance(level[1], SkipConnection)):
            bottom: Tensor = level(features)
            return bottom
        down, skip, up = level
        encoded = down(features)
        deeper = self._decode(skip.get_submodule("submodule"), encoded, levels)
        decoded: Tensor = up(torch.cat([encoded, deeper], dim=1))
        levels.append(decoded)
        return decoded


def build_unet(
    *,
    in_channels: int,
    out_channels: int,
    channels: Sequence[int],
    residual_units: int = 2,
    bottleneck_dropout: float = 0.1,
    deep_supervision: int = 0,
) -> nn.Module:
    """Build a 3D U-Net with instance norm and leaky ReLU; each level halves the resolution.

    Args:
        in_channels: sequences that go in.
        out_channels: regions that come out, as logits.
        channels: feature channels of each level from fine to coarse; the input's sizes must divide by
            2 ** (len(channels) - 1).
        residual_units: convolutions in each residual block.
        bottleneck_dropout: share of the deepest feature channels that is dropped while training.
        deep_supervision: how many coarser decoder levels answer as well while training; in evaluation none does.
    """
    if len(channels) < 2:
        raise ValueError(f"channels must name at least two levels, not {list(channels)}")
    if not 0 <= deep_supervision <= len(channels) - 2:
        raise ValueError(f"deep_supervision must be 0 to {len(channels) - 2}, not {deep_supervision}")
    return _SupervisedUNet(
        bottleneck_dropout=bottleneck_dropout,
        deep_supervision=deep_supervision,
        spatial_dims=3,
        in_channels=in_channels,
        out_channels=out_channels,
        channels=tuple(channels),
        strides=(2,) * (len(channels) - 1),
        num_res_units=residual_units,
        norm="instance",
        act=("leakyrelu", {"negative_slope": 0.1, "inplace": True}),
    )
