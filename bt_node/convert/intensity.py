"""Intensity normalisation: the same code in the node and in training."""

from __future__ import annotations

import numpy as np

from bt_node.domain.geometry import BoolArray, ImageArray

_SMALLEST_DEVIATION = 1e-9  # of the largest value: any unit, and a constant brain divides by no rounding error


def zscore_inside(array: ImageArray, brain: BoolArray) -> ImageArray:
    """Scale to mean 0 and standard deviation 1 inside the brain; outside is 0.

    Args:
        array: intensities (Z, Y, X), any unit.
        brain: True inside the brain, same shape.

    Returns:
        float32 (Z, Y, X). A constant brain gives zeros.

    Raises:
        ValueError: shapes differ, the mask is empty, or a value inside is not finite.
    """
    if array.shape != brain.shape:
        raise ValueError(f"array {array.shape} and brain {brain.shape} differ")
    inside = array[brain].astype(np.float64)
    if inside.size == 0:
        raise ValueError("the brain mask is empty")
    if not np.isfinite(inside).all():
        raise ValueError("intensities inside the brain are not finite")
    deviation = max(float(inside.std()), _SMALLEST_DEVIATION * (float(np.abs(inside).max()) or 1.0))
    result = np.zeros(array.shape, dtype=np.float32)
    result[brain] = ((inside - inside.mean()) / deviation).astype(np.float32)
    return result
