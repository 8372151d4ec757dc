"""The loss falls with a better answer, and sees every level that answers."""

from __future__ import annotations

import pytest
import torch

from bt_node.infer.segmenter import nested_of
from training.segmenter.loss import RegionLoss, parts_of


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


def nested_cubes() -> torch.Tensor:
    regions = torch.zeros(1, 3, 16, 16, 16)
    for channel, margin in enumerate((2, 4, 6)):
        regions[:, channel, margin:-margin, margin:-margin, margin:-margin] = 1.0
    return regions


def test_parts_are_one_each_and_sum_up_to_the_regions_again() -> None:
    parts = parts_of(nested_cubes())
    assert torch.equal(parts.sum(dim=1), torch.ones(1, 16, 16, 16))
    assert parts[0, :, 2, 2, 2].tolist() == [0, 0, 1, 0]  # oedema
    assert parts[0, :, 4, 4, 4].tolist() == [0, 1, 0, 0]  # necrotic core
    assert parts[0, :, 8, 8, 8].tolist() == [0, 0, 0, 1]  # enhancing
    assert torch.equal(nested_of(parts), nested_cubes())


def test_exclusive_labels_cost_by_the_same_rule() -> None:
    regions, loss = nested_cubes(), RegionLoss(exclusive=True)
    right = parts_of(regions) * 24
    assert loss(right, regions) < 0.02
    swapped = right[:, [0, 2, 1, 3]]  # oedema and necrosis exchanged
    assert loss(swapped, regions) > 1
    assert loss([right, right[:, :, ::2, ::2, ::2]], regions) < 0.2


def test_dice_alone_leaves_the_cross_entropy_out() -> None:
    regions = a_cube()
    unsure = torch.zeros_like(regions)
    difference = RegionLoss()(unsure, regions) - RegionLoss(cross_entropy=False)(unsure, regions)
    assert float(difference) == pytest.approx(float(torch.tensor(2.0).log()), rel=1e-4)


def test_a_region_that_does_not_count_costs_nothing_and_teaches_nothing() -> None:
    regions, loss = nested_cubes(), RegionLoss()
    logits = logits_of(regions)
    logits[:, 2] *= -1  # enhancing tumour is wrong everywhere
    logits.requires_grad_()
    counted = torch.tensor([[True, True, False]])
    found = loss([logits, logits[:, :, ::2, ::2, ::2]], regions, counted)
    found.backward()
    assert loss(logits, regions, counted) < 0.01
    assert loss(logits, regions) > 1
    assert logits.grad is not None
    assert logits.grad[:, 2].abs().max() == 0
    assert logits.grad[:, :2].abs().max() > 0


def test_what_is_drawn_in_vain_on_a_patch_without_the_region_is_felt() -> None:
    """With one voxel of smoothing Dice is as bad for 200 voxels as for 100; a little less drawn earns nothing."""
    empty = torch.zeros(1, 3, 16, 16, 16)
    earned = {}
    for voxels in (1.0, 300.0):
        loss = RegionLoss(cross_entropy=False, smooth_voxels=voxels)
        costs = []
        for size in (200, 100):
            drawn = torch.full_like(empty, -20.0)
            drawn.view(1, 3, -1)[:, :, :size] = 20.0
            costs.append(float(loss(drawn, empty)))
        earned[voxels] = costs[0] - costs[1]
    assert earned[1.0] < 0.01
    assert earned[300.0] > 0.1
