"""EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946), with torchvision's parameter names and padding.

monai's EfficientNet has other names and pads as TensorFlow does (more at the bottom and right), so that ImageNet
weights in torchvision's layout would load only by translation and then see shifted pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class _Stage:
    expansion: int
    kernel: int
    stride: int
    incoming: int
    outgoing: int
    repeats: int


_STEM = 32
_STAGES = (  # table 1 of the paper
    _Stage(1, 3, 1, 32, 16, 1),
    _Stage(6, 3, 2, 16, 24, 2),
    _Stage(6, 5, 2, 24, 40, 2),
    _Stage(6, 3, 2, 40, 80, 3),
    _Stage(6, 5, 1, 80, 112, 3),
    _Stage(6, 5, 2, 112, 192, 4),
    _Stage(6, 3, 1, 192, 320, 1),
)
_HEAD = 1280
_SQUEEZE = 4  # the squeeze layer has a quarter of the block's *incoming* channels


def _convolution(
    incoming: int, outgoing: int, kernel: int, *, stride: int = 1, groups: int = 1, active: bool = True
) -> nn.Sequential:
    """Convolution, batch normalisation and, where `active`, SiLU: `.0` and `.1` carry the weights."""
    padding = (kernel - 1) // 2
    layers: list[nn.Module] = [
        nn.Conv2d(incoming, outgoing, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outgoing),
    ]
    if active:
        layers.append(nn.SiLU(inplace=True))
    return nn.Sequential(*layers)


class _SqueezeExcitation(nn.Module):
    """Weigh channels by what the whole picture shows (Hu 2018, arXiv:1709.01507)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Scale (N, C, H, W) channel by channel."""
        pooled = features.mean((2, 3), keepdim=True)
        weight = torch.sigmoid(self.fc2(nn.functional.silu(self.fc1(pooled))))
        return features * weight


class _InvertedBottleneck(nn.Module):
    """Widen, filter each channel, weigh, narrow; the shortcut is dropped at random while training."""

    def __init__(self, stage: _Stage, *, first: bool, drop: float) -> None:
        super().__init__()
        incoming = stage.incoming if first else stage.outgoing
        stride = stage.stride if first else 1
        wide = incoming * stage.expansion
        layers: list[nn.Module] = []
        if stage.expansion != 1:
            layers.append(_convolution(incoming, wide, 1))
        layers += [
            _convolution(wide, wide, stage.kernel, stride=stride, groups=wide),
            _SqueezeExcitation(wide, max(1, incoming // _SQUEEZE)),
            _convolution(wide, stage.outgoing, 1, active=False),
        ]
        self.block = nn.Sequential(*layers)
        self.residual = stride == 1 and incoming == stage.outgoing
        self.drop = drop

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (N, incoming, H, W) to (N, outgoing, H / stride, W / stride)."""
        result: torch.Tensor = self.block(features)
        if not self.residual:
            return result
        return features + self._survivors(result)

    def _survivors(self, result: torch.Tensor) -> torch.Tensor:
        """Stochastic depth by picture (Huang 2016, arXiv:1603.09382); does nothing at inference."""
        if not self.training or self.drop == 0:
            return result
        keep = torch.empty(len(result), 1, 1, 1, dtype=result.dtype, device=result.device).bernoulli_(1 - self.drop)
        return result * keep / (1 - self.drop)


class EfficientNetB0(nn.Module):
    """Seven stages of inverted bottlenecks, 5.3 million parameters with 1000 classes.

    Args:
        classes: number of outputs.
        dropout: probability of dropping a pooled feature before the last layer.
        stochastic_depth: probability of dropping the last block; earlier blocks less, in proportion.
    """

    head_prefix = "classifier.1."
    last_features = "features.8"  # the last layer with places, for Grad-CAM

    def __init__(self, classes: int, dropout: float = 0.2, stochastic_depth: float = 0.2) -> None:
        super().__init__()
        total = sum(stage.repeats for stage in _STAGES)
        layers: list[nn.Module] = [_convolution(3, _STEM, 3, stride=2)]
        built = 0
        for stage in _STAGES:
            blocks = []
            for repeat in range(stage.repeats):
                drop = stochastic_depth * built / total
                blocks.append(_InvertedBottleneck(stage, first=repeat == 0, drop=drop))
                built += 1
            layers.append(nn.Sequential(*blocks))
        layers.append(_convolution(_STAGES[-1].outgoing, _HEAD, 1))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(_HEAD, classes))
        self.apply(_initialise)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W) to logits (N, classes)."""
        pooled = self.avgpool(self.features(picture))
        logits: torch.Tensor = self.classifier(torch.flatten(pooled, 1))
        return logits


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        # Small, whatever the number of classes: few classes must not start with sure (and wrong) answers.
        nn.init.normal_(module.weight, 0.0, 0.01)
        nn.init.zeros_(module.bias)
