"""NIfTI files in and out.

A NIfTI header speaks RAS (nifti1.h: +x right, +y anterior, +z superior); ITK's reader and writer turn that into LPS
and back, so an array keeps its axes and only the header's signs change.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk
from nibabel.filebasedimages import ImageFileError

from bt_node.convert.itk import array_to_itk, itk_to_volume, volume_to_itk
from bt_node.domain.errors import UnreadableVolumeError
from bt_node.domain.geometry import Volume
from bt_node.domain.tumour import LABEL_OF, LabelMap, Region

_VOLUME_AXES = 3
_CHUNK = 1 << 20


def read_nifti(path: Path) -> Volume:
    """Read one 3D volume, float32 (Z, Y, X) in LPS mm, header scaling applied. A fourth axis of length 1 is dropped.

    Raises:
        UnreadableVolumeError: the file cannot be read, is cut off or damaged, has voxels that are not finite, or
            holds more than one volume.
    """
    require_whole(path)
    try:
        image = sitk.ReadImage(str(path), sitk.sitkFloat32)
    except RuntimeError as error:
        raise UnreadableVolumeError(path.name, f"is not NIfTI: {str(error).strip().splitlines()[-1]}") from error
    while image.GetDimension() > _VOLUME_AXES and image.GetSize()[-1] == 1:
        image = image[..., 0]
    if image.GetDimension() != _VOLUME_AXES or image.GetNumberOfComponentsPerPixel() != 1:
        raise UnreadableVolumeError(path.name, f"holds an array of size {image.GetSize()}, not one 3D volume")
    return itk_to_volume(image)


def require_whole(path: Path) -> None:
    """Refuse what ITK would read without a word: voxels that are missing (it takes zeros), NaN and infinity.

    Args:
        path: a NIfTI file of any number of axes; compressed when the name ends in .gz.

    Raises:
        UnreadableVolumeError: not NIfTI, cut off, its checksum is wrong, or some voxels are NaN or infinite.
    """
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as stream:  # to the end, where the checksum stands
                while stream.read(_CHUNK):
                    pass
        image = nibabel.load(path)
        voxels = np.asanyarray(image.dataobj)  # type: ignore[attr-defined]  # nibabel's base class lacks it
    except (ImageFileError, OSError, EOFError, zlib.error, ValueError) as error:
        raise UnreadableVolumeError(path.name, f"is damaged, cut off or not NIfTI: {error}") from error
    if np.issubdtype(voxels.dtype, np.floating) and (bad := int(np.count_nonzero(~np.isfinite(voxels)))):
        raise UnreadableVolumeError(path.name, f"holds {bad} voxels that are NaN or infinite")


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
