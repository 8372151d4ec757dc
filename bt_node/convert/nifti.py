"""NIfTI files in and out.

A NIfTI header speaks RAS (nifti1.h: +x right, +y anterior, +z superior); ITK's reader and writer turn that into LPS
and back, so an array keeps its axes and only the header's signs change.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from bt_node.convert.itk import array_to_itk, itk_to_volume, volume_to_itk
from bt_node.domain.errors import UnreadableVolumeError
from bt_node.domain.geometry import Volume
from bt_node.domain.tumour import LABEL_OF, LabelMap, Region

_VOLUME_AXES = 3


def read_nifti(path: Path) -> Volume:
    """Read one 3D volume, float32 (Z, Y, X) in LPS mm, header scaling applied. A fourth axis of length 1 is dropped.

    Raises:
        UnreadableVolumeError: the file cannot be read, or holds more than one volume.
    """
    try:
        image = sitk.ReadImage(str(path), sitk.sitkFloat32)
    except RuntimeError as error:
        raise UnreadableVolumeError(path.name, f"is not NIfTI: {str(error).strip().splitlines()[-1]}") from error
    while image.GetDimension() > _VOLUME_AXES and image.GetSize()[-1] == 1:
        image = image[..., 0]
    if image.GetDimension() != _VOLUME_AXES or image.GetNumberOfComponentsPerPixel() != 1:
        raise UnreadableVolumeError(path.name, f"holds an array of size {image.GetSize()}, not one 3D volume")
    return itk_to_volume(image)


def write_nifti(path: Path, volume: Volume) -> None:
    """Write a volume as float32 NIfTI (compressed when the name ends in .gz)."""
    sitk.WriteImage(volume_to_itk(volume), str(path))


def write_nifti_labels(path: Path, labels: LabelMap, *, enhancing: int = LABEL_OF[Region.ET]) -> None:
    """Write labels as uint8 NIfTI: 0 background, 1 NCR, 2 ED, and enhancing tumour.

    Args:
        path: compressed when the name ends in .gz.
        labels: what to write.
        enhancing: value for enhancing tumour: 3 as inside this project and in BraTS 2023, 4 as in BraTS until 2021.
    """
    values = np.where(labels.array == LABEL_OF[Region.ET], np.uint8(enhancing), labels.array)
    sitk.WriteImage(array_to_itk(values, labels.grid), str(path))
