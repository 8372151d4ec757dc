"""Distortions keep shapes, keep labels on their voxels, keep the outside empty, and repeat with their seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bt_node.domain.study import Role
from training.segmenter.augment import (
    augment,
    cystic_core,
    drop_sequences,
    faint_lesion,
    imperfect_brain_mask,
    thick_slices,
    turn_and_scale,
    without_enhancement,
)
from training.segmenter.patches import PatchSource, hardly_enhances
from training.segmenter.prepared import PreparedCase, nested_regions
from training.segmenter.recipe import AugmentationRecipe, SamplingRecipe

ROLES = (Role.T1, Role.T1C, Role.T2, Role.FLAIR)
EVERYTHING = AugmentationRecipe(
    flip_left_right=0.5, flip_other=0.5, turn_and_scale=1, thick_slices=1, bias_field=1, brain_mask=1, contrast=1,
    gamma=1, noise=1, blur=1,
)  # fmt: skip
ALL_BUT_MASK = EVERYTHING.model_copy(update={"brain_mask": 0.0})


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def a_patch() -> tuple[torch.Tensor, torch.Tensor]:
    """A ball of brain with a bright cube in it; the cube is all three regions."""
    z, y, x = np.ogrid[:32, :32, :32]
    brain = (z - 16) ** 2 + (y - 16) ** 2 + (x - 16) ** 2 < 14**2
    cube = np.zeros((32, 32, 32), dtype=bool)
    cube[10:18, 12:20, 14:24] = True
    image = np.where(cube, 5.0, 0.3) * brain
    regions = np.stack([cube & brain] * 3)
    return torch.from_numpy(np.stack([image] * 4)).float(), torch.from_numpy(regions).float()


def test_the_same_seed_gives_the_same_patch_and_another_seed_another() -> None:
    first, second, third = (augment(*a_patch(), ROLES, EVERYTHING, np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], third[0])


@pytest.mark.parametrize("seed", range(8))
def test_values_stay_finite_regions_stay_binary_and_nested(seed: int) -> None:
    image, regions = augment(*a_patch(), ROLES, EVERYTHING, np.random.default_rng(seed))
    assert image.shape == (4, 32, 32, 32)
    assert torch.isfinite(image).all()
    assert set(regions.unique().tolist()) <= {0.0, 1.0}
    assert (regions[0] >= regions[1]).all()
    assert (regions[1] >= regions[2]).all()


@pytest.mark.parametrize("seed", range(6))
def test_without_a_mask_fault_the_outside_of_the_brain_stays_zero(seed: int) -> None:
    image, _ = augment(*a_patch(), ROLES, ALL_BUT_MASK, np.random.default_rng(seed))
    assert (image[:, 0, 0, 0] == 0).all()
    assert 0.05 < (image != 0).float().mean() < 0.6


@pytest.mark.parametrize("seed", range(6))
def test_turning_moves_the_labels_with_the_image(seed: int) -> None:
    image, regions = turn_and_scale(*a_patch(), np.random.default_rng(seed))
    bright = image[0] > 2.6
    overlap = 2 * (bright & (regions[0] > 0)).sum() / (bright.sum() + regions[0].sum())
    assert overlap > 0.95


def test_thick_slices_blur_one_axis_and_keep_the_mean() -> None:
    rough = torch.randn(4, 32, 32, 32, generator=torch.Generator().manual_seed(1))
    thick = thick_slices(rough, np.random.default_rng(2))
    changed = [index for index in range(4) if not torch.equal(thick[index], rough[index])]
    before, after = rough[changed], thick[changed]
    steps = sorted(
        float((after.diff(dim=axis) ** 2).mean() / (before.diff(dim=axis) ** 2).mean()) for axis in (1, 2, 3)
    )
    assert changed
    assert steps[0] < 0.35 * steps[1]
    assert abs(float(after.mean() - before.mean())) < 0.02


def test_a_faulty_mask_cuts_labels_with_the_image_or_leaves_a_rim_without_labels() -> None:
    kinds = set()
    for seed in range(20):
        image, regions = a_patch()
        brain = (image != 0).any(dim=0)
        changed, labels = imperfect_brain_mask(image, regions, brain, np.random.default_rng(seed))
        shaved = bool((changed[:, brain] == 0).all(dim=0).any())
        kinds.add(shaved)
        assert (labels[:, (changed == 0).all(dim=0)] == 0).all()
        assert shaved or torch.equal(changed[:, brain], image[:, brain])
        assert (labels[:, ~brain] == 0).all()
    assert kinds == {True, False}


def test_every_subset_with_flair_or_t1c_comes_up_and_no_other() -> None:
    subsets = set()
    for seed in range(400):
        kept = drop_sequences(torch.ones(4, 2, 2, 2), ROLES, np.random.default_rng(seed)).amax(dim=(1, 2, 3))
        subsets.add(tuple(kept.bool().tolist()))
    assert len(subsets) == 11  # of 15 subsets T1, T2 and T1+T2 are out, and all four together drop nothing
    assert all(t1c or flair for _, t1c, _, flair in subsets)


def test_a_release_of_one_sequence_never_loses_it() -> None:
    alone = torch.ones(1, 2, 2, 2)
    assert torch.equal(drop_sequences(alone, (Role.FLAIR,), np.random.default_rng(1)), alone)


def test_patches_around_the_tumour_show_each_label_equally_often() -> None:
    labels = np.full((40, 40, 40), 2, dtype=np.uint8)
    labels[2:4, 2:4, 2:4] = 3  # 8 voxels of 64,000
    case = PreparedCase("toy", np.ones((4, 40, 40, 40), dtype=np.float16), labels)
    sampling = SamplingRecipe(patch=(8, 8, 8), batch=40, tumour_centred=1.0)
    _, regions = PatchSource([case], ROLES, sampling, AugmentationRecipe(), seed=1).batch(0)
    showing = int((regions[:, 2].sum(dim=(1, 2, 3)) > 0).sum())
    assert 10 <= showing <= 30


def test_regions_of_labels_are_nested() -> None:
    labels = np.array([[[0, 1, 2, 3]]], dtype=np.uint8)
    assert nested_regions(labels).reshape(3, 4).tolist() == [[0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]]


def test_a_patch_around_the_tumour_holds_tumour_even_at_the_edge_of_a_small_volume() -> None:
    labels = np.zeros((20, 40, 40), dtype=np.uint8)
    labels[19, 39, 0] = 3
    case = PreparedCase("toy", np.ones((4, 20, 40, 40), dtype=np.float16), labels)
    source = PatchSource(
        [case], ROLES, SamplingRecipe(patch=(24, 24, 24), batch=2, tumour_centred=1.0), AugmentationRecipe(), seed=1
    )
    images, regions = source.batch(0)
    assert images.shape == (2, 4, 24, 24, 24)
    assert regions.sum(dim=(1, 2, 3, 4)).tolist() == [3, 3]
    assert (images[:, :, 20:] == 0).all()


def test_a_tumour_without_enhancement_looks_like_t1_and_is_labelled_core() -> None:
    rng = np.random.default_rng(3)
    regions = torch.zeros(3, 24, 24, 24)
    for place, margin in enumerate((3, 7, 9)):
        regions[place, margin:-margin, margin:-margin, margin:-margin] = 1.0
    image = torch.from_numpy(rng.normal(0, 0.5, (4, 24, 24, 24)).astype(np.float32))
    image[ROLES.index(Role.T1)] -= 2 * regions[1]
    image[ROLES.index(Role.T1C)] += 5 * regions[2]
    dulled, labels = without_enhancement(image, regions, ROLES)
    t1c, enhancing = ROLES.index(Role.T1C), regions[2] > 0
    assert dulled[t1c][enhancing].mean() < 0  # as dark as the core is on T1
    assert torch.equal(dulled[t1c][regions[0] == 0], image[t1c][regions[0] == 0])
    others = [place for place in range(4) if place != t1c]
    assert torch.equal(dulled[others], image[others])
    assert labels[2].sum() == 0
    assert torch.equal(labels[:2], regions[:2])


def test_without_t1_or_enhancement_nothing_is_taken_back() -> None:
    image, regions = torch.ones(2, 8, 8, 8), torch.ones(3, 8, 8, 8)
    assert without_enhancement(image, regions, (Role.T1C, Role.FLAIR))[1] is regions
    regions[2] = 0
    assert without_enhancement(image, regions, (Role.T1, Role.T1C))[0] is image


def test_patches_of_cases_that_hardly_enhance_come_up_as_often_as_asked() -> None:
    bright, dull = np.full((8, 8, 8), 3, dtype=np.uint8), np.full((8, 8, 8), 1, dtype=np.uint8)
    assert [hardly_enhances(labels) for labels in (bright, dull, 0 * dull)] == [False, True, True]
    images = np.ones((4, 8, 8, 8), dtype=np.float16)
    cases = [PreparedCase(str(place), images, dull if place == 0 else bright) for place in range(10)]
    sampling = SamplingRecipe(patch=(8, 8, 8), batch=200, hardly_enhancing=0.5)
    _, regions = PatchSource(cases, ROLES, sampling, AugmentationRecipe(), seed=1).batch(0)
    dull_ones = int((regions[:, 2].amax(dim=(1, 2, 3)) == 0).sum())
    assert 60 <= dull_ones <= 140  # a tenth of the cases


def test_a_fainter_lesion_stays_where_it_is_and_leaves_enhancement_alone() -> None:
    image, regions = a_bright_lesion()
    for seed in range(20):
        faint = faint_lesion(image, regions, np.random.default_rng(seed))
        assert torch.equal(faint[:, regions[2] > 0], image[:, regions[2] > 0])
        assert torch.equal(faint[:, :2], image[:, :2])  # far outside
        core = (regions[1] > 0) & (regions[2] == 0)
        assert (faint[:, core] <= image[:, core] + 1e-5).all()
        assert (faint[:, core] > 0.9).all()  # not gone: normal brain is 0.5, and at most 0.7 of the contrast goes


def test_a_cyst_is_dark_on_t1_and_bright_on_t2_inside_the_core_only() -> None:
    image, regions = a_bright_lesion()
    for seed in range(20):
        cyst = cystic_core(image, regions, ROLES, np.random.default_rng(seed))
        middle = (slice(None), 8, 12, 12)
        assert cyst[middle][ROLES.index(Role.T1)] < image[middle][ROLES.index(Role.T1)]
        assert cyst[middle][ROLES.index(Role.T2)] > 1.0
        assert torch.equal(cyst[:, regions[2] > 0], image[:, regions[2] > 0])
        assert torch.equal(cyst[:, :2], image[:, :2])


def a_bright_lesion() -> tuple[torch.Tensor, torch.Tensor]:
    """Brain of 0.5 with a lesion of 2.0 in every sequence, and enhancing tumour in the farther half of its core."""
    regions = torch.zeros(3, 24, 24, 24)
    regions[0, 4:20, 4:20, 4:20] = 1.0
    regions[1, 5:19, 5:19, 5:19] = 1.0
    regions[2, 13:19, 5:19, 5:19] = 1.0
    return (0.5 + 1.5 * regions[0]).repeat(4, 1, 1, 1), regions
