"""NIfTI files as training needs them: whole, finite, one channel of a 4D file, labels as whole numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from bt_node.convert.itk import array_to_itk, itk_to_volume, resample
from bt_node.convert.nifti import read_nifti, require_whole
from bt_node.domain.errors import Reject, UnreadableVolumeError
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
    for path in dict.fromkeys(case.images[role] for role in roles if role in case.channels):
        _require_whole(case.name, path)  # read_nifti looks after the others
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


def _require_whole(name: str, path: Path) -> None:
    try:
        require_whole(path)
    except UnreadableVolumeError as error:
        raise CaseError(f"{name}: {error}") from error


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
