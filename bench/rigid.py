"""SimpleITK's default rigid registration, as its own notebooks have it: the peer that ours is timed against."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import SimpleITK as sitk

from bt_node.convert.itk import volume_to_itk
from bt_node.domain.geometry import FloatArray, Volume

Points = Callable[[FloatArray], FloatArray]


def by_simpleitk(reference: Volume, moving: Volume) -> Points:
    """SimpleITK's default registration; returns where it sends points of the reference's world."""
    fixed, other = volume_to_itk(reference), volume_to_itk(moving)
    start = sitk.CenteredTransformInitializer(
        fixed, other, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=50)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.01, 20)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsGradientDescent(1.0, 100, 1e-6, 10)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(start, inPlace=False)
    found = method.Execute(fixed, other)
    return lambda points: np.array([found.TransformPoint(point.tolist()) for point in points])
