"""Onto the model's grid, and back to the scanner's."""

from __future__ import annotations

import math

import numpy as np
import SimpleITK as sitk

from bt_node.convert.itk import array_to_itk, resample
from bt_node.convert.motion import RigidMotion
from bt_node.domain.geometry import FloatArray, Grid, ImageArray

MODEL_SPACING_MM = 1.0
_FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
_WORTH_SMOOTHING = 0.8  # spacing below this part of the target's aliases visibly


def axis_aligned_grid(low: FloatArray, high: FloatArray, spacing_mm: float = MODEL_SPACING_MM) -> Grid:
    """Isotropic grid along the patient's axes whose voxel centres cover the LPS box from `low` to `high` (mm)."""
    counts = np.maximum(np.ceil((high - low) / spacing_mm).astype(int) + 1, 1)
    width, height, depth = (int(count) for count in counts)
    x, y, z = (float(value) for value in low)
    return Grid((depth, height, width), (spacing_mm,) * 3, (x, y, z))


def without_aliasing(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    """The image band-limited for reading at `spacing_mm`, only along axes that are sampled more finely.

    Whole factors are averaged in blocks (an 800×800 slice shrinks ninefold, which also saves the time); the rest is
    a Gaussian whose width makes up the difference of the two point spread functions
    (Cardoso 2015, doi:10.1007/978-3-319-24571-3_81).
    """
    factors = [
        max(1, min(int(spacing_mm / s + 1e-6), n)) for s, n in zip(image.GetSpacing(), image.GetSize(), strict=True)
    ]
    if max(factors) > 1:
        image = sitk.BinShrink(image, factors)
    variance = [
        (spacing_mm**2 - s**2) / _FWHM_PER_SIGMA**2 if s < _WORTH_SMOOTHING * spacing_mm else 0.0
        for s in image.GetSpacing()
    ]
    return sitk.DiscreteGaussian(image, variance) if max(variance) > 0 else image


def to_source_grid(
    probabilities: ImageArray, grid: Grid, target: Grid, motion: RigidMotion | None = None
) -> ImageArray:
    """Bring probabilities from the model's grid to the scanner's, linearly; outside the model's grid they are 0.

    Each target voxel is read at its centre, also where slices are 5 mm thick: there the model's grid holds the slice
    as it was acquired, while the planes between are interpolated, and averaging over them would wash out a lesion
    that one slice shows. Volume stays unbiased (Cavalieri: area times slice distance).

    Args:
        probabilities: float32 (R, Z, Y, X) on `grid`, R regions.
        grid: the model's grid.
        target: the scanner's grid.
        motion: from the model's world (the reference's) to the target's, as registration found it for the target's
            series; None where both are one world.

    Returns:
        float32 (R, Z, Y, X) on `target`.
    """
    if probabilities.shape[1:] != grid.shape:
        raise ValueError(f"probabilities {probabilities.shape} do not fit grid {grid.shape}")
    way = motion.inverse().to_itk() if motion else None
    result = np.empty((probabilities.shape[0], *target.shape), dtype=np.float32)
    for region, values in enumerate(probabilities):
        result[region] = resample(array_to_itk(values.astype(np.float32, copy=False), grid), target, way)
    return result
