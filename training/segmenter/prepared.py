"""Cases made ready for the network by the node's own code, and cached as .npy beside the run.

The cache holds float16 z-scores and uint8 labels, cropped to the brain, on the 1 mm grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bt_node.convert.nifti import read_nifti
from bt_node.convert.prepare import prepare_preprocessed
from bt_node.domain.errors import Reject
from bt_node.domain.geometry import ImageArray, LabelArray
from bt_node.domain.study import Role
from bt_node.domain.tumour import LABEL_OF, Region
from training.segmenter.cases import Case, CaseError

# BraTS until 2020 writes enhancing tumour as 4, from 2021 on as 3; both become the node's 3.
_FILE_LABELS = {0: 0, 1: LABEL_OF[Region.NCR], 2: LABEL_OF[Region.ED], 3: LABEL_OF[Region.ET], 4: LABEL_OF[Region.ET]}


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """One case in memory (or memory-mapped).

    Attributes:
        name: the case.
        inputs: float16 z-scores (sequence, Z, Y, X), 0 outside the brain, 1 mm, LPS.
        labels: uint8 (Z, Y, X), 0 background, 1 NCR, 2 ED, 3 ET.
    """

    name: str
    inputs: npt.NDArray[np.float16]
    labels: LabelArray


def nested_regions(labels: LabelArray) -> npt.NDArray[np.float32]:
    """Exclusive labels (Z, Y, X) as nested regions WT, TC, ET: float32 0 or 1, (3, Z, Y, X)."""
    enhancing = labels == LABEL_OF[Region.ET]
    core = enhancing | (labels == LABEL_OF[Region.NCR])
    return np.stack([labels > 0, core, enhancing]).astype(np.float32)


def prepare_case(case: Case, roles: Sequence[Role]) -> PreparedCase:
    """Read, check, normalise and crop one case.

    Raises:
        CaseError: a file cannot be read, grids differ, or a label is unknown.
    """
    try:
        study = prepare_preprocessed({role: read_nifti(case.images[role]) for role in roles})
        raw = read_nifti(case.labels)
    except (ValueError, Reject) as error:
        raise CaseError(f"{case.name}: {error}") from error
    if not raw.grid.is_close(study.grid):
        raise CaseError(f"{case.name}: labels do not lie on the images' 1 mm grid with axes along LPS")
    box = _bounding_box(study.brain.array)
    inputs = np.stack([study.inputs[role].array[box] for role in roles]).astype(np.float16)
    return PreparedCase(case.name, inputs, _labels(case.name, raw.array)[box])


def cached_cases(cases: Iterable[Case], roles: Sequence[Role], cache: Path) -> tuple[PreparedCase, ...]:
    """Prepare cases, or memory-map them from `cache` where an earlier run left them."""
    cache.mkdir(parents=True, exist_ok=True)
    return tuple(_cached(case, roles, cache) for case in cases)


def _cached(case: Case, roles: Sequence[Role], cache: Path) -> PreparedCase:
    stem = f"{case.name}.{'-'.join(roles)}"
    inputs, labels = cache / f"{stem}.inputs.npy", cache / f"{stem}.labels.npy"
    if not (inputs.exists() and labels.exists()):
        fresh = prepare_case(case, roles)
        _save(inputs, fresh.inputs)
        _save(labels, fresh.labels)
    return PreparedCase(case.name, np.load(inputs, mmap_mode="r"), np.load(labels, mmap_mode="r"))


def _save(path: Path, array: npt.NDArray[np.generic]) -> None:
    part = path.with_name(f"{path.name}.part.npy")
    np.save(part, array, allow_pickle=False)
    part.replace(path)


def _labels(name: str, raw: ImageArray) -> LabelArray:
    table = np.full(256, 255, dtype=np.uint8)
    for value, label in _FILE_LABELS.items():
        table[value] = label
    if raw.min() < 0 or raw.max() > 255 or (raw != np.rint(raw)).any():
        raise CaseError(f"{name}: labels are not whole numbers from 0 to 4")
    labels: LabelArray = table[raw.astype(np.uint8)]
    if (labels == 255).any():
        raise CaseError(f"{name}: labels {sorted(set(np.unique(raw).astype(int)) - set(_FILE_LABELS))} are unknown")
    return labels


def _bounding_box(mask: npt.NDArray[np.bool_]) -> tuple[slice, ...]:
    filled = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return tuple(slice(int(axis[0]), int(axis[-1]) + 1) for axis in filled)
