"""3D U-Net: strided encoder, bottleneck with dropout, transposed-convolution decoder (Çiçek 2016, arXiv:1606.06650).

The body is monai's residual `UNet` (Kerfoot 2019, doi:10.1007/978-3-030-12029-0_40); only dropout at the bottleneck
is added, because monai's own option drops features in every layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai.networks.nets.unet import UNet
from torch import nn


class _BottleneckDropoutUNet(UNet):
    """monai's UNet whose deepest features pass through channel dropout while training."""

    def __init__(self, bottleneck_dropout: float, **arguments: Any) -> None:
        self.bottleneck_dropout = bottleneck_dropout
        super().__init__(**arguments)

    def _get_bottom_layer(self, in_channels: int, out_channels: int) -> nn.Module:
        bottom = super()._get_bottom_layer(in_channels, out_channels)
        return nn.Sequential(bottom, nn.Dropout3d(self.bottleneck_dropout))


def build_unet(
    *,
    in_channels: int,
    out_channels: int,
    channels: Sequence[int],
    residual_units: int = 2,
    bottleneck_dropout: float = 0.1,
) -> nn.Module:
    """Build a 3D U-Net with instance norm and leaky ReLU; each level halves the resolution.

    Args:
        in_channels: sequences that go in.
        out_channels: regions that come out, as logits.
        channels: feature channels of each level from fine to coarse; the input's sizes must divide by
            2 ** (len(channels) - 1).
        residual_units: convolutions in each residual block.
        bottleneck_dropout: share of the deepest feature channels that is dropped while training.
    """
    if len(channels) < 2:
        raise ValueError(f"channels must name at least two levels, not {list(channels)}")
    return _BottleneckDropoutUNet(
        bottleneck_dropout=bottleneck_dropout,
        spatial_dims=3,
        in_channels=in_channels,
        out_channels=out_channels,
        channels=tuple(channels),
        strides=(2,) * (len(channels) - 1),
        num_res_units=residual_units,
        norm="instance",
        act=("leakyrelu", {"negative_slope": 0.1, "inplace": True}),
    )
