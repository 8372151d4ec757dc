"""The 2D backbones against torchvision's layout.

The hashes are of the lines "name shape", in order, of torchvision 0.29's own networks with 1000 classes; torchvision
itself cannot be imported beside this torch, so they are written down here.
"""

from __future__ import annotations

import hashlib
from functools import cache

import pytest
import torch
from torch import nn

from bt_node.infer.networks.build import NetworkArgumentsError, build_network

TORCHVISION = {
    "vgg16": (138_357_544, 32, "35c4623e0cd4a39d764245620458692bdde46e98a422e65f0794d679138ab391"),
    "resnet50": (25_557_032, 320, "d7e4f8bb0a5363446a59c81c3887ccf66900a11651a0ae2dec96d1bb1eb6ea81"),
    "efficientnet_b0": (5_288_548, 360, "a04d0792ee390a49633d1ee075b12b92e57fd2dbbccd50eac706fa14b3f280ea"),
}
# A few lines in the open, so that a failure can be read.
SAMPLES = {
    "vgg16": {
        "features.0.weight": (64, 3, 3, 3),
        "features.28.bias": (512,),
        "classifier.0.weight": (4096, 25088),
        "classifier.6.weight": (1000, 4096),
    },
    "resnet50": {
        "conv1.weight": (64, 3, 7, 7),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer1.0.downsample.1.running_mean": (256,),
        "layer3.5.conv2.weight": (256, 256, 3, 3),
        "fc.weight": (1000, 2048),
    },
    "efficientnet_b0": {
        "features.0.0.weight": (32, 3, 3, 3),
        "features.1.0.block.0.0.weight": (32, 1, 3, 3),
        "features.1.0.block.1.fc1.weight": (8, 32, 1, 1),
        "features.2.0.block.3.1.num_batches_tracked": (),
        "features.6.3.block.1.0.weight": (1152, 1, 5, 5),
        "features.8.0.weight": (1280, 320, 1, 1),
        "classifier.1.weight": (1000, 1280),
    },
}


@cache
def empty(architecture: str, classes: int) -> nn.Module:
    """Names and shapes only: VGG16 would fill half a gigabyte."""
    with torch.device("meta"):
        return build_network(architecture, {"classes": classes})


def layout(architecture: str, classes: int) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in empty(architecture, classes).state_dict().items()}


@pytest.mark.parametrize("architecture", TORCHVISION)
def test_names_and_shapes_are_torchvisions(architecture: str) -> None:
    found = layout(architecture, 1000)
    assert {name: found.get(name) for name in SAMPLES[architecture]} == SAMPLES[architecture]
    listing = "\n".join(f"{name} {shape}" for name, shape in found.items())
    _, tensors, digest = TORCHVISION[architecture]
    assert len(found) == tensors
    assert hashlib.sha256(listing.encode()).hexdigest() == digest


@pytest.mark.parametrize("architecture", TORCHVISION)
def test_the_number_of_parameters_is_the_published_one(architecture: str) -> None:
    network = empty(architecture, 1000)
    assert sum(value.numel() for value in network.parameters()) == TORCHVISION[architecture][0]


@pytest.mark.parametrize("architecture", TORCHVISION)
def test_four_classes_change_only_the_last_layer(architecture: str) -> None:
    thousand, four = layout(architecture, 1000), layout(architecture, 4)
    head = empty(architecture, 4).head_prefix
    assert {name for name in four if four[name] != thousand[name]} == {f"{head}weight", f"{head}bias"}


@pytest.mark.parametrize("architecture", ["resnet50", "efficientnet_b0"])
def test_pictures_of_any_size_give_one_row_of_logits_each(architecture: str) -> None:
    network = build_network(architecture, {"classes": 4}).eval()
    for size in (48, 96):
        with torch.inference_mode():
            logits = network(torch.zeros(2, 3, size, size))
        assert logits.shape == (2, 4)
        assert torch.isfinite(logits).all()


def test_vgg16_maps_the_nodes_size_to_four_logits() -> None:
    with torch.device("meta"):
        logits = empty("vgg16", 4)(torch.zeros(1, 3, 224, 224))
    assert logits.shape == (1, 4)


def test_stochastic_depth_is_silent_at_inference_and_not_in_training() -> None:
    torch.manual_seed(0)
    network = build_network("efficientnet_b0", {"classes": 4, "dropout": 0.0, "stochastic_depth": 0.9})
    picture = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        network.train()
        trained = [network(picture) for _ in range(2)]
        network.eval()
        first, second = network(picture), network(picture)
    assert torch.equal(first, second)
    assert not torch.equal(*trained)


def test_an_argument_the_network_does_not_know_is_refused_by_name() -> None:
    with pytest.raises(NetworkArgumentsError, match="stochastic_depth"):
        build_network("vgg16", {"classes": 4, "stochastic_depth": 0.1})


def test_half_the_width_of_resnet50_is_a_quarter_of_its_weights_and_the_same_names() -> None:
    whole, half = (build_network("resnet50", {"classes": 4, "width": width}) for width in (1.0, 0.5))
    count = {network: sum(value.numel() for value in network.parameters()) for network in (whole, half)}
    assert list(whole.state_dict()) == list(half.state_dict())
    assert 0.24 < count[half] / count[whole] < 0.26
    assert half.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 4)
