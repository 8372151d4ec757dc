"""Drawn heads of four kinds, by formula: a data set for a first try and for tests, with no patient in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from bt_node.domain.geometry import FloatArray
from bt_node.domain.tumour import TumourType
from training.classifier.pictures import CLASSES, Bytes

SIDE = 96  # pixels


def write_toy(folder: Path, count: int = 24, seed: int = 0, side: int = SIDE) -> int:
    """Write `CLASS/NUMBER.png`, `count` of each class; returns how many there are in all."""
    generator = np.random.default_rng(seed)
    for kind in CLASSES:
        (folder / kind.value).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.fromarray(draw_head(kind, generator, side)).save(folder / kind.value / f"{number:03d}.png")
    return count * len(CLASSES)


def draw_head(kind: TumourType, generator: np.random.Generator, side: int = SIDE) -> Bytes:
    """One drawn head, uint8 (side, side): scalp, skull, brain with folds of its own, and a mark for its class.

    Glioma is a ring in the brain, meningioma a bright lump on its rim, a pituitary tumour a bright spot low in the
    middle. It looks like no patient; it only lets the whole way be walked.
    """
    y, x = (grid / (side / 2) - 1 for grid in np.mgrid[:side, :side])
    height, width = generator.uniform(0.82, 0.92), generator.uniform(0.68, 0.80)
    turned = generator.uniform(-0.15, 0.15)
    down, across = y * np.cos(turned) + x * np.sin(turned), x * np.cos(turned) - y * np.sin(turned)
    radius = np.hypot(down / height, across / width) * _bulges(np.arctan2(down, across), generator)
    picture = np.where(radius < 1, 150.0, 0.0)
    picture[radius < 0.9] = 15.0
    picture[radius < 0.82] = 90.0
    picture += np.where(radius < 0.82, 14 * _folds(generator, side), 0.0)
    picture = _marked(picture, kind, generator, (down / height, across / width))
    noise = generator.normal(0.0, 1.0, picture.shape)
    return np.asarray(np.clip(ndimage.gaussian_filter(picture, side / 160) + noise, 0, 255), dtype=np.uint8)


def _bulges(angle: FloatArray, generator: np.random.Generator) -> FloatArray:
    """No head is an ellipse: a few waves around it, by some percent."""
    waves = [generator.uniform(0, 0.04) * np.cos(k * angle + generator.uniform(0, 2 * np.pi)) for k in (2, 3, 4, 5)]
    return np.asarray(1 + np.sum(waves, axis=0), dtype=np.float64)


def _folds(generator: np.random.Generator, side: int) -> FloatArray:
    """Smooth disorder of deviation 1: what makes one brain differ from another."""
    field = ndimage.gaussian_filter(generator.normal(size=(side, side)), side / 40)
    return np.asarray(field / field.std(), dtype=np.float64)


def _marked(
    picture: FloatArray, kind: TumourType, generator: np.random.Generator, at: tuple[FloatArray, FloatArray]
) -> FloatArray:
    down, across = at
    angle, radius = generator.uniform(0, 2 * np.pi), np.hypot(down, across)
    if kind is TumourType.GLIOMA:
        place = 0.4 * np.sin(angle), 0.4 * np.cos(angle)
        distance = np.hypot(down - place[0], across - place[1])
        return np.where(distance < 0.3, np.where(distance > 0.2, 230.0, 40.0), picture)
    if kind is TumourType.MENINGIOMA:
        place = 0.68 * np.sin(angle), 0.68 * np.cos(angle)
        return np.where((np.hypot(down - place[0], across - place[1]) < 0.3) & (radius < 0.82), 235.0, picture)
    if kind is TumourType.PITUITARY:
        place = 0.5 + generator.uniform(-0.05, 0.05), generator.uniform(-0.05, 0.05)
        return np.where(np.hypot(down - place[0], across - place[1]) < 0.2, 235.0, picture)
    return picture
