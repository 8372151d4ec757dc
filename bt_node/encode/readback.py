"""Read written objects back by another way than they were written, and compare them with what was meant.

Bits are unpacked here from the bytes of the file, frames are placed by the positions that the object itself states,
and content items are walked one by one: no code of highdicom takes part. What differs raises ReadBackError, and
nothing leaves the node.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from bt_node.domain.errors import ReadBackError
from bt_node.domain.geometry import BoolArray, Grid
from bt_node.domain.result import EncodedObject
from bt_node.encode import codes
from bt_node.encode.quantity import Quantity
from bt_node.encode.report import MeasuredGroup, Report, segments_of
from bt_node.encode.request import EncodeRequest
from bt_node.encode.source import FrameReference, SourceImages

_PLACE_TOLERANCE_VOXEL = 0.02
_PLACE_TOLERANCE_MM = 0.01
_VALUE_TOLERANCE = 1e-6


# ---------------------------------------------------------------- segmentations


def check_segmentation(encoded: EncodedObject, request: EncodeRequest, source: SourceImages) -> None:
    """Decode a SEG and compare every voxel of every segment, in patient coordinates, with the labels.

    Raises:
        ReadBackError: a voxel, a place, a reference or a segment's meaning differs.
    """
    kind = encoded.kind.value
    dataset = pydicom.dcmread(BytesIO(encoded.content))
    regions = segments_of(encoded.kind, request.outlined)
    meant_types = [codes.REGIONS[region].finding.value for region in regions]
    types = [str(item.SegmentedPropertyTypeCodeSequence[0].CodeValue) for item in dataset.SegmentSequence]
    if types != meant_types:
        raise ReadBackError(kind, f"segments are {types}, not {meant_types}")
    grid = request.reference.grid
    found = _decode(dataset, grid, kind)
    for number, region in enumerate(regions, start=1):
        wrong = int((found[number - 1] ^ request.labels.mask(region)).sum())
        if wrong:
            raise ReadBackError(kind, f"{wrong} voxels of {region.value} differ")
    for group in dataset.PerFrameFunctionalGroupsSequence:
        _check_reference(group, source.frames[_plane_index(_frame_grid(dataset, group), grid, kind)], kind)


def decode_segmentation(file: Path | BinaryIO, grid: Grid) -> BoolArray:
    """Segments of a BINARY SEG, placed on `grid` by the geometry that the object itself states.

    Returns:
        bool (segment, Z, Y, X), in the order of segment numbers.

    Raises:
        ReadBackError: the object does not lie on `grid`, or holds too few bits.
    """
    return _decode(pydicom.dcmread(file), grid, "SEG")


def _decode(dataset: Dataset, grid: Grid, kind: str) -> BoolArray:
    segments = np.zeros((len(dataset.SegmentSequence), *grid.shape), dtype=np.bool_)
    for bitmap, group in zip(unpack_frames(dataset), dataset.PerFrameFunctionalGroupsSequence, strict=True):
        plane = _plane_index(_frame_grid(dataset, group), grid, kind)
        segments[_segment_number(dataset, group) - 1, plane] |= bitmap
    return segments


def unpack_frames(dataset: Dataset) -> BoolArray:
    """Frames of a BINARY SEG, bool (frame, Y, X).

    Bits follow one another from the lowest bit of each byte, without a gap between frames even where rows × columns
    is no multiple of 8 (PS3.5 8.1.1 and Annex D).
    """
    shape = (int(dataset.NumberOfFrames), int(dataset.Rows), int(dataset.Columns))
    packed = np.frombuffer(dataset.PixelData, dtype=np.uint8)
    count = int(np.prod(shape))
    if packed.size * 8 < count:
        raise ReadBackError(str(dataset.Modality), f"{packed.size} bytes cannot hold {count} bits")
    return np.unpackbits(packed, count=count, bitorder="little").reshape(shape).astype(np.bool_)


def _functional_group(dataset: Dataset, group: Dataset, keyword: str) -> Dataset:
    """First item of a functional group, of the frame's own or of the shared ones (PS3.3 C.7.6.16)."""
    holder = group if keyword in group else dataset.SharedFunctionalGroupsSequence[0]
    item: Dataset = holder[keyword].value[0]
    return item


def _segment_number(dataset: Dataset, group: Dataset) -> int:
    return int(_functional_group(dataset, group, "SegmentIdentificationSequence").ReferencedSegmentNumber)


def _frame_grid(dataset: Dataset, group: Dataset) -> Grid:
    """Where the object says that one frame lies: a grid of one plane."""
    position = _functional_group(dataset, group, "PlanePositionSequence").ImagePositionPatient
    cosines = np.asarray(
        _functional_group(dataset, group, "PlaneOrientationSequence").ImageOrientationPatient, dtype=np.float64
    )
    measures = _functional_group(dataset, group, "PixelMeasuresSequence")
    between_rows, between_columns = (float(value) for value in measures.PixelSpacing)
    along_row, along_column = cosines[:3], cosines[3:]
    direction = np.stack([along_row, along_column, np.cross(along_row, along_column)], axis=1)
    x, y, z = (float(value) for value in position)
    return Grid(
        shape=(1, int(dataset.Rows), int(dataset.Columns)),
        spacing=(between_columns, between_rows, float(measures.SpacingBetweenSlices)),
        origin=(x, y, z),
        direction=tuple(float(value) for value in direction.ravel()),
    )


def _plane_index(frame: Grid, grid: Grid, kind: str) -> int:
    """Plane of `grid` that a frame covers; all four corners must land on that plane's corners."""
    _, rows, columns = frame.shape
    if (rows, columns) != grid.shape[1:]:
        raise ReadBackError(kind, f"frames are {rows}x{columns}, not {grid.shape[1]}x{grid.shape[2]}")
    corners = np.array([(0, y, x) for y in (0, rows - 1) for x in (0, columns - 1)])
    landed = grid.world_to_index(frame.index_to_world(corners))
    plane = round(float(landed[0, 0]))
    meant = corners + np.array([plane, 0, 0])
    off = float(np.abs(landed - meant).max())
    if off > _PLACE_TOLERANCE_VOXEL or not 0 <= plane < grid.shape[0]:
        raise ReadBackError(kind, f"a frame lies {off:.3f} voxels off plane {plane} of the source grid")
    if abs(frame.spacing[2] - grid.spacing[2]) > _PLACE_TOLERANCE_MM:
        raise ReadBackError(kind, f"slices are {frame.spacing[2]:.4f} mm apart, not {grid.spacing[2]:.4f} mm")
    return plane


def _check_reference(group: Dataset, frame: FrameReference, kind: str) -> None:
    """A frame must name the image that it lies on, and that file must state the same position."""
    item = group.DerivationImageSequence[0].SourceImageSequence[0]
    number = int(item.ReferencedFrameNumber) if "ReferencedFrameNumber" in item else None
    named = (str(item.ReferencedSOPInstanceUID), number)
    if named != (frame.sop_instance_uid, frame.frame_number):
        raise ReadBackError(kind, f"a frame names image {named[0]} where {frame.sop_instance_uid} lies")
    position = np.asarray(group.PlanePositionSequence[0].ImagePositionPatient, dtype=np.float64)
    off = float(np.abs(position - np.asarray(frame.position_in_file)).max())
    if off > _PLACE_TOLERANCE_MM:
        raise ReadBackError(kind, f"a frame lies {off:.3f} mm from its source image {frame.sop_instance_uid}")


# ---------------------------------------------------------------- report


def check_report(
    encoded: EncodedObject, report: Report, request: EncodeRequest, outlines: Sequence[EncodedObject]
) -> None:
    """Walk the SR's content and compare groups, numbers, statements, comments and evidence with `report`.

    Raises:
        ReadBackError: anything is missing, added or different.
    """
    check_document(encoded, report, set(request.paths) | {each.sop_instance_uid for each in outlines})


def check_document(encoded: EncodedObject, report: Report, expected: AbstractSet[str]) -> None:
    """The same for any report that rests on the instances `expected`.

    Raises:
        ReadBackError: anything is missing, added or different.
    """
    dataset = pydicom.dcmread(BytesIO(encoded.content))
    groups = [item for item in _items(dataset) if _name(item) == "125007"]  # Measurement Group
    if len(groups) != len(report.groups):
        raise ReadBackError("SR", f"{len(groups)} measurement groups, not {len(report.groups)}")
    for item, meant in zip(groups, report.groups, strict=True):
        _check_group(item, meant)
    _check_evaluations(dataset, report)
    named = _evidence(dataset, "CurrentRequestedProcedureEvidenceSequence")
    if named != expected:
        raise ReadBackError("SR", f"evidence names {len(named)} instances, not the {len(expected)} used")
    if _evidence(dataset, "PertinentOtherEvidenceSequence") != set(report.former):
        raise ReadBackError("SR", "the objects of the former study are not named")
    predecessors = [
        str(reference.ReferencedSOPInstanceUID)
        for study in dataset.get("PredecessorDocumentsSequence", [])
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    ]
    if predecessors != ([report.predecessor.sop_instance_uid] if report.predecessor else []):
        raise ReadBackError("SR", "the report that it replaces is not named")


def _items(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", []):
        yield child
        yield from _items(child)


def _name(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence", [])
    return str(names[0].CodeValue) if names else ""


def _check_group(item: Dataset, meant: MeasuredGroup) -> None:
    children = list(item.ContentSequence)
    uids = [str(child.UID) for child in children if child.ValueType == "UIDREF" and _name(child) == "112040"]
    findings = [_value(child) for child in children if _name(child) == "121071"]
    segments = [
        (str(reference.ReferencedSOPInstanceUID), int(reference.ReferencedSegmentNumber))
        for child in children
        if _name(child) == "121191"
        for reference in child.ReferencedSOPSequence
    ]
    expected = [(meant.segment.sop_instance_uid, meant.segment.number)] if meant.segment else []
    if (uids, findings, segments) != ([meant.tracking_uid], [_key(meant.finding)], expected):
        raise ReadBackError("SR", f"the group {meant.label} does not name its finding, tracking UID or segment")
    numbers = [_number(child) for child in _items(item) if child.ValueType == "NUM"]
    wanted = [(one.name.value, one.unit.value, one.value) for each in meant.quantities for one in _with_sources(each)]
    if not _same_numbers(numbers, wanted):
        raise ReadBackError("SR", f"the group {meant.label} holds {numbers}, not {wanted}")


def _with_sources(quantity: Quantity) -> tuple[Quantity, ...]:
    return (quantity, *quantity.inferred_from)


def _number(item: Dataset) -> tuple[str, str, float]:
    measured = item.MeasuredValueSequence[0]
    unit = str(measured.MeasurementUnitsCodeSequence[0].CodeValue)
    return _name(item), unit, float(measured.NumericValue)


def _same_numbers(found: list[tuple[str, str, float]], meant: list[tuple[str, str, float]]) -> bool:
    if [each[:2] for each in found] != [each[:2] for each in meant]:
        return False
    return all(abs(a[2] - b[2]) <= _VALUE_TOLERANCE * max(1.0, abs(b[2])) for a, b in zip(found, meant, strict=True))


def _value(item: Dataset) -> tuple[str, str]:
    code: Any = item.ConceptCodeSequence[0]
    return str(code.CodingSchemeDesignator), str(code.CodeValue)


def _key(code: Code) -> tuple[str, str]:
    return code.scheme_designator, code.value


def _check_evaluations(dataset: Dataset, report: Report) -> None:
    """Answers and comments under the root's Qualitative Evaluations."""
    containers = [item for item in dataset.ContentSequence if _name(item) == codes.QUALITATIVE_EVALUATIONS.value]
    children = [child for item in containers for child in item.ContentSequence]
    said = [child for child in children if _name(child) != codes.COMMENT.value]
    answers = [(_name(child), _value(child) if child.ValueType == "CODE" else str(child.TextValue)) for child in said]
    meant = [
        (each.concept.value, each.value if isinstance(each.value, str) else _key(each.value))
        for each in report.statements
    ]
    texts = [str(child.TextValue) for child in children if _name(child) == codes.COMMENT.value]
    if answers != meant:
        raise ReadBackError("SR", f"answers are {answers}, not {meant}")
    if texts != list(report.comments):
        raise ReadBackError("SR", f"{len(texts)} comments do not read as the {len(report.comments)} written")


def _evidence(dataset: Dataset, sequence: str) -> set[str]:
    return {
        str(instance.ReferencedSOPInstanceUID)
        for study in dataset.get(sequence, [])
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
