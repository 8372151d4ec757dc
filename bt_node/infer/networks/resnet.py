"""ResNet50 (He 2016, arXiv:1512.03385) with torchvision's parameter names: monai's, told to be the usual 2D one.

Three of monai's defaults differ from the network whose ImageNet weights people have: its stem does not stride
(made for thin 3D volumes), its shortcuts carry a bias, and it has one input channel.
"""

from __future__ import annotations

from monai.networks.nets.resnet import ResNet

_PLANES = (64, 128, 256, 512)


class ResNet50(ResNet):
    """Sixteen bottleneck blocks; the stride sits in the 3×3 convolution, as in torchvision ("v1.5").

    Maps pictures (N, 3, H, W) to logits (N, classes).

    Args:
        classes: number of outputs.
        width: share of the usual channels in every layer. At 1 ImageNet weights in torchvision's layout load; a half
            trains three times faster from random weights and is a quarter of the size.
    """

    head_prefix = "fc."
    last_features = "layer4"  # the last layer with places, for Grad-CAM

    def __init__(self, classes: int, width: float = 1.0) -> None:
        super().__init__(
            block="bottleneck",
            layers=[3, 4, 6, 3],
            block_inplanes=[round(planes * width) for planes in _PLANES],
            spatial_dims=2,
            n_input_channels=3,
            conv1_t_size=7,
            conv1_t_stride=2,
            shortcut_type="B",
            bias_downsample=False,
            num_classes=classes,
        )
