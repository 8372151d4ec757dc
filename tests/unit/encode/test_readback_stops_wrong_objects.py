"""Reading back must stop what differs from what was meant, down to one voxel or one digit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import encode_cases
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from bt_node.domain.errors import ReadBackError
from bt_node.domain.result import EncodedObject
from bt_node.domain.tumour import Region
from bt_node.encode.readback import check_report, check_segmentation, decode_segmentation
from bt_node.encode.report import Outlines, write_report
from bt_node.encode.request import EncodeRequest
from bt_node.encode.results import encode_results
from bt_node.encode.source import read_source


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> EncodeRequest:
    return encode_cases.make_request(tmp_path_factory.mktemp("study"), kind=encode_cases.tumour_type())


@pytest.fixture(scope="module")
def objects(request_: EncodeRequest) -> tuple[EncodedObject, ...]:
    return encode_results(request_)


def _changed(encoded: EncodedObject, change: Callable[[Dataset], None]) -> EncodedObject:
    dataset = pydicom.dcmread(BytesIO(encoded.content))
    change(dataset)
    buffer = BytesIO()
    dataset.save_as(buffer)
    return replace(encoded, content=buffer.getvalue())


def _check_seg(encoded: EncodedObject, request: EncodeRequest) -> None:
    check_segmentation(encoded, request, read_source(request.reference, request.paths))


def _bits(dataset: Dataset, change: Callable[[np.ndarray], np.ndarray]) -> None:
    shape = (dataset.NumberOfFrames, dataset.Rows, dataset.Columns)
    bits = np.unpackbits(np.frombuffer(dataset.PixelData, np.uint8), bitorder="little")[: np.prod(shape)]
    dataset.PixelData = np.packbits(change(bits.reshape(shape).copy()).ravel(), bitorder="little").tobytes()


def _one_voxel(frames: np.ndarray) -> np.ndarray:
    frames[0, 0, 0] ^= 1
    return frames


def _shift_plane(dataset: Dataset) -> None:
    position = dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    normal = np.cross(encode_cases.GRID.direction_matrix[:, 0], encode_cases.GRID.direction_matrix[:, 1])
    position.ImagePositionPatient = [
        f"{float(value):.9f}" for value in np.asarray(position.ImagePositionPatient, dtype=float) + 2.5 * normal
    ]


def _nudge_plane(dataset: Dataset) -> None:
    position = dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    position.ImagePositionPatient[0] = f"{float(position.ImagePositionPatient[0]) + 0.4:.9f}"


def _turn_orientation(dataset: Dataset) -> None:
    plane = dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    values = list(plane.ImageOrientationPatient)
    plane.ImageOrientationPatient = values[3:] + values[:3]


def _swap_spacing(dataset: Dataset) -> None:
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.PixelSpacing = list(reversed(measures.PixelSpacing))


def _other_distance(dataset: Dataset) -> None:
    dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices = "2.6"


def _swap_segments(dataset: Dataset) -> None:
    for group in dataset.PerFrameFunctionalGroupsSequence:
        item = group.SegmentIdentificationSequence[0]
        item.ReferencedSegmentNumber = {1: 2, 2: 1}.get(item.ReferencedSegmentNumber, item.ReferencedSegmentNumber)


def _swap_meaning(dataset: Dataset) -> None:
    first, second, *_ = dataset.SegmentSequence
    first.SegmentedPropertyTypeCodeSequence, second.SegmentedPropertyTypeCodeSequence = (
        second.SegmentedPropertyTypeCodeSequence,
        first.SegmentedPropertyTypeCodeSequence,
    )


def _name_another_image(dataset: Dataset) -> None:
    group = dataset.PerFrameFunctionalGroupsSequence[0]
    group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds: _bits(ds, _one_voxel), "1 voxels of"),
        (lambda ds: _bits(ds, lambda frames: frames[:, ::-1]), "voxels of"),
        (lambda ds: _bits(ds, lambda frames: frames[:, :, ::-1]), "voxels of"),
        (lambda ds: _bits(ds, lambda frames: np.roll(frames, 1, axis=2)), "voxels of"),
        (_shift_plane, "voxels of"),
        (_nudge_plane, "voxels off"),
        (_turn_orientation, "voxels off"),
        (_swap_spacing, "voxels off"),
        (_other_distance, "mm apart"),
        (_swap_segments, "voxels of"),
        (_swap_meaning, "segments are"),
        (_name_another_image, "names image 1.2.3"),
        (lambda ds: setattr(ds, "PixelData", ds.PixelData[:64]), "cannot hold"),
    ],
    ids=lambda value: getattr(value, "__name__", "") if callable(value) else "",
)
def test_a_segmentation_that_differs_is_stopped(
    request_: EncodeRequest, objects: tuple[EncodedObject, ...], change: Callable[[Dataset], None], message: str
) -> None:
    with pytest.raises(ReadBackError, match=message):
        _check_seg(_changed(objects[0], change), request_)


def test_a_segmentation_decodes_from_its_file_alone(
    request_: EncodeRequest, objects: tuple[EncodedObject, ...], tmp_path: Path
) -> None:
    (tmp_path / "derived.dcm").write_bytes(objects[1].content)
    core, whole = decode_segmentation(tmp_path / "derived.dcm", request_.reference.grid)
    assert np.array_equal(core, request_.labels.mask(Region.TC))
    assert np.array_equal(whole, request_.labels.mask(Region.WT))


def test_a_source_file_that_lies_elsewhere_is_noticed(
    request_: EncodeRequest, objects: tuple[EncodedObject, ...]
) -> None:
    source = read_source(request_.reference, request_.paths)
    x, y, z = source.frames[4].position_in_file
    moved = [*source.frames]
    moved[4] = replace(moved[4], position_in_file=(x + 1, y, z))
    with pytest.raises(ReadBackError, match=r"1\.000 mm from its source image"):
        check_segmentation(objects[0], request_, replace(source, frames=tuple(moved)))


def _groups(dataset: Dataset) -> list[Dataset]:
    return next(item for item in dataset.ContentSequence if _name(item) == "126010").ContentSequence


def _name(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)


def _child(item: Dataset, name: str) -> Dataset:
    return next(child for child in item.ContentSequence if _name(child) == name)


def _another_volume(dataset: Dataset) -> None:
    _child(_groups(dataset)[0], "118565006").MeasuredValueSequence[0].NumericValue = "12.345"


def _another_unit(dataset: Dataset) -> None:
    measured = _child(_groups(dataset)[0], "118565006").MeasuredValueSequence[0]
    measured.MeasurementUnitsCodeSequence[0].CodeValue = "mm3"


def _another_segment(dataset: Dataset) -> None:
    _child(_groups(dataset)[0], "121191").ReferencedSOPSequence[0].ReferencedSegmentNumber = 3


def _another_finding(dataset: Dataset) -> None:
    _child(_groups(dataset)[0], "121071").ConceptCodeSequence[0].CodeValue = "0"


def _another_diagnosis(dataset: Dataset) -> None:
    container = _child(dataset, "C0034375")
    _child(container, "111023").ConceptCodeSequence[0].CodeValue = "302820008"


def _another_comment(dataset: Dataset) -> None:
    _child(_child(dataset, "C0034375"), "121106").TextValue = "For clinical use."


def _one_group_less(dataset: Dataset) -> None:
    del _groups(dataset)[-1]


def _one_evidence_less(dataset: Dataset) -> None:
    series = dataset.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    del series.ReferencedSOPSequence[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_another_volume, "NCR holds"),
        (_another_unit, "NCR holds"),
        (_another_segment, "NCR does not name"),
        (_another_finding, "NCR does not name"),
        (_another_diagnosis, "answers are"),
        (_another_comment, "comments"),
        (_one_group_less, "4 measurement groups, not 5"),
        (_one_evidence_less, "evidence names"),
    ],
    ids=lambda value: getattr(value, "__name__", "") if callable(value) else "",
)
def test_a_report_that_differs_is_stopped(
    request_: EncodeRequest, objects: tuple[EncodedObject, ...], change: Callable[[Dataset], None], message: str
) -> None:
    header = pydicom.dcmread(next(iter(request_.paths.values())), stop_before_pixels=True)
    named = Outlines(str(header.StudyInstanceUID), {each.kind: each.sop_instance_uid for each in objects[:2]})
    report = write_report(request_, named)
    check_report(objects[2], report, request_, objects[:2])
    with pytest.raises(ReadBackError, match=message):
        check_report(_changed(objects[2], change), report, request_, objects[:2])


def test_nothing_leaves_when_a_check_fails(request_: EncodeRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    flipped = lambda labels, regions: np.stack(  # noqa: E731 - a fault put in on purpose
        [labels.mask(region)[:, ::-1] for region in regions], axis=-1
    ).astype(np.uint8)
    monkeypatch.setattr("bt_node.encode.segmentation.segment_planes", flipped)
    with pytest.raises(ReadBackError, match="SEG was written and read back"):
        encode_results(request_)


def test_the_checked_folder_is_left_alone(request_: EncodeRequest) -> None:
    folder = next(iter(request_.paths.values())).parent
    before = sorted(path.name for path in folder.iterdir())
    encode_results(request_)
    assert before == sorted(path.name for path in Path(folder).iterdir())
