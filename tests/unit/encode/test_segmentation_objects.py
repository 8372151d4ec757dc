"""SEG and SR as files: what viewers and archives rely on."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import encode_cases
import numpy as np
import pydicom
import pytest
from dicom_builder import oblique_grid
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from bt_node.domain.geometry import Grid
from bt_node.domain.result import EncodedObject, ResultKind
from bt_node.domain.tumour import LabelMap, ReleaseIdentity
from bt_node.encode.results import encode_results


def _read(encoded: EncodedObject) -> Dataset:
    return pydicom.dcmread(BytesIO(encoded.content))


def _kinds(objects: tuple[EncodedObject, ...]) -> list[ResultKind]:
    return [each.kind for each in objects]


def test_a_tumour_gives_three_objects_in_series_of_their_own(tmp_path: Path) -> None:
    objects = encode_results(encode_cases.make_request(tmp_path, kind=encode_cases.tumour_type()))
    assert _kinds(objects) == [ResultKind.SEG, ResultKind.SEG_DERIVED, ResultKind.SR]
    assert [each.series_number for each in objects] == [9001, 9002, 9101]
    assert len({each.series_instance_uid for each in objects}) == 3
    for each in objects:
        dataset = _read(each)
        assert (dataset.SOPInstanceUID, dataset.SeriesInstanceUID) == (
            each.sop_instance_uid,
            each.series_instance_uid,
        )
        assert dataset.SOPClassUID == each.sop_class_uid
        assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert "for research use only, not for diagnosis" in dataset.SeriesDescription


def test_no_outline_gives_the_report_alone(tmp_path: Path) -> None:
    empty = encode_cases.without(encode_cases.nested_labels(), 1, 2, 3)
    objects = encode_results(encode_cases.make_request(tmp_path, labels=empty))
    assert _kinds(objects) == [ResultKind.SR]


def test_the_same_request_gives_the_same_bytes(tmp_path: Path) -> None:
    request = encode_cases.make_request(tmp_path, kind=encode_cases.tumour_type())
    first, second = encode_results(request), encode_results(replace(request))
    assert [each.content for each in first] == [each.content for each in second]


def test_other_weights_give_other_uids(tmp_path: Path) -> None:
    request = encode_cases.make_request(tmp_path)
    other = encode_cases.with_findings(request, segmenter=ReleaseIdentity("glioma-unet", "1.2.0", "6" * 64))
    pairs = zip(encode_results(request), encode_results(other), strict=True)
    assert all(a.sop_instance_uid != b.sop_instance_uid for a, b in pairs)


def test_exclusive_regions_do_not_overlap_and_nested_ones_do(tmp_path: Path) -> None:
    main, derived, _ = (_read(each) for each in encode_results(encode_cases.make_request(tmp_path)))
    assert (main.SegmentationType, main.SegmentsOverlap) == ("BINARY", "NO")
    assert (derived.SegmentationType, derived.SegmentsOverlap) == ("BINARY", "YES")
    assert [item.SegmentLabel for item in main.SegmentSequence] == [
        "Necrotic tumour core",
        "Peritumoural oedema",
        "Enhancing tumour",
    ]
    assert [item.SegmentLabel for item in derived.SegmentSequence] == ["Tumour core", "Whole tumour"]


def test_a_segmentation_refers_to_the_reference_series_alone(tmp_path: Path) -> None:
    request = encode_cases.make_request(tmp_path)
    for encoded in encode_results(request)[:2]:
        dataset = _read(encoded)
        (series,) = dataset.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == request.reference.series_instance_uid
        named = {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence}
        assert named == {piece.sop_instance_uid for piece in request.reference.slices}


def test_the_report_names_all_inputs_and_both_segmentations_as_evidence(tmp_path: Path) -> None:
    request = encode_cases.make_request(tmp_path)
    main, derived, report = encode_results(request)
    (study,) = _read(report).CurrentRequestedProcedureEvidenceSequence
    named = {
        item.ReferencedSOPInstanceUID
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert named == {*request.paths, main.sop_instance_uid, derived.sop_instance_uid}


def test_release_and_weights_are_named_in_every_object(tmp_path: Path) -> None:
    request = encode_cases.make_request(tmp_path, kind=encode_cases.tumour_type())
    for encoded in encode_results(request):
        equipment = _read(encoded).ContributingEquipmentSequence
        assert any(encode_cases.SEGMENTER.weights_sha256 in item.ContributionDescription for item in equipment)
    assert encode_cases.CLASSIFIER.name in {item.get("ManufacturerModelName") for item in equipment}
    algorithm = _read(encode_results(request)[0]).SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == encode_cases.SEGMENTER.name
    assert encode_cases.SEGMENTER.weights_sha256 in algorithm.AlgorithmParameters


def test_a_region_is_tracked_by_one_uid_in_segmentation_and_report(tmp_path: Path) -> None:
    main, derived, report = (_read(each) for each in encode_results(encode_cases.make_request(tmp_path)))
    tracked = [item.TrackingUID for dataset in (main, derived) for item in dataset.SegmentSequence]
    assert tracked == [item.UID for item in _walk(report) if _name(item) == "112040"]


def test_multi_frame_sources_are_named_by_instance_and_frame(tmp_path: Path) -> None:
    request = encode_cases.make_request(tmp_path, enhanced=True)
    main, _, report = (_read(each) for each in encode_results(request))
    (uid,) = {piece.sop_instance_uid for piece in request.reference.slices}
    items = [
        group.DerivationImageSequence[0].SourceImageSequence[0] for group in main.PerFrameFunctionalGroupsSequence
    ]
    assert {item.ReferencedSOPInstanceUID for item in items} == {uid}
    assert {item.ReferencedSOPClassUID for item in items} == {"1.2.840.10008.5.1.4.1.1.4.1"}
    planes = np.flatnonzero(request.labels.array.any(axis=(1, 2)))
    assert {item.ReferencedFrameNumber for item in items} == {int(plane) + 1 for plane in planes}
    assert [item.ReferencedSOPInstanceUID for item in main.SourceImageSequence] == [uid]
    (library,) = [item for item in _walk(report) if item.ValueType == "IMAGE" and _name(item) == "260753009"]
    assert library.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == uid
    assert library.ReferencedSOPSequence[0].ReferencedFrameNumber == 5


def test_a_source_time_zone_rules_the_whole_object(tmp_path: Path) -> None:
    request = encode_cases.make_request(tmp_path, TimezoneOffsetFromUTC="-0530")
    for encoded in encode_results(request):
        dataset = _read(encoded)
        assert dataset.TimezoneOffsetFromUTC == "-0530"
        # 11:02:03 UTC, as a clock five and a half hours west shows it
        assert (dataset.ContentDate, dataset.ContentTime) == ("20260301", "053203")


@st.composite
def label_maps(draw: Any) -> LabelMap:
    """Sparse labels on small grids of any orientation, spacing and matrix, whole bytes or not."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(3, 11), st.integers(3, 11)))
    spacing = draw(st.tuples(*[st.floats(0.4, 6.0)] * 3))
    angles = draw(st.tuples(*[st.floats(-60.0, 60.0)] * 3))
    grid: Grid = oblique_grid(shape, spacing, draw(st.tuples(*[st.floats(-300, 300)] * 3)), angles)
    seed = draw(st.integers(0, 2**16))
    random = np.random.default_rng(seed)
    array = random.integers(0, 4, shape) * (random.random(shape) < draw(st.sampled_from([0.05, 0.4, 1.0])))
    return LabelMap(array.astype(np.uint8), grid)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels=label_maps(), enhanced=st.booleans())
def test_any_labels_on_any_grid_survive_the_round_trip(
    tmp_path_factory: pytest.TempPathFactory, labels: LabelMap, enhanced: bool
) -> None:
    # encode_results reads every object back and raises when one voxel differs.
    request = encode_cases.make_request(tmp_path_factory.mktemp("any"), labels=labels, enhanced=enhanced)
    objects = encode_results(request)
    assert len(objects) == (1 if labels.is_empty else 3)


def _walk(item: Dataset) -> list[Dataset]:
    children = list(item.get("ContentSequence", []))
    return [each for child in children for each in (child, *_walk(child))]


def _name(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence", [])
    return str(names[0].CodeValue) if names else ""
