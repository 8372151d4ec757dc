"""NIfTI files as training needs them: whole, finite, one channel of a 4D file, labels as whole numbers."""

from __future__ import annotations

import gzip
import itertools
import math
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813 - the field writes it so

from bt_node.convert.itk import array_to_itk, itk_to_volume, resample
from bt_node.convert.nifti import read_nifti
from bt_node.domain.errors import Reject
from bt_node.domain.geometry import Grid, LabelArray, Volume
from bt_node.domain.study import Role
from bt_node.domain.tumour import LABEL_OF, Region
from training.segmenter.case import Case, CaseError, LabelScheme

_NCR, _ED, _ET = (LABEL_OF[region] for region in (Region.NCR, Region.ED, Region.ET))
_MEANING: Mapping[LabelScheme, Mapping[int, int]] = {
    LabelScheme.BRATS: {0: 0, 1: _NCR, 2: _ED, 3: _ET, 4: _ET},
    LabelScheme.BRATS_4: {0: 0, 1: _NCR, 2: _ED, 4: _ET},
    LabelScheme.BRATS_3: {0: 0, 1: _NCR, 2: _ED, 3: _ET},
    LabelScheme.DECATHLON: {0: 0, 1: _ED, 2: _NCR, 3: _ET},
}
_NIFTI_1, _NIFTI_2 = 348, 540  # sizeof_hdr
_HEADERS = (  # sizeof_hdr, type of dim, and where dim, datatype and vox_offset stand
    (_NIFTI_1, "h", 40, 70, 108),
    (_NIFTI_2, "q", 16, 12, 168),
)
_FLOATS = {16: "f4", 64: "f8"}  # NIFTI_TYPE_FLOAT32 and FLOAT64
_GRID_TOLERANCE_MM = 0.01
_CAVITY = (
    "In BraTS 2024 (after treatment) 4 is the resection cavity and 3 the enhancing tumour, in BraTS until 2021 4 is "
    "the enhancing tumour; a network trained on both would learn cavities as tumour. Relabel the cavity (0 or 1, as "
    "your question asks) or leave such cases out."
)


def read_images(case: Case, roles: tuple[Role, ...]) -> dict[Role, Volume]:
    """The sequences of a case, each checked.

    Raises:
        CaseError: a file is damaged, is not NIfTI, holds NaN or infinite values, or nothing but one value.
    """
    for path in dict.fromkeys(case.images[role] for role in roles):
        check_file(case.name, path)
    volumes = {role: _image(case, role) for role in roles}
    for role, volume in volumes.items():
        if float(volume.array.min()) == float(volume.array.max()):
            raise CaseError(f"{case.name}: {role.value} ({case.images[role].name}) is empty: one value everywhere")
    return volumes


def read_labels(case: Case) -> tuple[LabelArray, Grid, tuple[int, ...]]:
    """Labels as the node counts them (0, 1 NCR, 2 ED, 3 ET), (Z, Y, X), their grid, and the numbers in the file.

    Raises:
        CaseError: the file is damaged, or a number has no meaning in the case's scheme.
    """
    check_file(case.name, case.labels)
    volume = _volume(case.name, case.labels)
    raw, meaning = volume.array, _MEANING[case.scheme]
    if raw.min() < 0 or raw.max() > 255 or (raw != np.rint(raw)).any():
        raise CaseError(f"{case.name}: labels ({case.labels.name}) are not whole numbers from 0 to 4")
    values = tuple(int(value) for value in np.unique(raw))
    check_values(case.name, values, case.scheme)
    table = np.zeros(256, dtype=np.uint8)
    for value, label in meaning.items():
        table[value] = label
    return table[raw.astype(np.uint8)], volume.grid, values


def check_values(name: str, values: tuple[int, ...], scheme: LabelScheme) -> None:
    """Refuse label numbers that the scheme does not have, or that two schemes would explain in two ways.

    Raises:
        CaseError: with the reason.
    """
    unknown = sorted(set(values) - set(_MEANING[scheme]))
    if unknown:
        cavity = f" {_CAVITY}" if unknown == [4] else ""
        known = ", ".join(map(str, _MEANING[scheme]))
        raise CaseError(f"{name}: labels {unknown} are unknown; the scheme {scheme.value!r} has {known}.{cavity}")
    if {3, 4} <= set(values):
        raise CaseError(f"{name}: labels 3 and 4 lie side by side. {_CAVITY}")


def onto_grid(name: str, labels: LabelArray, source: Grid, images: Grid, target: Grid) -> LabelArray:
    """Labels brought from the images' grid to the models' (1 mm along LPS) by nearest neighbour.

    Args:
        name: of the case.
        labels: (Z, Y, X) on `source`.
        source: the labels' grid.
        images: the images' grid, which must be the same.
        target: where the prepared images lie.

    Raises:
        CaseError: labels and images lie on different grids.
    """
    if not source.is_close(images, _GRID_TOLERANCE_MM):
        raise CaseError(
            f"{name}: labels do not lie on the images' grid: {source.shape} voxels from {source.origin} mm, "
            f"the images have {images.shape} from {images.origin} mm"
        )
    turned = sitk.DICOMOrient(array_to_itk(labels, source), "LPS")
    return resample(turned, target, interpolator=sitk.sitkNearestNeighbor).astype(np.uint8, copy=False)


def check_file(name: str, path: Path) -> None:
    """Refuse what ITK reads as zeros without a word: files that are cut off or damaged, voxels that are no numbers.

    Raises:
        CaseError: the compressed stream or its checksum is wrong, voxels are missing, or some are NaN or infinite.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise CaseError(f"{name}: {path.name} is damaged or cut off ({error}); fetch it again") from error
    voxels = _voxels(content)
    if voxels is None:
        raise CaseError(f"{name}: {path.name} is not NIfTI, or its voxels are cut off; fetch it again")
    bad = int(voxels.size - np.isfinite(voxels).sum())
    if bad:
        raise CaseError(f"{name}: {bad} voxels of {path.name} are NaN or infinite")


def _voxels(content: bytes) -> npt.NDArray[Any] | None:
    """The voxels of an uncompressed NIfTI file as they are stored, in one row; None where they are not all there.

    Offsets are those of nifti1.h and nifti2.h. Whole numbers are finite as they are: for them one is answered.
    """
    for order, (size, numbers, axes, kind, start) in itertools.product("<>", _HEADERS):
        if len(content) >= size and struct.unpack_from(f"{order}i", content)[0] == size:
            sizes = struct.unpack_from(f"{order}8{numbers}", content, axes)
            datatype, bits = struct.unpack_from(f"{order}2h", content, kind)
            first = int(struct.unpack_from(f"{order}{'f' if size == _NIFTI_1 else 'q'}", content, start)[0])
            count = math.prod(sizes[1 : sizes[0] + 1])
            if len(content) < first + count * bits // 8:
                return None
            stored = np.dtype(_FLOATS.get(datatype, "u1")).newbyteorder(order)
            return np.frombuffer(content, stored, count if datatype in _FLOATS else 1, first)
    return None


def _image(case: Case, role: Role) -> Volume:
    path = case.images[role]
    if role not in case.channels:
        return _volume(case.name, path)
    try:
        image = sitk.ReadImage(str(path), sitk.sitkFloat32)
        return itk_to_volume(image[..., case.channels[role]])
    except (RuntimeError, IndexError, ValueError) as error:
        raise CaseError(f"{case.name}: {path.name} has no channel {case.channels[role]} for {role.value}") from error


def _volume(name: str, path: Path) -> Volume:
    try:
        return read_nifti(path)
    except (ValueError, Reject) as error:
        raise CaseError(f"{name}: {error}") from error
