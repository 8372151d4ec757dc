"""Distortions of a training patch: what differs between scanners, protocols and brain masks.

BraTS is 1 mm, skull-stripped and clean; patients' series are 5 mm thick, tilted, shaded, and their brain masks are
imperfect. Each distortion below stands for one of these differences. All take and return z-scores (sequence, Z, Y, X)
with 0 outside the brain and nested regions (region, Z, Y, X), and draw from the generator they are given, so the
same generator gives the same patch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bt_node.domain.study import Role
from training.segmenter.recipe import AugmentationRecipe

Rng = np.random.Generator
# Enhancing tumour shows on T1c and oedema on FLAIR: with neither, there is little left to outline.
NEEDS_ONE_OF = (Role.T1C, Role.FLAIR)
_ET = 2  # place of enhancing tumour among the regions
_ENOUGH_VOXELS = 1000  # of normal brain, to match grey values by
_EDGE = 3  # voxels over which enhancement fades away
_CYSTS = 0.35  # of the lesions that are given another look; the others are made fainter
# z-scores of fluid beside those of brain; on FLAIR it may be dark as in ventricles or as grey as brain.
_FLUID = {Role.T1: (-2.0, -1.0), Role.T1C: (-2.0, -1.0), Role.T2: (1.5, 3.5), Role.FLAIR: (-2.0, 0.5)}
_SMOOTHEST = 3  # control points per axis of a random smooth field


def augment(
    image: Tensor, regions: Tensor, roles: Sequence[Role], recipe: AugmentationRecipe, rng: Rng
) -> tuple[Tensor, Tensor]:
    """Distort one patch; each distortion has its own chance.

    Args:
        image: float32 (sequence, Z, Y, X) z-scores, 0 outside the brain.
        regions: float32 (region, Z, Y, X), 0 or 1.
        roles: what each sequence is.
        recipe: the chances.
        rng: source of every random choice.

    Returns:
        Image and regions of the same shapes.
    """
    image, regions = _flip(image, regions, recipe, rng)
    if recipe.no_enhancement and rng.random() < recipe.no_enhancement:
        image, regions = without_enhancement(image, regions, roles)
    if recipe.other_lesion and rng.random() < recipe.other_lesion:
        image = (
            cystic_core(image, regions, roles, rng) if rng.random() < _CYSTS else faint_lesion(image, regions, rng)
        )
    if rng.random() < recipe.turn_and_scale:
        image, regions = turn_and_scale(image, regions, rng)
    brain = (image != 0).any(dim=0)
    for chance, distort in _intensity_steps(recipe):
        if rng.random() < chance:
            image = distort(image, rng)
    image = image * brain  # blur and thick slices leak over the brain's edge; the node's mask cuts there
    if rng.random() < recipe.brain_mask:
        image, regions = imperfect_brain_mask(image, regions, brain, rng)
    if rng.random() < recipe.sequence_dropout:
        image = drop_sequences(image, roles, rng)
    return image, regions


def drop_sequences(image: Tensor, roles: Sequence[Role], rng: Rng) -> Tensor:
    """Blank one to three sequences; FLAIR or T1c always stays, since without both no release answers.

    Every subset that is left is equally likely. A missing sequence is 0 everywhere: the mean of a z-scored brain, and
    what the node gives the network for a sequence that a study lacks.
    """
    number = len(roles)
    subsets = [
        kept
        for kept in itertools.product((False, True), repeat=number)
        if not all(kept) and any(on for on, role in zip(kept, roles, strict=True) if role in NEEDS_ONE_OF)
    ]
    if not subsets:
        return image
    kept = torch.tensor(subsets[int(rng.integers(len(subsets)))])
    return image * kept.view(-1, 1, 1, 1)


def without_enhancement(image: Tensor, regions: Tensor, roles: Sequence[Role]) -> tuple[Tensor, Tensor]:
    """The same tumour as if it took up no contrast: T1 stands in T1c's place, and enhancing tumour is core.

    Cases without enhancement are few; without them a network learns that a core has some, whatever T1c shows. T1's
    grey values are brought to T1c's by mean and spread of the brain outside the tumour. Needs T1 and T1c.
    """
    if not {Role.T1, Role.T1C} <= set(roles) or not bool(regions[_ET].any()):
        return image, regions
    plain, contrasted = image[roles.index(Role.T1)], image[roles.index(Role.T1C)]
    normal = (contrasted != 0) & (plain != 0) & (regions[0] == 0)
    if int(normal.sum()) < _ENOUGH_VOXELS:
        return image, regions
    (spread, mean), (spread_c, mean_c) = (torch.std_mean(each[normal]) for each in (plain, contrasted))
    dulled = (plain - mean) / spread.clamp(min=1e-3) * spread_c + mean_c
    width = 2 * _EDGE + 1
    share = functional.avg_pool3d(
        _dilated(regions[_ET] > 0, _EDGE)[None, None].float(), width, stride=1, padding=_EDGE, count_include_pad=False
    )[0, 0]
    image, regions = image.clone(), regions.clone()
    # Only what enhancement can have brightened is taken back: a dark necrosis stays as T1c shows it.
    image[roles.index(Role.T1C)] = torch.minimum(contrasted, share * dulled + (1 - share) * contrasted)
    regions[_ET] = 0
    return image, regions


def faint_lesion(image: Tensor, regions: Tensor, rng: Rng) -> Tensor:
    """The same tumour with less contrast to brain: sequences fade in it towards the mean of the brain outside.

    Either the whole tumour or only its core fades, enhancing tumour excepted: weak lesions and those whose core is as
    grey as oedema are missed by a network that has seen bright ones only.
    """
    share = _soft(regions[int(rng.integers(_ET))] - regions[_ET])
    normal = (image != 0).any(dim=0) & (regions[0] == 0)
    if int(normal.sum()) < _ENOUGH_VOXELS:
        return image
    result = image.clone()
    for index in np.flatnonzero(rng.random(len(image)) < 0.7):
        faded = float(rng.uniform(0.2, 0.7)) * share * (1 - regions[_ET])
        result[index] = (1 - faded) * image[index] + faded * image[index][normal].mean()
    return result


def cystic_core(image: Tensor, regions: Tensor, roles: Sequence[Role], rng: Rng) -> Tensor:
    """The same tumour with fluid in the part of its core that does not enhance: dark on T1, bright on T2."""
    share = _soft(regions[1] - regions[_ET]) * (1 - regions[_ET]) * (image != 0).any(dim=0)
    amount = float(rng.uniform(0.5, 0.95)) * share
    result = image.clone()
    for index, role in enumerate(roles):
        if role in _FLUID:
            result[index] = (1 - amount) * image[index] + amount * float(rng.uniform(*_FLUID[role]))
    return result


def _soft(mask: Tensor) -> Tensor:
    """The mask (Z, Y, X) with edges that rise over five voxels."""
    pooled: Tensor = functional.avg_pool3d(mask[None, None], 5, stride=1, padding=2, count_include_pad=False)[0, 0]
    return pooled


def _intensity_steps(recipe: AugmentationRecipe) -> list[tuple[float, Callable[[Tensor, Rng], Tensor]]]:
    return [
        (recipe.thick_slices, thick_slices),
        (recipe.blur, blur),
        (recipe.bias_field, bias_field),
        (recipe.gamma, gamma),
        (recipe.contrast, contrast),
        (recipe.noise, noise),
    ]


def _flip(image: Tensor, regions: Tensor, recipe: AugmentationRecipe, rng: Rng) -> tuple[Tensor, Tensor]:
    chances = (recipe.flip_other, recipe.flip_other, recipe.flip_left_right)
    axes = [axis + 1 for axis, chance in enumerate(chances) if rng.random() < chance]
    return (image.flip(axes), regions.flip(axes)) if axes else (image, regions)


def turn_and_scale(image: Tensor, regions: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
    """Turn by up to about 15 degrees around each axis and scale by 0.85 to 1.2 (heads lie as they lie)."""
    matrix = _rotation(rng.uniform(-0.26, 0.26, size=3)) / rng.uniform(0.85, 1.2)
    theta = torch.from_numpy(np.hstack([matrix, np.zeros((3, 1))])).float()[None]
    grid = functional.affine_grid(theta, [1, 1, *image.shape[1:]], align_corners=False)
    turned = functional.grid_sample(image[None], grid, mode="bilinear", align_corners=False)[0]
    # The edge of the brain must stay sharp: interpolated values half outside are cut away.
    inside = functional.grid_sample((image != 0).any(dim=0)[None, None].float(), grid, align_corners=False)[0] > 0.5
    masks = functional.grid_sample(regions[None], grid, mode="bilinear", align_corners=False)[0]
    return turned * inside, (masks > 0.5).float() * inside


def _rotation(angles: np.ndarray) -> np.ndarray:
    result = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn[first, first] = turn[second, second] = math.cos(angle)
        turn[first, second], turn[second, first] = -math.sin(angle), math.sin(angle)
        result = result @ turn
    return result


def thick_slices(image: Tensor, rng: Rng) -> Tensor:
    """Average sequences into slices of 3 to 6.5 mm along one axis and interpolate back, as registration does.

    Mostly axial; some of the sequences may stay thin, because protocols mix 2D and 3D acquisitions.
    """
    axis = int(rng.choice(3, p=[0.7, 0.15, 0.15]))
    chosen = rng.random(len(image)) < rng.choice([1.0, 0.6])
    size = list(image.shape[1:])
    thin = list(size)
    thin[axis] = max(2, round(size[axis] / rng.uniform(3.0, 6.5)))
    result = image.clone()
    for index in np.flatnonzero(chosen):
        coarse = functional.interpolate(image[index][None, None], size=thin, mode="area")
        result[index] = functional.interpolate(coarse, size=size, mode="trilinear", align_corners=False)[0, 0]
    return result


def blur(image: Tensor, rng: Rng) -> Tensor:
    """Smooth one or more sequences in all axes, as a low acquisition matrix does."""
    result = image.clone()
    factor = rng.uniform(0.5, 0.85)
    size = list(image.shape[1:])
    for index in np.flatnonzero(rng.random(len(image)) < 0.6):
        coarse = functional.interpolate(
            image[index][None, None], scale_factor=factor, mode="trilinear", align_corners=False
        )
        result[index] = functional.interpolate(coarse, size=size, mode="trilinear", align_corners=False)[0, 0]
    return result


def bias_field(image: Tensor, rng: Rng) -> Tensor:
    """Add a smooth shading to each sequence; on z-scores, a coil's gain looks like a slow offset."""
    strength = rng.uniform(0.1, 0.6)
    return torch.stack([sequence + strength * _smooth_field(sequence.shape, rng) for sequence in image])


def gamma(image: Tensor, rng: Rng) -> Tensor:
    """Bend the grey scale of each sequence, keeping its range."""
    result = image.clone()
    for index, sequence in enumerate(image):
        low, high = float(sequence.min()), float(sequence.max())
        if high > low and rng.random() < 0.5:
            exponent = float(np.exp(rng.uniform(-0.4, 0.4)))
            result[index] = ((sequence - low) / (high - low)) ** exponent * (high - low) + low
    return result


def contrast(image: Tensor, rng: Rng) -> Tensor:
    """Change gain and offset of each sequence: what a wrong brain mask or another protocol does to z-scores."""
    gain = torch.from_numpy(rng.uniform(0.7, 1.35, len(image))).float()
    shift = torch.from_numpy(rng.uniform(-0.4, 0.4, len(image))).float()
    return image * gain.view(-1, 1, 1, 1) + shift.view(-1, 1, 1, 1)


def noise(image: Tensor, rng: Rng) -> Tensor:
    """Add Gaussian noise."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    return image + float(rng.uniform(0.02, 0.25)) * torch.randn(image.shape, generator=generator)


def imperfect_brain_mask(image: Tensor, regions: Tensor, brain: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
    """Shave the brain's rim off, or leave a rim of scalp, skull and orbit around parts of it."""
    if rng.random() < 0.3:
        eroded = ~_dilated(~brain, int(rng.integers(1, 4)))
        return image * eroded, regions * eroded
    inner = _dilated(brain, int(rng.integers(2, 9)))
    outer = _dilated(inner, int(rng.integers(1, 10)))
    field = _smooth_field(brain.shape, rng, points=int(rng.integers(2, 7)))
    left_on = ~brain & (field > rng.uniform(-0.6, 0.6))
    # Bone lies between brain and scalp; both look different in each sequence.
    image = torch.where(outer & ~inner & left_on, _tissue_outside(image, rng), image)
    return torch.where(inner & left_on, _tissue_outside(image, rng), image), regions


def _tissue_outside(image: Tensor, rng: Rng) -> Tensor:
    """One layer of bone, fat, muscle or mucosa: any brightness, its own texture in each sequence."""
    layers = []
    for _ in range(len(image)):
        texture = _smooth_field(image.shape[1:], rng, points=int(rng.integers(8, 24)))
        layers.append(float(rng.uniform(-2.5, 3.5)) + float(rng.uniform(0.3, 1.5)) * texture)
    return torch.stack(layers)


def _dilated(mask: Tensor, steps: int) -> Tensor:
    """The mask grown by `steps` voxels along each axis (a cube as structuring element, one axis at a time)."""
    grown = mask[None, None].float()
    for axis in range(3):
        size = [1, 1, 1]
        size[axis] = 2 * steps + 1
        grown = functional.max_pool3d(grown, kernel_size=size, stride=1, padding=[n // 2 for n in size])
    return grown[0, 0] > 0.5


def _smooth_field(shape: tuple[int, ...], rng: Rng, points: int = _SMOOTHEST) -> Tensor:
    drawn = torch.from_numpy(rng.standard_normal((1, 1, points, points, points), dtype=np.float32))
    field: Tensor = functional.interpolate(drawn, size=list(shape), mode="trilinear", align_corners=True)[0, 0]
    return field
