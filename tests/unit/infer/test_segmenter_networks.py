"""Every segmenter network builds from manifest arguments and keeps the shape of its input."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from bt_node.infer.networks.build import NetworkArgumentsError, build_network

IN_OUT = {"in_channels": 4, "out_channels": 3}
SMALL: list[tuple[str, dict[str, Any]]] = [
    ("unet", IN_OUT | {"channels": [4, 8, 16], "residual_units": 2}),
    ("segresnet", IN_OUT | {"initial_filters": 8, "blocks_down": [1, 1, 1], "blocks_up": [1, 1]}),
    ("segresnet_vae", IN_OUT | {"initial_filters": 8, "patch": [16, 16, 16], "latent": 8}),
]


@pytest.mark.parametrize(("architecture", "arguments"), SMALL, ids=[name for name, _ in SMALL])
def test_a_network_maps_four_sequences_to_three_logit_maps(architecture: str, arguments: dict[str, Any]) -> None:
    network = build_network(architecture, arguments).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 4, 32, 16, 32)).shape == (1, 3, 32, 16, 32)


def test_the_vae_branch_speaks_only_in_training() -> None:
    network = build_network(*SMALL[2]).train()
    logits, loss = network(torch.randn(1, 4, 16, 16, 16))
    assert logits.shape == (1, 3, 16, 16, 16)
    assert loss.ndim == 0
    assert loss > 0


def test_the_unet_drops_features_at_the_bottleneck_and_only_while_training() -> None:
    network = build_network("unet", IN_OUT | {"channels": [4, 8, 16], "bottleneck_dropout": 0.5})
    dropouts = [module for module in network.modules() if isinstance(module, nn.Dropout3d) and module.p > 0]
    assert [module.p for module in dropouts] == [0.5]
    image = torch.randn(1, 4, 16, 16, 16)
    with torch.inference_mode():
        assert not torch.equal(network.train()(image), network(image))
        assert torch.equal(network.eval()(image), network(image))


def test_deep_supervision_answers_coarser_levels_only_while_training() -> None:
    network = build_network("unet", IN_OUT | {"channels": [4, 8, 16, 32], "deep_supervision": 2})
    image = torch.randn(1, 4, 16, 16, 16)
    levels = network.train()(image)
    assert [tuple(level.shape[1:]) for level in levels] == [(3, 16, 16, 16), (3, 8, 8, 8), (3, 4, 4, 4)]
    assert network.eval()(image).shape == (1, 3, 16, 16, 16)


def test_deep_supervision_changes_nothing_at_inference() -> None:
    plain = build_network("unet", IN_OUT | {"channels": [4, 8, 16]}).eval()
    supervised = build_network("unet", IN_OUT | {"channels": [4, 8, 16], "deep_supervision": 1}).eval()
    supervised.load_state_dict(plain.state_dict(), strict=False)
    image = torch.randn(1, 4, 16, 16, 16)
    assert torch.equal(plain(image), supervised(image))


def test_the_unet_refuses_more_heads_than_it_has_levels() -> None:
    with pytest.raises(NetworkArgumentsError, match="deep_supervision must be 0 to 1"):
        build_network("unet", IN_OUT | {"channels": [4, 8, 16], "deep_supervision": 2})


def test_the_unet_decodes_with_transposed_convolutions() -> None:
    network = build_network("unet", IN_OUT | {"channels": [4, 8, 16]})
    assert sum(isinstance(module, nn.ConvTranspose3d) for module in network.modules()) == 2


def test_an_unknown_architecture_lists_the_known_ones() -> None:
    with pytest.raises(NetworkArgumentsError, match=r"unknown.*unet.*segresnet"):
        build_network("transformer", {})


@pytest.mark.parametrize("arguments", [{}, IN_OUT | {"channels": [4]}, IN_OUT | {"channels": [4, 8], "depth": 3}])
def test_impossible_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(NetworkArgumentsError):
        build_network("unet", arguments)
