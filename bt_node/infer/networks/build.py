"""One door to every network: an architecture's name and its arguments, as a release's manifest holds them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import nn

# Modules are named, not imported: a node that only segments never imports the classifier's backbones.
_BUILDERS: Mapping[str, str] = {
    "unet": "bt_node.infer.networks.unet:build_unet",
    "segresnet": "bt_node.infer.networks.segresnet:build_segresnet",
    "segresnet_vae": "bt_node.infer.networks.segresnet:build_segresnet_vae",
    "vgg16": "bt_node.infer.networks.vgg:VGG16",
    "resnet50": "bt_node.infer.networks.resnet:ResNet50",
    "efficientnet_b0": "bt_node.infer.networks.efficientnet:EfficientNetB0",
}


class NetworkArgumentsError(ValueError):
    """The architecture is unknown, or its arguments do not make a network."""

    def __init__(self, architecture: str, detail: str) -> None:
        super().__init__(f"network {architecture!r}: {detail}")


def build_network(architecture: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a network with fresh random weights.

    Args:
        architecture: a name of `[network] architecture`.
        arguments: the table `[network.arguments]`.

    Returns:
        A module that maps float (batch, in_channels, Z, Y, X) to logits (batch, out_channels, Z, Y, X); a
        classifier's maps (batch, 3, Y, X) to logits (batch, classes).

    Raises:
        NetworkArgumentsError: unknown name, unknown or impossible arguments.
    """
    if architecture not in _BUILDERS:
        raise NetworkArgumentsError(architecture, f"unknown; known are {', '.join(_BUILDERS)}")
    module, function = _BUILDERS[architecture].split(":")
    try:
        network: nn.Module = getattr(import_module(module), function)(**arguments)
    except (TypeError, ValueError) as error:
        raise NetworkArgumentsError(architecture, str(error)) from error
    return network
