"""Identity of results: equal content has equal UIDs and equal bytes, any other content has other UIDs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import encode_cases
import numpy as np
import pydicom
import pytest
from encode_cases import make_request, with_findings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import UID

from bt_node.domain.follow_up import Change, FollowUp
from bt_node.domain.result import EarlierReport, EncodedObject, ResultKind
from bt_node.domain.role import Role
from bt_node.domain.tumour import LabelMap, Region, ReleaseIdentity, TumourType
from bt_node.encode.request import EncodeRequest, FurtherOutline
from bt_node.encode.results import encode_results
from bt_node.encode.uids import PLACEHOLDERS, derived_uid, release_uid, tracking_uid

RELEASE = ReleaseIdentity("unet", "1.0.0", "a" * 64)
Objects = Mapping[ResultKind, EncodedObject]


def encoded(request: EncodeRequest) -> Objects:
    """By kind; of SEGs on several series the first, which is the one that counts."""
    return {each.kind: each for each in reversed(encode_results(request))}


def uids(found: EncodedObject) -> set[str]:
    """All UIDs that name the object itself."""
    dataset = pydicom.dcmread(BytesIO(found.content))
    own = {found.sop_instance_uid, found.series_instance_uid, str(dataset.file_meta.MediaStorageSOPInstanceUID)}
    return own | {str(each.DimensionOrganizationUID) for each in dataset.get("DimensionOrganizationSequence", [])}


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> EncodeRequest:
    return make_request(tmp_path_factory.mktemp("study"), kind=encode_cases.tumour_type(), cautions=("One.",))


@pytest.fixture(scope="module")
def first(request_: EncodeRequest) -> Objects:
    return encoded(request_)


# ---------------------------------------------------------------- one change at a time


def one_voxel_less(request: EncodeRequest) -> EncodeRequest:
    """What another processor's arithmetic does: a voxel at the border falls to the other side."""
    array = request.labels.array.copy()
    array[tuple(np.argwhere(array == 2)[0])] = 0
    labels = LabelMap(array, request.labels.grid)
    return replace(
        request,
        labels=labels,
        findings=replace(request.findings, measurements=encode_cases.measurements(labels)),
    )


def another_part(request: EncodeRequest) -> EncodeRequest:
    """Core becomes oedema: the same whole tumour, other parts."""
    array = request.labels.array.copy()
    array[tuple(np.argwhere(array == 3)[0])] = 2
    labels = LabelMap(array, request.labels.grid)
    return replace(
        request,
        labels=labels,
        findings=replace(request.findings, measurements=encode_cases.measurements(labels)),
    )


def last_digit_of_an_axis(request: EncodeRequest) -> EncodeRequest:
    core = request.findings.measurements[Region.TC]
    assert core.long_axis_mm is not None
    changed = replace(core, long_axis_mm=core.long_axis_mm + 0.01)
    return with_findings(request, measurements={**request.findings.measurements, Region.TC: changed})


def last_digit_of_a_probability(request: EncodeRequest) -> EncodeRequest:
    return with_findings(request, tumour_type=encode_cases.tumour_type(certainty=0.930))


def another_caution(request: EncodeRequest) -> EncodeRequest:
    return with_findings(request, cautions=("Two.",))


def no_caution(request: EncodeRequest) -> EncodeRequest:
    return with_findings(request, cautions=())


def other_weights(request: EncodeRequest) -> EncodeRequest:
    return with_findings(request, segmenter=replace(request.findings.segmenter, weights_sha256="e" * 64))


def a_missing_sequence(request: EncodeRequest) -> EncodeRequest:
    return with_findings(request, tumour_type=None, no_type_because="T1C is missing")


def a_second_later(request: EncodeRequest) -> EncodeRequest:
    return replace(request, analysed_at=request.analysed_at + timedelta(seconds=1))


def another_node_version(request: EncodeRequest) -> EncodeRequest:
    return replace(request, node=replace(request.node, version="0.1.1"))


def an_image_less(request: EncodeRequest) -> EncodeRequest:
    own = {piece.sop_instance_uid for piece in request.reference.slices}
    other = next(uid for uid in request.paths if uid not in own)
    return replace(request, paths={uid: path for uid, path in request.paths.items() if uid != other})


def an_earlier_report(request: EncodeRequest) -> EncodeRequest:
    return replace(request, earlier_reports=(EarlierReport("1.2.840.10008.5.1.4.1.1.88.34", "1.9", "1.9.0"),))


def a_former_study(request: EncodeRequest, now: float = 9.0) -> EncodeRequest:
    return replace(
        request,
        follow_up=FollowUp(
            former_job=1,
            former_study_instance_uid="1.8",
            former_day=date(2026, 1, 1),
            days=59,
            objects=(),
            segmenter=encode_cases.SEGMENTER,
            changes=(Change(Region.WT, 8.0, now),),
        ),
    )


def another_change(request: EncodeRequest) -> EncodeRequest:
    return a_former_study(request, 9.001)


def a_further_series(request: EncodeRequest) -> EncodeRequest:
    further = FurtherOutline(Role.FLAIR, request.reference, request.labels, request.findings.measurements)
    return replace(request, further=(further,))


BOTH, REPORT = (ResultKind.SEG, ResultKind.SEG_DERIVED, ResultKind.SR), (ResultKind.SR,)
CHANGES: list[tuple[Callable[[EncodeRequest], EncodeRequest], tuple[ResultKind, ...]]] = [
    (one_voxel_less, BOTH),
    (another_part, BOTH),
    (last_digit_of_an_axis, REPORT),
    (last_digit_of_a_probability, REPORT),
    (another_caution, REPORT),
    (no_caution, BOTH),
    (other_weights, BOTH),
    (a_missing_sequence, REPORT),
    (a_second_later, BOTH),
    (another_node_version, BOTH),
    (an_image_less, REPORT),
    (an_earlier_report, REPORT),
    (a_former_study, REPORT),
    (another_change, REPORT),
    (a_further_series, REPORT),
]


@pytest.mark.parametrize(("change", "reaches"), CHANGES, ids=[change.__name__ for change, _ in CHANGES])
def test_what_reaches_an_object_gives_it_other_uids_and_leaves_the_others_alone(
    request_: EncodeRequest, first: Objects, change: Callable[[EncodeRequest], Any], reaches: tuple[ResultKind, ...]
) -> None:
    changed = encoded(change(request_))
    for kind, before in first.items():
        if kind in reaches:
            assert not uids(before) & uids(changed[kind])
        else:
            assert before == changed[kind]


def test_every_part_of_a_request_is_tried(request_: EncodeRequest) -> None:
    """A new field of EncodeRequest belongs into CHANGES."""
    tried = {
        field.name
        for change, _ in CHANGES
        for field in fields(EncodeRequest)
        if getattr(change(request_), field.name) is not getattr(request_, field.name)
    }
    assert {field.name for field in fields(EncodeRequest)} - tried == {"reference"}


def test_a_header_value_that_is_copied_from_the_source_gives_other_uids(tmp_path: Path) -> None:
    """A study that was corrected in the archive and sent again: the same images, another name."""
    plain, corrected = (encoded(make_request(tmp_path / name, PatientName=name)) for name in ("Doe^Jane", "Roe^Jane"))
    for kind, before in plain.items():
        assert not uids(before) & uids(corrected[kind])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flipped=st.lists(st.integers(0, 9 * 32 * 40 - 1), max_size=3, unique=True),
    kind=st.sampled_from([None, *TumourType]),
    certainty=st.sampled_from([0.931, 0.9313, 0.85]),
    cautions=st.lists(st.sampled_from(["One.", "Two."]), max_size=2),
    seconds=st.integers(0, 1),
)
def test_equal_bytes_and_equal_uids_go_together(
    request_: EncodeRequest,
    flipped: list[int],
    kind: TumourType | None,
    certainty: float,
    cautions: list[str],
    seconds: int,
) -> None:
    array = request_.labels.array.copy()
    array.flat[flipped] = np.where(array.flat[flipped] == 2, 0, 2)
    labels = LabelMap(array, request_.labels.grid)
    findings = replace(
        request_.findings,
        measurements=encode_cases.measurements(labels),
        tumour_type=None if kind is None else encode_cases.tumour_type(kind, certainty),
        cautions=tuple(cautions),
    )
    when = datetime(2026, 3, 1, 11, 2, 3 + seconds, tzinfo=UTC)
    for found in encode_results(replace(request_, labels=labels, findings=findings, analysed_at=when)):
        for name in uids(found):
            assert SEEN.setdefault(name, found.content) == found.content
        assert NAMED.setdefault(found.content, found.sop_instance_uid) == found.sop_instance_uid


SEEN: dict[str, bytes] = {}  # over all examples: UID to content, and back
NAMED: dict[bytes, str] = {}


def test_the_same_request_gives_the_same_bytes(request_: EncodeRequest, first: Objects) -> None:
    assert encoded(replace(request_)) == first


def test_no_placeholder_is_left(first: Objects) -> None:
    for each in first.values():
        assert not any(placeholder.encode() in each.content for placeholder in PLACEHOLDERS.values())


def test_the_report_names_the_segmentations_by_their_own_uids(first: Objects) -> None:
    for kind in (ResultKind.SEG, ResultKind.SEG_DERIVED):
        assert first[kind].sop_instance_uid.encode() in first[ResultKind.SR].content


def test_tracking_uids_stay_when_the_outline_changes(request_: EncodeRequest, first: Objects) -> None:
    def tracked(found: Objects) -> list[str]:
        dataset = pydicom.dcmread(BytesIO(found[ResultKind.SEG].content))
        return [str(item.TrackingUID) for item in dataset.SegmentSequence]

    changed = encoded(another_node_version(other_weights(one_voxel_less(request_))))
    assert tracked(changed) == tracked(first)


# ---------------------------------------------------------------- reports that replace others


def _earlier(report: EncodedObject) -> EarlierReport:
    return EarlierReport(report.sop_class_uid, report.sop_instance_uid, report.series_instance_uid)


def _report(request: EncodeRequest, *earlier: EncodedObject) -> EncodedObject:
    return encoded(replace(request, earlier_reports=tuple(map(_earlier, earlier))))[ResultKind.SR]


def _replaced(report: EncodedObject) -> list[str]:
    dataset = pydicom.dcmread(BytesIO(report.content))
    return [
        str(item.ReferencedSOPInstanceUID)
        for study in dataset.get("PredecessorDocumentsSequence", [])
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]


def test_a_run_repeated_after_its_report_left_makes_that_report_again(request_: EncodeRequest) -> None:
    one = _report(request_)
    assert _report(request_, one) == one
    two = _report(one_voxel_less(request_), one)
    assert _replaced(two) == [one.sop_instance_uid]
    assert _report(one_voxel_less(request_), one, two) == two


def test_a_former_content_that_comes_back_is_a_new_report_that_replaces_the_later_one(
    request_: EncodeRequest,
) -> None:
    one = _report(request_)
    two = _report(one_voxel_less(request_), one)
    three = _report(request_, one, two)
    assert _replaced(three) == [two.sop_instance_uid]
    assert three.sop_instance_uid not in (one.sop_instance_uid, two.sop_instance_uid)
    assert _report(request_, one, two, three) == three


# ---------------------------------------------------------------- UIDs that stand for things


def test_this_uid_is_the_one_that_archives_already_hold() -> None:
    # A change here would give every tracked region another UID.
    assert derived_uid("series", "SEG") == "2.25.268124303075065035942750487512695801325"


def test_the_border_between_parts_counts() -> None:
    assert derived_uid("ab", "c") != derived_uid("a", "bc")


def test_uids_are_valid_and_fit_64_characters(first: Objects) -> None:
    own = [name for each in first.values() for name in uids(each)]
    for uid in (*own, release_uid(RELEASE), tracking_uid("1.2", Region.WT)):
        assert UID(uid).is_valid
        assert len(uid) <= 64


def test_a_device_uid_changes_with_the_weights() -> None:
    assert release_uid(RELEASE) != release_uid(replace(RELEASE, weights_sha256="b" * 64))


def test_a_region_is_tracked_by_study_and_region_alone() -> None:
    assert tracking_uid("1.2", Region.WT) == tracking_uid("1.2", Region.WT)
    assert tracking_uid("1.2", Region.WT) != tracking_uid("1.2", Region.TC)
