"""How bright each tissue is on T1, T1c, T2 and FLAIR, and how a scanner blurs, shades and roughens the picture.

The table below was set until a rendered, skull-stripped head had about the medians (z-scores inside the brain) of
15 cases of BraTS 2018, where we measured for T1, T1c, T2, FLAIR (white, grey and fluid by clustering, far from the
tumour):

    white 0.57 0.24 -0.66 -0.18     grey -0.23 -0.09 -0.01 0.25      fluid -1.50 -1.02 1.59 -1.18
    NCR  -0.32 -0.27 2.21 2.31      ED    0.23 -0.09 0.66 2.07       ET    -0.03 1.60 1.26 2.00

and mean over standard deviation in the brain of 3.7, 3.9, 2.8, 2.9. Tissues outside the brain follow one clinical
1.5 T study. Signal is the table's number plus `_BRAIN_MEAN`, which makes it proportional to what a coil receives.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from bt_node.domain.geometry import FloatArray, Grid, ImageArray
from bt_node.domain.study import Role
from bt_node.simulate.anatomy import Points, SmoothNoise, Tissue, tissue_shares
from bt_node.simulate.tumour import Head

_BRAIN_MEAN: Mapping[Role, float] = {Role.T1: 3.0, Role.T1C: 3.1, Role.T2: 2.3, Role.FLAIR: 2.1}

_ORDER = (Role.T1, Role.T1C, Role.T2, Role.FLAIR)
_BRAIN_Z: Mapping[Tissue, tuple[float, float, float, float]] = {
    #                    T1     T1c    T2     FLAIR
    Tissue.FLUID: (-1.80, -1.45, 1.85, -1.50),
    Tissue.GREY: (-0.25, -0.20, -0.05, 0.25),
    Tissue.DEEP_GREY: (0.00, 0.00, -0.45, 0.15),
    Tissue.WHITE: (0.50, 0.15, -0.75, -0.20),
    Tissue.VESSEL: (-0.90, 2.60, -0.60, -0.60),
    Tissue.VENOUS_SINUS: (-0.90, 2.80, -1.90, -1.60),
    Tissue.NECROSIS: (-0.50, -0.65, 1.75, 1.25),
    Tissue.OEDEMA: (0.00, -0.20, 0.65, 1.40),
    Tissue.ENHANCING: (-0.15, 1.15, 0.80, 1.35),
}
_OUTSIDE_SIGNAL: Mapping[Tissue, tuple[float, float, float, float]] = {  # same unit as z + mean
    Tissue.AIR: (0.0, 0.0, 0.0, 0.0),
    Tissue.SCALP_FAT: (9.0, 9.5, 4.2, 5.5),
    Tissue.MUSCLE: (2.8, 3.8, 1.2, 2.2),
    Tissue.BONE: (0.3, 0.3, 0.2, 0.3),
    Tissue.MARROW: (5.0, 5.0, 2.4, 3.0),
    Tissue.VITREOUS: (1.3, 1.4, 5.4, 0.8),
}
_SIGNAL_UNIT = 160.0  # scanner units of one z-score; white matter on T1 lands near 700
_SHADING = 0.07  # coil shading, standard deviation as a share of signal
_NOISE = 0.16  # standard deviation of the noise of each channel, in z-scores
_TEXTURE = 0.045  # mottle inside tissues, standard deviation as a share of signal
_MOTTLE_MM = 1.5
_SLAB = 8  # planes rendered at a time, to keep memory small


def _signals() -> Mapping[Tissue, tuple[float, ...]]:
    means = [_BRAIN_MEAN[role] for role in _ORDER]
    brain = {tissue: tuple(z + mean for z, mean in zip(row, means, strict=True)) for tissue, row in _BRAIN_Z.items()}
    return {**brain, **_OUTSIDE_SIGNAL}


def grid_points(grid: Grid, planes: slice = slice(None)) -> Points:
    """LPS positions (3, N) of the voxel centres of some planes, in (Z, Y, X) order."""
    steps = grid.direction_matrix * np.asarray(grid.spacing)
    along_x, along_y, along_z = (
        np.arange(count)[None, :] * steps[:, [axis]] for axis, count in enumerate(grid.shape[::-1])
    )
    rows = (np.asarray(grid.origin)[:, None] + along_z[:, planes])[:, :, None] + along_y[:, None, :]
    points = rows.astype(np.float32)[..., None] + along_x.astype(np.float32)[:, None, None, :]
    return np.ascontiguousarray(points.reshape(3, -1))


def fine_grid(spacing_mm: float) -> Grid:
    """An upright grid around the whole head."""
    low, high = np.array([-96.0, -122.0, -100.0]), np.array([96.0, 114.0, 90.0])
    width, height, depth = (int(np.ceil(extent / spacing_mm)) + 1 for extent in high - low)
    x, y, z = (float(value) for value in low)
    return Grid((depth, height, width), (spacing_mm,) * 3, (x, y, z))


def render(head: Head, grid: Grid, seed: int) -> Mapping[Role, ImageArray]:
    """Noise-free signal of the four sequences at the voxel centres of a grid, float32 (Z, Y, X) each."""
    random = np.random.default_rng([seed, 3])
    coarse = SmoothNoise.draw(random, 18, count=8)
    fine = _mottle(grid, random)
    signals = _signals()
    images = {role: np.zeros(grid.shape, dtype=np.float32) for role in _ORDER}
    for first in range(0, grid.shape[0], _SLAB):
        planes = slice(first, first + _SLAB)
        points = grid_points(grid, planes)
        head_only = np.flatnonzero(head.reaches(points))  # half of the box is air
        points = np.ascontiguousarray(points[:, head_only])
        rough = 1 + np.float32(_TEXTURE * 0.7) * (coarse(points) + fine[planes].reshape(-1)[head_only])
        shares = tissue_shares(head.layers(points))
        for channel, role in enumerate(_ORDER):
            signal = np.zeros(len(head_only), dtype=np.float32)
            for tissue, share in shares.items():
                signal += share * np.float32(signals[tissue][channel])
            images[role][planes].reshape(-1)[head_only] = signal * rough
    return images


def _mottle(grid: Grid, random: np.random.Generator) -> ImageArray:
    """Fine-grained noise of standard deviation 1, float32 (Z, Y, X)."""
    sigma = [_MOTTLE_MM / step for step in grid.spacing[::-1]]
    noise = ndimage.gaussian_filter(random.standard_normal(grid.shape, dtype=np.float32), sigma, truncate=2.5)
    return np.asarray(noise / max(float(noise.std()), 1e-6), dtype=np.float32)


def resample(image: ImageArray, source: Grid, target: Grid, motion: FloatArray, thin: int) -> ImageArray:
    """What a scanner with the target's grid sees: each slice is the mean of `thin` samples through its thickness.

    Args:
        image: float32 (Z, Y, X) on `source`.
        source: grid of the image, in head coordinates.
        target: grid of the series, in world coordinates.
        motion: 4×4, head coordinates to world (LPS mm): how the patient had moved when this series was taken.
        thin: samples through one slice.
    """
    depth, height, width = target.shape
    normal = target.direction_matrix[:, 2]
    first = np.asarray(target.origin) - normal * target.spacing[2] * (0.5 - 0.5 / thin)
    x, y, z = (float(value) for value in first)
    fine = Grid(
        (depth * thin, height, width), (*target.spacing[:2], target.spacing[2] / thin), (x, y, z), target.direction
    )
    back = np.linalg.inv(motion)

    def to_source_index(index: FloatArray) -> FloatArray:
        world = fine.index_to_world(index)
        return source.world_to_index(world @ back[:3, :3].T + back[:3, 3])

    offset = to_source_index(np.zeros(3))
    matrix = np.stack([to_source_index(row) - offset for row in np.eye(3)], axis=1)
    sampled = ndimage.affine_transform(image, matrix, offset, fine.shape, order=1, output=np.float32)
    result: ImageArray = sampled.reshape(depth, thin, height, width).mean(axis=1, dtype=np.float32)
    return result


def acquire(signal: ImageArray, grid: Grid, random: np.random.Generator) -> ImageArray:
    """Coil shading and Rician noise on a noise-free signal; returns scanner units, float32 (Z, Y, X)."""
    shading = SmoothNoise.draw(random, 380, count=3)
    shaded = np.empty_like(signal)
    for plane in range(grid.shape[0]):
        gain = 1 + np.float32(_SHADING) * shading(grid_points(grid, slice(plane, plane + 1)))
        shaded[plane] = signal[plane] * gain.reshape(signal[plane].shape)
    real = shaded + np.float32(_NOISE) * random.standard_normal(signal.shape, dtype=np.float32)
    imaginary = np.float32(_NOISE) * random.standard_normal(signal.shape, dtype=np.float32)
    return np.asarray(np.hypot(real, imaginary) * np.float32(_SIGNAL_UNIT), dtype=np.float32)
