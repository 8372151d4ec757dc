"""The loss falls with a better answer, and sees every level that answers."""

from __future__ import annotations

import pytest
import torch

from training.segmenter.loss import RegionLoss


def a_cube() -> torch.Tensor:
    regions = torch.zeros(1, 3, 16, 16, 16)
    regions[:, :, 4:12, 4:12, 4:12] = 1.0
    return regions


def logits_of(regions: torch.Tensor) -> torch.Tensor:
    return (regions * 2 - 1) * 12


def test_right_logits_cost_almost_nothing_and_wrong_ones_much() -> None:
    regions, loss = a_cube(), RegionLoss()
    assert loss(logits_of(regions), regions) < 0.01
    assert loss(-logits_of(regions), regions) > 5


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_a_wrong_level_costs_by_its_weight(wrong: int) -> None:
    regions, loss = a_cube(), RegionLoss()
    levels = [logits_of(regions[:, :, ::step, ::step, ::step]) for step in (1, 2, 4)]
    alone = loss(-levels[wrong], regions[:, :, :: 2**wrong, :: 2**wrong, :: 2**wrong])
    levels[wrong] = -levels[wrong]
    share = 0.5**wrong / 1.75
    assert float(loss(levels, regions)) == pytest.approx(share * float(alone), rel=0.02, abs=0.02)


def test_the_vae_branch_counts_a_tenth() -> None:
    regions, loss = a_cube(), RegionLoss()
    without = loss(logits_of(regions), regions)
    with_branch = loss((logits_of(regions), torch.tensor(3.0)), regions)
    assert float(with_branch - without) == pytest.approx(0.3, rel=1e-4)
