"""Synthetic heads around skull-stripped brains, so that "no skull" does not mean "BraTS" to the network.

Rings around the brain, by distance: dark fluid, dark bone with brighter marrow, bright scalp. Crude beside a real
head, but it takes away the one sign that would name the source of a slice.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from bt_node.domain.geometry import FloatArray, ImageArray


def wrap_in_head(brain: ImageArray, generator: np.random.Generator, margin: int = 30) -> ImageArray:
    """Surround a stripped slice (Y, X), 1 mm, with fluid, bone and scalp; `margin` mm wider each side."""
    wide = np.pad(brain, margin)
    inside = ndimage.binary_fill_holes(ndimage.binary_closing(wide > 0, iterations=4))
    distance = ndimage.distance_transform_edt(~inside) + _unevenness(wide.shape, generator)
    tissue = float(np.median(brain[brain > 0]))
    fluid = generator.uniform(0.5, 4.0)
    bone = fluid + generator.uniform(4.0, 9.0)
    scalp = bone + generator.uniform(3.0, 9.0)
    shells = _shells(distance, fluid, bone, scalp, generator) * tissue
    soft = ndimage.gaussian_filter(np.where(inside, 0.0, shells), 0.7)
    grain = generator.normal(0.0, 0.03 * tissue, wide.shape)
    return np.maximum(np.where(wide > 0, wide, soft + grain), 0.0).astype(np.float32)


def _unevenness(shape: tuple[int, ...], generator: np.random.Generator) -> FloatArray:
    """A smooth field of a few millimetres: no skull is equally thick all around."""
    field = ndimage.gaussian_filter(generator.normal(size=shape), 25.0)
    return np.asarray(field / max(float(field.std()), 1e-9) * generator.uniform(0.3, 1.8), dtype=np.float64)


def _shells(
    distance: FloatArray, fluid: float, bone: float, scalp: float, generator: np.random.Generator
) -> FloatArray:
    """Brightness relative to brain tissue at each distance from the brain."""
    marrow_at, marrow = (fluid + bone) / 2, generator.uniform(0.0, 0.8)
    ring = marrow * np.exp(-(((distance - marrow_at) / 1.2) ** 2))
    levels = np.select(
        [distance <= fluid, distance <= bone, distance <= scalp],
        [np.full_like(distance, generator.uniform(0.15, 0.45)), 0.06 + ring, _scalp(distance.shape, generator)],
        0.0,
    )
    return np.asarray(levels, dtype=np.float64)


def _scalp(shape: tuple[int, ...], generator: np.random.Generator) -> FloatArray:
    """Fat and skin: bright, streaky."""
    streaks = ndimage.gaussian_filter(generator.normal(size=shape), 2.0)
    level = generator.uniform(0.7, 1.9)
    return np.asarray(level * (1.0 + 0.15 * streaks / max(float(streaks.std()), 1e-9)), dtype=np.float64)
