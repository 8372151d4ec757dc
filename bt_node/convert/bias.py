"""Slow shading across the head (coil sensitivity) taken out before intensities are normalised.

A z-score over the whole brain calls the side that lies nearer to a coil bright, and a network trained on evenly lit
brains calls that side oedema. N4 (Tustison 2010, doi:10.1109/TMI.2010.2046908) estimates the shading as a smooth
field inside the brain, coarse enough that a lesion is not taken for shading.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from bt_node.convert.itk import array_to_itk, volume_to_itk
from bt_node.domain.geometry import ImageArray, Mask, Volume

# Estimated on blocks of 8 mm, as the field is far smoother than that; three levels of B-splines end with
# control points a fifth of the brain apart.
_BLOCK_MM = 8.0
_ITERATIONS = (30, 30, 20)
_CONVERGED = 1e-3
_FEWEST_BLOCKS = 100
_FAINTEST = 1e-3


def without_shading(head: Volume, brain: Mask) -> ImageArray:
    """Intensities with the shading divided out, float32 (Z, Y, X), in the unit they came in.

    Args:
        head: one sequence on the models' grid, with or without skull.
        brain: where the field is estimated; it is extrapolated smoothly outside.

    Returns:
        The corrected intensities. A brain of fewer than 100 blocks of 8 mm is returned as it is: too little to
        tell shading from anatomy.
    """
    shrink = [max(1, round(_BLOCK_MM / spacing)) for spacing in head.grid.spacing]
    blocks = sitk.BinShrink(array_to_itk(brain.array.astype(np.float32), brain.grid), shrink) > 0.5  # noqa: PLR2004
    if int(sitk.GetArrayFromImage(blocks).sum()) < _FEWEST_BLOCKS:
        return head.array
    # The field is a factor, so the filter works on logarithms, and those need intensities above zero.
    faintest = _FAINTEST * float(np.median(np.abs(head.array[brain.array]))) or _FAINTEST
    image = volume_to_itk(Volume(np.maximum(head.array, np.float32(faintest)), head.grid))
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(_ITERATIONS)
    n4.SetConvergenceThreshold(_CONVERGED)
    n4.Execute(sitk.BinShrink(image, shrink), blocks)
    field = np.exp(sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(image)))
    corrected: ImageArray = (head.array / field).astype(np.float32)
    return corrected
