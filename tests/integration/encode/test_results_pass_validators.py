"""Result objects before the judges of other people: dicom3tools, pixelmed, DCMTK, dcmqi, SimpleITK."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import encode_cases
import follow_up_cases
import numpy as np
import pydicom
import pytest
import validators
from dicom_builder import oblique_grid
from pydicom.dataset import Dataset

from bt_node.domain.result import EarlierReport
from bt_node.domain.tumour import Region, TumourType
from bt_node.encode.request import EncodeRequest
from bt_node.encode.results import encode_results

pytestmark = pytest.mark.integration
Peer = Callable[[str], str]


@pytest.fixture(scope="module")
def tumour(tmp_path_factory: pytest.TempPathFactory) -> tuple[EncodeRequest, Path]:
    """A tumour without enhancing part, with a caution, in a UTF-8 study: request, and folder of in and out."""
    folder = tmp_path_factory.mktemp("tumour")
    labels = encode_cases.without(encode_cases.nested_labels(), 3)
    request = encode_cases.make_request(
        folder / "in",
        labels=labels,
        kind=encode_cases.tumour_type(),
        cautions=("The models disagree.",),
        PatientName="Müller^Jürg=山田^太郎",
    )
    encode_cases.save(encode_results(request), folder / "out")
    return request, folder


@pytest.fixture
def nested(tmp_path: Path) -> tuple[Path, Path]:
    """All five regions: folders of sources and results."""
    request = encode_cases.make_request(tmp_path / "in", kind=encode_cases.tumour_type())
    encode_cases.save(encode_results(request), tmp_path / "out")
    return tmp_path / "in", tmp_path / "out"


@pytest.fixture
def broken(nested: tuple[Path, Path]) -> Callable[[str, Callable[[Dataset], None]], Path]:
    """Damage one object of the nested set and give its path."""

    def damage(name: str, how: Callable[[Dataset], None]) -> Path:
        path = nested[1] / name
        dataset = pydicom.dcmread(path)
        how(dataset)
        dataset.save_as(path)
        return path

    return damage


def test_a_tumour_with_a_missing_part_and_a_caution_is_clean_for_every_validator(
    tumour: tuple[EncodeRequest, Path], peer: Peer
) -> None:
    assert validators.validate(tumour[1] / "out", [tumour[1] / "in"], peer) == ()


def test_an_indeterminate_type_is_clean_for_every_validator(tmp_path: Path, peer: Peer) -> None:
    kind = encode_cases.tumour_type(TumourType.MENINGIOMA, 0.53)
    request = encode_cases.make_request(tmp_path / "in", kind=kind)
    encode_cases.save(encode_results(request), tmp_path / "out")
    assert validators.validate(tmp_path / "out", [tmp_path / "in"], peer) == ()


def test_a_study_without_tumour_is_clean_for_every_validator(tmp_path: Path, peer: Peer) -> None:
    empty = encode_cases.without(encode_cases.nested_labels(), 1, 2, 3)
    request = encode_cases.make_request(tmp_path / "in", labels=empty, kind=encode_cases.tumour_type(TumourType.NONE))
    encode_cases.save(encode_results(request), tmp_path / "out")
    assert validators.validate(tmp_path / "out", [tmp_path / "in"], peer) == ()


def test_a_report_that_replaces_another_is_clean_and_points_at_it(tmp_path: Path, peer: Peer) -> None:
    request = encode_cases.make_request(tmp_path / "in", kind=encode_cases.tumour_type())
    older = replace(encode_cases.SEGMENTER, version="1.1.0")
    first = encode_results(encode_cases.with_findings(request, segmenter=older))
    encode_cases.save(first, tmp_path / "in" / "first")
    earlier = EarlierReport(first[-1].sop_class_uid, first[-1].sop_instance_uid, first[-1].series_instance_uid)
    paths = encode_cases.save(encode_results(replace(request, earlier_reports=(earlier,))), tmp_path / "out")
    assert validators.validate(tmp_path / "out", [tmp_path / "in"], peer) == ()
    (document,) = pydicom.dcmread(paths[-1]).PredecessorDocumentsSequence
    assert document.StudyInstanceUID == pydicom.dcmread(paths[-1]).StudyInstanceUID
    (series,) = document.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == earlier.series_instance_uid
    (reference,) = series.ReferencedSOPSequence
    assert reference.ReferencedSOPClassUID == earlier.sop_class_uid
    assert reference.ReferencedSOPInstanceUID == earlier.sop_instance_uid


def test_a_report_that_compares_with_a_former_study_is_clean(tmp_path: Path, peer: Peer) -> None:
    """The former study's objects are known to the validators, as they are to an archive."""
    kind = encode_cases.tumour_type()
    former = encode_cases.make_request(tmp_path / "former", kind=kind, study_uid=follow_up_cases.FORMER_STUDY)
    first = encode_results(former)
    encode_cases.save(first, tmp_path / "former" / "results")
    request = encode_cases.make_request(tmp_path / "in", kind=kind)
    compared = follow_up_cases.compared(request, follow_up_cases.objects_of(first))
    encode_cases.save(encode_results(compared), tmp_path / "out")
    assert validators.validate(tmp_path / "out", [tmp_path / "in", tmp_path / "former"], peer) == ()


def test_multi_frame_sources_are_clean_where_no_template_is_concerned(tmp_path: Path, peer: Peer) -> None:
    request = encode_cases.make_request(tmp_path / "in", kind=encode_cases.tumour_type(), enhanced=True)
    paths = encode_cases.save(encode_results(request), tmp_path / "out")
    complaints = [line for path in paths for line in validators.dciodvfy(path, peer)]
    complaints += validators.dcentvfy(paths, [tmp_path / "in"], peer)
    complaints += [*validators.dsrdump(paths[-1], peer), *validators.tid1500reader(paths[-1], peer)]
    assert complaints == []


@pytest.mark.parametrize("enhanced", [False, True], ids=["classic", "enhanced"])
@pytest.mark.parametrize("shape", [(9, 32, 40), (7, 31, 37)], ids=["whole-bytes", "odd-matrix"])
def test_dcmqi_and_simpleitk_find_every_voxel_in_its_place(
    tmp_path: Path, peer: Peer, shape: tuple[int, int, int], enhanced: bool
) -> None:
    grid = oblique_grid(shape=shape, spacing=(1.25, 1.5, 2.5), angles_deg=(12.0, 8.0, -21.0))
    labels = encode_cases.nested_labels(grid)
    request = encode_cases.make_request(tmp_path / "in", labels=labels, enhanced=enhanced)
    main, derived, _ = encode_cases.save(encode_results(request), tmp_path / "out")
    found = [*validators.outlines_by_dcmqi(main, grid, peer), *validators.outlines_by_dcmqi(derived, grid, peer)]
    for region, outline in zip(Region, found, strict=True):
        assert np.array_equal(outline, labels.mask(region)), region


# ---------------------------------------------------------------- negative controls: each judge does judge


def test_dciodvfy_catches_a_segment_without_algorithm_name(broken: Callable[..., Path], peer: Peer) -> None:
    path = broken("seg.dcm", lambda ds: ds.SegmentSequence[0].pop("SegmentAlgorithmName"))
    assert any("SegmentAlgorithmName" in line for line in validators.dciodvfy(path, peer))


def test_dcmqi_catches_a_segmentation_without_pixel_measures(broken: Callable[..., Path], peer: Peer) -> None:
    path = broken("seg.dcm", lambda ds: ds.SharedFunctionalGroupsSequence[0].pop("PixelMeasuresSequence"))
    assert validators.segimage2itkimage(path, peer)


def test_dcentvfy_catches_another_patient(broken: Callable[..., Path], nested: tuple[Path, Path], peer: Peer) -> None:
    path = broken("sr.dcm", lambda ds: setattr(ds, "PatientID", "SOMEBODY-ELSE"))
    assert any("PatientID" in line for line in validators.dcentvfy([path], [nested[0]], peer))


def test_dsrdump_and_tid1500reader_catch_a_measurement_without_unit(broken: Callable[..., Path], peer: Peer) -> None:
    def drop_units(dataset: Dataset) -> None:
        for group in _groups(dataset):
            for item in group.ContentSequence:
                if item.ValueType == "NUM":
                    del item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence

    path = broken("sr.dcm", drop_units)
    assert validators.dsrdump(path, peer)
    assert validators.tid1500reader(path, peer)


def test_pixelmed_catches_a_group_without_its_segment(broken: Callable[..., Path], peer: Peer) -> None:
    def drop_segment(dataset: Dataset) -> None:
        group = _groups(dataset)[0]
        group.ContentSequence = [
            item for item in group.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue != "121191"
        ]

    assert validators.pixelmed(broken("sr.dcm", drop_segment), peer)


def test_the_comparison_of_places_catches_a_flipped_outline(
    tumour: tuple[EncodeRequest, Path], tmp_path: Path, peer: Peer
) -> None:
    request, folder = tumour
    dataset = pydicom.dcmread(folder / "out" / "seg.dcm")
    bits = np.unpackbits(np.frombuffer(dataset.PixelData, np.uint8), bitorder="little")
    frames = bits[: dataset.NumberOfFrames * dataset.Rows * dataset.Columns]
    flipped = frames.reshape(-1, dataset.Rows, dataset.Columns)[:, ::-1]
    dataset.PixelData = np.packbits(flipped.ravel(), bitorder="little").tobytes()
    path = tmp_path / "flipped.dcm"
    dataset.save_as(path)
    assert validators.segimage2itkimage(path, peer) == []
    outlines = validators.outlines_by_dcmqi(path, request.reference.grid, peer)
    assert not np.array_equal(outlines[0], request.labels.mask(Region.NCR))


def _groups(dataset: Dataset) -> list[Dataset]:
    measurements = [item for item in dataset.ContentSequence if "Imaging Measurements" in str(_meaning(item))]
    return list(measurements[0].ContentSequence)


def _meaning(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeMeaning)
