"""VGG16 (Simonyan and Zisserman 2015, arXiv:1409.1556, configuration D), with torchvision's parameter names.

monai has no VGG classifier. The names (`features.<n>`, `classifier.<n>`) count activations, pools and dropouts as
layers, so that ImageNet weights in torchvision's layout load without a translation table.
"""

from __future__ import annotations

import torch
from torch import nn

# Channels of the 3×3 convolutions, stage by stage; each stage ends with a 2×2 max pool.
_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_POOLED = 7  # a picture of any size reaches the classifier as 7×7
_HIDDEN = 4096


def _features() -> nn.Sequential:
    layers: list[nn.Module] = []
    incoming = 3
    for stage in _STAGES:
        for outgoing in stage:
            layers += [nn.Conv2d(incoming, outgoing, 3, padding=1), nn.ReLU(inplace=True)]
            incoming = outgoing
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class VGG16(nn.Module):
    """Thirteen convolutions and three dense layers, without batch normalisation.

    Args:
        classes: number of outputs.
        dropout: probability of dropping a hidden unit of the dense layers.
    """

    head_prefix = "classifier.6."
    last_features = "features.29"  # the last layer with places before the last pool, for Grad-CAM

    def __init__(self, classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = _features()
        self.avgpool = nn.AdaptiveAvgPool2d(_POOLED)
        self.classifier = nn.Sequential(
            nn.Linear(_STAGES[-1][-1] * _POOLED**2, _HIDDEN),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(_HIDDEN, _HIDDEN),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(_HIDDEN, classes),
        )
        self.apply(_initialise)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Map pictures (N, 3, H, W), H and W of 32 or more, to logits (N, classes)."""
        pooled = self.avgpool(self.features(picture))
        logits: torch.Tensor = self.classifier(torch.flatten(pooled, 1))
        return logits


def _initialise(module: nn.Module) -> None:
    """Start as deep ReLU stacks need it when they train from nothing (He 2015, arXiv:1502.01852)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.01)
    if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
