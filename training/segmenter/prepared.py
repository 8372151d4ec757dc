"""Cases made ready for the network by the node's own code, and cached as .npy beside the run.

The cache holds float16 z-scores and uint8 labels, cropped to the brain, on the 1 mm grid, and a file of facts with
their checksums: a cache file that is damaged, or whose source has changed, is made again.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bt_node.convert.prepare import prepare_preprocessed, reference_role
from bt_node.domain.errors import Reject
from bt_node.domain.geometry import BoolArray, LabelArray
from bt_node.domain.study import Role
from bt_node.domain.tumour import LABEL_OF, Region
from training.runs import read_json, write_atomically, write_json
from training.segmenter.case import Case, CaseError
from training.segmenter.reading import onto_grid, read_images, read_labels

_MOSTLY = 0.5


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """One case in memory (or memory-mapped).

    Attributes:
        name: the case.
        inputs: float16 z-scores (sequence, Z, Y, X), 0 outside the brain, 1 mm, LPS.
        labels: uint8 (Z, Y, X), 0 background, 1 NCR, 2 ED, 3 ET.
        file_values: the numbers that the label file had before they became the node's.
    """

    name: str
    inputs: npt.NDArray[np.float16]
    labels: LabelArray
    file_values: tuple[int, ...] = ()


def nested_regions(labels: LabelArray) -> npt.NDArray[np.float32]:
    """Exclusive labels (Z, Y, X) as nested regions WT, TC, ET: float32 0 or 1, (3, Z, Y, X)."""
    enhancing = labels == LABEL_OF[Region.ET]
    core = enhancing | (labels == LABEL_OF[Region.NCR])
    return np.stack([labels > 0, core, enhancing]).astype(np.float32)


def prepare_case(case: Case, roles: Sequence[Role]) -> PreparedCase:
    """Read, check, normalise and crop one case.

    Raises:
        CaseError: a file is damaged, holds NaN or an unknown label, grids differ, or there is no brain.
    """
    images = read_images(case, tuple(roles))
    raw, grid, values = read_labels(case)
    try:
        study = prepare_preprocessed(images)
    except (ValueError, Reject) as error:
        raise CaseError(f"{case.name}: {error}") from error
    labels = onto_grid(case.name, raw, grid, images[reference_role(images)].grid, study.grid)
    _check_place(case, labels, study.brain.array)
    box = _bounding_box(study.brain.array)
    inputs = np.stack([study.inputs[role].array[box] for role in roles]).astype(np.float16)
    return PreparedCase(case.name, inputs, labels[box], values)


def cached_cases(cases: Iterable[Case], roles: Sequence[Role], cache: Path) -> tuple[PreparedCase, ...]:
    """Prepare cases, or memory-map them from `cache` where an earlier run left them.

    Raises:
        CaseError: a case is unsound, or the cases' label numbers mean different things.
        DiskFullError: no space for the cache; what is there already serves the next try.
    """
    cache.mkdir(parents=True, exist_ok=True)
    prepared = tuple(_cached(case, roles, cache) for case in cases)
    check_one_scheme(prepared)
    return prepared


def check_one_scheme(cases: Iterable[PreparedCase]) -> None:
    """Refuse a collection where one file writes 3 and another 4: one of them is not enhancing tumour.

    Raises:
        CaseError: with an example of each.
    """
    first: dict[int, str] = {}
    for case in cases:
        for value in case.file_values:
            first.setdefault(value, case.name)
    if {3, 4} <= set(first):
        raise CaseError(
            f"label files disagree: {first[3]} has 3 and {first[4]} has 4. In BraTS until 2021 4 is the enhancing "
            "tumour, from 2023 on 3 is, and 4 is the resection cavity; train on one scheme, or relabel."
        )


def _cached(case: Case, roles: Sequence[Role], cache: Path) -> PreparedCase:
    stem = f"{case.name}.{'-'.join(roles)}"
    inputs, labels, facts = (cache / f"{stem}.{end}" for end in ("inputs.npy", "labels.npy", "facts.json"))
    sources = _sources(case, roles)
    known = _known(facts, {"inputs": inputs, "labels": labels}, sources)
    if known is None:
        print(f"preparing {case.name}", flush=True)
        fresh = prepare_case(case, roles)
        facts.unlink(missing_ok=True)
        sums = {"inputs": _save(inputs, fresh.inputs), "labels": _save(labels, fresh.labels)}
        known = {"sources": sources, "sha256": sums, "file_values": list(fresh.file_values)}
        write_json(facts, known)
    values = tuple(known["file_values"])
    return PreparedCase(case.name, np.load(inputs, mmap_mode="r"), np.load(labels, mmap_mode="r"), values)


def _known(facts: Path, arrays: Mapping[str, Path], sources: Mapping[str, Any]) -> dict[str, Any] | None:
    """The facts of a whole and current cache entry, or None where it must be made."""
    if not facts.exists():
        return None
    try:
        known = read_json(facts)
        sums = {name: _sha256(path) for name, path in arrays.items()}
        if known["sha256"] == sums and known["sources"] == json.loads(json.dumps(sources)):
            return known
        reason = "damaged" if known["sha256"] != sums else "older than its files"
    except (OSError, ValueError, KeyError, TypeError):
        reason = "damaged"
    print(f"{facts.name.removesuffix('.facts.json')}: the cache is {reason}", flush=True)
    return None


def _sources(case: Case, roles: Sequence[Role]) -> dict[str, Any]:
    """What tells a changed source from an unchanged one without reading it: size and time of change."""
    paths = [*(case.images[role] for role in roles), case.labels]
    return {"scheme": case.scheme.value, "files": [[p.stat().st_size, p.stat().st_mtime_ns] for p in paths]}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _save(path: Path, array: npt.NDArray[np.generic]) -> str:
    """Write one array atomically; answers the file's SHA-256."""
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    write_atomically(path, content.getvalue())
    return hashlib.sha256(content.getbuffer()).hexdigest()


def _check_place(case: Case, labels: LabelArray, brain: BoolArray) -> None:
    """A mirrored or swapped label file passes every other check."""
    outside, total = int((labels[~brain] > 0).sum()), int((labels > 0).sum())
    if total and outside > _MOSTLY * total:
        raise CaseError(
            f"{case.name}: {100 * outside // total} % of the labelled voxels ({case.labels.name}) lie outside the "
            "brain; labels and images do not belong together, or one of them is turned"
        )


def _bounding_box(mask: BoolArray) -> tuple[slice, ...]:
    filled = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return tuple(slice(int(axis[0]), int(axis[-1]) + 1) for axis in filled)
