"""From a 2D slice of any size and unit to what the classifier sees: the same code in the node and in training.

A file of a teaching collection and a slice of a scanner's volume differ in matrix, field of view, padding and
intensity unit. None of that may reach the network, so the head is framed by its own bounding box and its own
percentiles.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from bt_node.domain.errors import PictureError
from bt_node.domain.geometry import BoolArray, FloatArray, ImageArray

_BINS = 256
# The head's edge (scalp, or brain where the skull is stripped) is much darker than what Otsu's threshold separates
# in a slice after contrast; a fifth of it still lies above air with its noise and ghosts.
_EDGE_FRACTION = 0.2
# Smaller parts than this share of the largest one are burnt-in letters, scale bars and specks of noise.
_SMALLEST_PART = 0.05
_DARK_PERCENTILE, _BRIGHT_PERCENTILE = 1.0, 99.5
_SMALLEST_SIDE = 8


# Names of `[input] normalisation` in a classifier's manifest: mean and standard deviation of the three channels on
# the 0 to 1 scale of `frame_head`.
NORMALISATIONS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "head-imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # what torchvision's ImageNet weights expect
}


def frame_head(array: npt.ArrayLike, size: int) -> ImageArray:
    """Cut out the head, pad it to a square, scale it robustly and resize it.

    The result does not change when the slice is multiplied by a positive number, shifted by a constant, or padded
    with its own background.

    Args:
        array: intensities (Y, X), any unit and size, bright tissue on dark air.
        size: rows and columns of the result.

    Returns:
        float32 (size, size) from 0 (air) to 1 (99.5th percentile of the head's box).

    Raises:
        PictureError: not two-dimensional, not finite, or nothing but background.
    """
    values = np.asarray(array, dtype=np.float64)
    if values.ndim != 2:  # noqa: PLR2004
        raise PictureError(f"a picture has two axes (Y, X), not shape {values.shape}")
    if not np.isfinite(values).all():
        raise PictureError("intensities are not finite")
    box = values[_head_box(values)]
    return _resize(_pad_to_square(_scale(box)), size)


def to_network(grey: torch.Tensor, normalisation: str) -> torch.Tensor:
    """Repeat framed grey pictures in three channels and normalise each.

    Args:
        grey: float (N, S, S), 0 to 1, from `frame_head`.
        normalisation: a name in `NORMALISATIONS`.

    Returns:
        float (N, 3, S, S).
    """
    mean, deviation = (torch.tensor(numbers, device=grey.device) for numbers in NORMALISATIONS[normalisation])
    return (grey[:, None] - mean.view(1, -1, 1, 1)) / deviation.view(1, -1, 1, 1)


def _head_box(values: FloatArray) -> tuple[slice, slice]:
    """Bounding box of everything large that is brighter than air."""
    parts, count = ndimage.label(_above_air(values))
    if count == 0:
        raise PictureError("nothing but background")
    sizes = np.bincount(parts.ravel())[1:]
    kept = np.isin(parts, 1 + np.flatnonzero(sizes >= _SMALLEST_PART * sizes.max()))
    rows, columns = np.flatnonzero(kept.any(axis=1)), np.flatnonzero(kept.any(axis=0))
    box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    if min(box[0].stop - box[0].start, box[1].stop - box[1].start) < _SMALLEST_SIDE:
        raise PictureError("nothing larger than a speck stands out from the background")
    return box


def _above_air(values: FloatArray) -> BoolArray:
    """Pixels brighter than a fraction of Otsu's threshold; pixels at the minimum count as padding, not as data."""
    low = values.min()
    data = values[values > low] - low
    if data.size == 0:
        return np.zeros(values.shape, dtype=np.bool_)
    # The brightest thousandth (vessels, artefacts, letters) would stretch the bins.
    high = float(np.percentile(data, 99.9))
    threshold = _EDGE_FRACTION * _otsu(np.minimum(data, high), high)
    return np.asarray(values - low > threshold, dtype=np.bool_)


def _otsu(data: FloatArray, high: float) -> float:
    """Threshold in (0, high) that separates two classes best (Otsu 1979, doi:10.1109/TSMC.1979.4310076)."""
    counts, edges = np.histogram(data, bins=_BINS, range=(0.0, high))
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = data.size - below
    sum_below = np.cumsum(counts * centres)[:-1]
    total = float((counts * centres).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sum_below / below - (total - sum_below) / above) ** 2
    if not np.isfinite(between).any():
        return high / 2
    # Empty bins between air and tissue separate equally well: the middle of them, not the edge of the noise.
    best = np.flatnonzero(between >= np.nanmax(between) * (1 - 1e-9))
    return float(edges[1 + best].mean())


def _scale(box: FloatArray) -> FloatArray:
    dark, bright = np.percentile(box, (_DARK_PERCENTILE, _BRIGHT_PERCENTILE))
    if bright <= dark:
        raise PictureError("the head has no contrast")
    return np.asarray(np.clip((box - dark) / (bright - dark), 0.0, 1.0), dtype=np.float64)


def _pad_to_square(box: FloatArray) -> FloatArray:
    height, width = box.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return np.pad(box, ((top, side - height - top), (left, side - width - left)))


def _resize(square: FloatArray, size: int) -> ImageArray:
    """Bicubic with a low-pass filter when it shrinks, so that fine noise does not fold into structure."""
    tensor = torch.from_numpy(square.astype(np.float32))[None, None]
    resized = torch.nn.functional.interpolate(
        tensor, size=(size, size), mode="bicubic", antialias=True, align_corners=False
    )
    return np.asarray(resized[0, 0].clamp(0.0, 1.0).numpy(), dtype=np.float32)
