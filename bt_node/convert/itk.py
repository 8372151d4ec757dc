"""Volumes <-> SimpleITK images. Nothing outside this folder sees a SimpleITK object.

ITK works in LPS millimetres with index order (x, y, z); its array view is (Z, Y, X). Both are the house convention,
so nothing is ever flipped here.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from bt_node.domain.geometry import Grid, Volume


def array_to_itk(array: npt.NDArray[Any], grid: Grid) -> sitk.Image:
    """An image with the values of `array` (Z, Y, X) placed by `grid`; bool becomes uint8."""
    values = array.astype(np.uint8) if array.dtype == np.bool_ else array
    image = sitk.GetImageFromArray(np.ascontiguousarray(values))
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(_direction(grid))
    return image


def _direction(grid: Grid) -> tuple[float, ...]:
    """Direction cosines without values below 1e-12: ITK's inverse of a matrix with a 1e-296 in it fails silently."""
    return tuple(round(cosine, 12) for cosine in grid.direction)


def volume_to_itk(volume: Volume) -> sitk.Image:
    """The volume as a float32 image in LPS mm."""
    return array_to_itk(volume.array, volume.grid)


def grid_of(image: sitk.Image) -> Grid:
    """Where the voxels of a 3D image lie."""
    width, height, depth = image.GetSize()
    x, y, z = image.GetSpacing()
    ox, oy, oz = image.GetOrigin()
    return Grid(
        shape=(depth, height, width),
        spacing=(x, y, z),
        origin=(ox, oy, oz),
        direction=tuple(image.GetDirection()),
    )


def itk_to_volume(image: sitk.Image) -> Volume:
    """A float32 volume with a copy of the image's values."""
    array = sitk.GetArrayFromImage(image).astype(np.float32, copy=False)
    return Volume(array, grid_of(image))


def resample(
    image: sitk.Image,
    grid: Grid,
    transform: sitk.Transform | None = None,
    interpolator: int = sitk.sitkLinear,
) -> npt.NDArray[Any]:
    """Values of `image` at the voxel centres of `grid`, array (Z, Y, X) of the image's type; 0 outside the image.

    Args:
        image: source.
        grid: where to read.
        transform: maps a point of `grid`'s world to the image's world; None is identity.
        interpolator: one of SimpleITK's interpolators.
    """
    depth, height, width = grid.shape
    resampled = sitk.Resample(
        image,
        (width, height, depth),
        transform if transform is not None else sitk.Transform(3, sitk.sitkIdentity),
        interpolator,
        grid.origin,
        grid.spacing,
        _direction(grid),
        0.0,
        image.GetPixelID(),
    )
    return np.asarray(sitk.GetArrayFromImage(resampled))


class _SingleThread:
    """One thread for ITK while anybody is inside; entries are counted, since callers run side by side."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 1

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
                sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(self._before)


# A sum over threads depends on who finishes first; inside this block ITK gives the same bits every time.
one_itk_thread = _SingleThread()
