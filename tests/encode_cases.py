"""Requests to encode, made from phantoms: a nested tumour on an oblique, anisotropic grid, written as MR files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from dicom_builder import oblique_grid, ramp_volume, write_enhanced, write_series

from bt_node.domain.geometry import Grid
from bt_node.domain.study import SliceFacts, StackedSeries
from bt_node.domain.tumour import (
    TUMOURS,
    Findings,
    LabelMap,
    Region,
    RegionMeasurement,
    ReleaseIdentity,
    TumourType,
    TumourTypeFinding,
)
from bt_node.encode.results import EncodeRequest, NodeIdentity

SEGMENTER = ReleaseIdentity("glioma-unet", "1.2.0", "5" * 64)
CLASSIFIER = ReleaseIdentity("tumour-type-effnet", "0.9.1", "c" * 64)
NODE = NodeIdentity("Example Organisation", "bt-node", "0.1.0", "node-0001")
ANALYSED_AT = datetime(2026, 3, 1, 11, 2, 3, tzinfo=UTC)
GRID = oblique_grid(shape=(9, 32, 40), spacing=(1.25, 1.5, 2.5))
# What a validator wants of a clean MR source, and the builder leaves out.
CLEAN = {"StudyDescription": "Brain", "InstitutionName": "Hospital", "StudyTime": "120000"}


def nested_labels(grid: Grid = GRID) -> LabelMap:
    """A lopsided nested tumour (ED around ET around NCR), without any symmetry that a flip could hide in."""
    z, y, x = np.indices(grid.shape)
    depth, height, width = grid.shape
    a, b, c = (z - 0.45 * depth) / depth, (y - 0.35 * height) / height, (x - 0.6 * width) / width
    radius = np.sqrt((2.2 * a) ** 2 + b**2 + (1.4 * c + 0.5 * b) ** 2)
    array = np.zeros(grid.shape, dtype=np.uint8)
    array[radius < 0.28] = 2
    array[radius < 0.18] = 3
    array[radius < 0.09] = 1
    return LabelMap(array, grid)


def without(labels: LabelMap, *regions: int) -> LabelMap:
    """The same labels with some of them turned into background."""
    return LabelMap(np.where(np.isin(labels.array, regions), 0, labels.array).astype(np.uint8), labels.grid)


def measurements(labels: LabelMap) -> dict[Region, RegionMeasurement]:
    """True volumes, and made-up axes for ET and TC where they exist."""
    found = {}
    for region in Region:
        axes = (31.25, 17.5) if region in (Region.ET, Region.TC) and labels.mask(region).any() else (None, None)
        found[region] = RegionMeasurement(region, labels.volume_ml(region), *axes)
    return found


def tumour_type(top: TumourType = TumourType.GLIOMA, certainty: float = 0.931) -> TumourTypeFinding:
    """A classifier's answer with a given best class; given a tumour, the best type is as sure."""
    rest = (1 - certainty) / 3
    best = TumourType.GLIOMA if top is TumourType.NONE else top
    return TumourTypeFinding(
        {kind: certainty if kind is top else rest for kind in TumourType},
        9,
        CLASSIFIER,
        given_tumour={kind: certainty if kind is best else (1 - certainty) / 2 for kind in TUMOURS},
    )


def stack(paths: Sequence[Path], grid: Grid) -> StackedSeries:
    """The written series as `convert` would hand it over; one path means one multi-frame file in plane order."""
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    frames = [(str(header.SOPInstanceUID), 0) for header in headers]
    if len(frames) == 1 and grid.shape[0] > 1:
        frames = [(frames[0][0], frame) for frame in range(grid.shape[0])]
    slices = tuple(_slice_facts(uid, frame, grid, z) for z, (uid, frame) in enumerate(frames))
    return StackedSeries(str(headers[0].SeriesInstanceUID), ramp_volume(grid), slices)


def _slice_facts(uid: str, frame: int, grid: Grid, z: int) -> SliceFacts:
    matrix = grid.direction_matrix
    x, y, height = (float(value) for value in grid.index_to_world((z, 0, 0)))
    return SliceFacts(
        sop_instance_uid=uid,
        frame=frame,
        position=(x, y, height),
        orientation=tuple(float(value) for value in (*matrix[:, 0], *matrix[:, 1])),
        pixel_spacing=(grid.spacing[1], grid.spacing[0]),
        rows=grid.shape[1],
        columns=grid.shape[2],
    )


def make_request(
    folder: Path,
    *,
    labels: LabelMap | None = None,
    kind: TumourTypeFinding | None = None,
    cautions: tuple[str, ...] = (),
    enhanced: bool = False,
    **attributes: Any,
) -> EncodeRequest:
    """Write a T1c and a FLAIR series below `folder` and ask for `labels` (the nested tumour by default)."""
    labels = labels or nested_labels()
    volume = ramp_volume(labels.grid)
    header = CLEAN | attributes
    if enhanced:
        files = [write_enhanced(folder / "t1c", volume, series_number=8, **header)]
    else:
        files = write_series(folder / "t1c", volume, series_number=8, **header)
    others = write_series(folder / "flair", volume, series_number=9, **header)
    paths = {str(pydicom.dcmread(p, stop_before_pixels=True).SOPInstanceUID): p for p in (*others, *files)}
    findings = Findings(measurements(labels), SEGMENTER, kind, cautions)
    return EncodeRequest(stack(files, labels.grid), paths, labels, findings, ANALYSED_AT, NODE)


def with_findings(request: EncodeRequest, **changes: Any) -> EncodeRequest:
    """The same request with other findings."""
    return replace(request, findings=replace(request.findings, **changes))


def save(objects: Sequence[Any], folder: Path) -> list[Path]:
    """Write encoded objects as files named by kind."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for each in objects:
        path = folder / f"{each.kind.value.lower()}.dcm"
        path.write_bytes(each.content)
        paths.append(path)
    return paths
