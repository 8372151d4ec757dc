"""What the report states, before any DICOM is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import encode_cases
import pytest

from bt_node.domain.result import EarlierReport, ResultKind
from bt_node.domain.tumour import Region, TumourType
from bt_node.encode import codes
from bt_node.encode.report import Outlines, Report, segments_of, write_report
from bt_node.encode.request import EncodeRequest
from bt_node.encode.words import NOT_ANSWERED_TITLE, long_string, series_description

RUN = Outlines("1.2.3", {ResultKind.SEG: "1.2.3.5", ResultKind.SEG_DERIVED: "1.2.3.6"})
EMPTY = encode_cases.without(encode_cases.nested_labels(), 1, 2, 3)
NO_ET = encode_cases.without(encode_cases.nested_labels(), 3)


@pytest.fixture
def full(tmp_path: Path) -> EncodeRequest:
    return encode_cases.make_request(tmp_path, kind=encode_cases.tumour_type())


def _answers(report: Report) -> dict[str, str]:
    return {each.concept.meaning: each.value.meaning for each in report.statements}


def test_each_outlined_region_has_a_group_with_its_segment_and_volume(full: EncodeRequest) -> None:
    report = write_report(full, RUN)
    assert [group.label for group in report.groups] == ["NCR", "ED", "ET", "TC", "WT"]
    segments = [group.segment for group in report.groups]
    assert [segment.number for segment in segments if segment] == [1, 2, 3, 1, 2]
    assert segments[0] != segments[3]
    for group in report.groups:
        assert group.quantities[0].value == round(full.labels.volume_ml(Region(group.label)), 3)


def test_only_the_enhancing_tumour_and_the_core_have_axes(full: EncodeRequest) -> None:
    named = {
        group.label: [each.name.meaning for each in group.quantities] for group in write_report(full, RUN).groups
    }
    assert named["ET"] == named["TC"] == ["Volume", "Long axis", "Perpendicular Axis"]
    assert named["NCR"] == named["ED"] == ["Volume"]


def test_the_certainty_of_the_tumour_type_stands_with_the_whole_tumour(full: EncodeRequest) -> None:
    whole = write_report(full, RUN).groups[-1]
    assert whole.quantities[-1].name == codes.CERTAINTY
    assert whole.quantities[-1].value == 93.1
    assert whole.quantities[-1].release == encode_cases.CLASSIFIER


def test_a_region_without_voxels_has_no_segment_and_no_group_but_is_stated_absent(tmp_path: Path) -> None:
    request = encode_cases.make_request(tmp_path, labels=NO_ET)
    report = write_report(request, RUN)
    assert segments_of(ResultKind.SEG, request.outlined) == (Region.NCR, Region.ED)
    assert [group.label for group in report.groups] == ["NCR", "ED", "TC", "WT"]
    assert _answers(report) == {"Enhancing Lesion": "Absent"}


@pytest.mark.parametrize(
    ("top", "outlined", "answers"),
    [
        (TumourType.GLIOMA, True, {"Differential Diagnosis/Impression": "Glioma"}),
        (TumourType.NONE, True, {"Neoplasm": "Indeterminate"}),
        (None, True, {}),
        (TumourType.NONE, False, {"Neoplasm": "Absent"}),
        (None, False, {"Neoplasm": "Absent"}),
        (
            TumourType.PITUITARY,
            False,
            {"Differential Diagnosis/Impression": "Neoplasm of pituitary gland", "Neoplasm": "Indeterminate"},
        ),
    ],
)
def test_presence_is_stated_as_the_two_models_see_it(
    tmp_path: Path, top: TumourType | None, outlined: bool, answers: dict[str, str]
) -> None:
    kind = encode_cases.tumour_type(top) if top else None
    labels = encode_cases.nested_labels() if outlined else EMPTY
    request = encode_cases.make_request(tmp_path, labels=labels, kind=kind)
    assert _answers(write_report(request, RUN)) == answers


def test_without_an_outline_one_group_states_a_volume_of_zero_and_no_segment(tmp_path: Path) -> None:
    request = encode_cases.make_request(tmp_path, labels=EMPTY, kind=encode_cases.tumour_type(TumourType.NONE))
    (group,) = write_report(request, RUN).groups
    assert group.segment is None
    assert [(each.name, each.value) for each in group.quantities] == [(codes.VOLUME, 0.0), (codes.CERTAINTY, 93.1)]


def test_comments_hold_disclaimer_cautions_probabilities_and_weights(full: EncodeRequest) -> None:
    cautious = encode_cases.with_findings(full, cautions=("The outline is unusually large – 900 ml.",))
    first, caution, probabilities, outline = write_report(cautious, RUN).comments
    assert first.startswith("For research use only, not for diagnosis.")
    assert caution == "CAUTION: The outline is unusually large ? 900 ml."
    assert "glioma 93.1 %" in probabilities
    assert encode_cases.CLASSIFIER.weights_sha256 in probabilities
    assert encode_cases.SEGMENTER.weights_sha256 in outline


def test_the_title_of_a_report_without_answer_says_research_only() -> None:
    assert "for research use only, not for diagnosis" in NOT_ANSWERED_TITLE
    assert len(NOT_ANSWERED_TITLE) <= 64


@pytest.mark.parametrize("kind", sorted(set(ResultKind) - {ResultKind.NOT_ANSWERED}))
def test_every_title_says_research_only_and_cautions_show_in_it(kind: ResultKind) -> None:
    plain, cautious = series_description(kind, ()), series_description(kind, ("x",))
    for title in (plain, cautious):
        assert "for research use only, not for diagnosis" in title
        assert len(title) <= 64
    assert cautious.startswith("CAUTION")
    assert "CAUTION" not in plain


def test_a_long_string_is_cut_and_loses_what_its_vr_forbids() -> None:
    assert long_string("a\\b" + "x" * 100) == "a/b" + "x" * 61


def test_measurements_that_do_not_fit_the_labels_are_refused_at_birth(full: EncodeRequest) -> None:
    with pytest.raises(ValueError, match="NCR measures"):
        replace(full, labels=EMPTY)


def test_a_time_without_zone_is_refused_at_birth(full: EncodeRequest) -> None:
    with pytest.raises(ValueError, match="time zone"):
        replace(full, analysed_at=full.analysed_at.replace(tzinfo=None))


def test_a_reference_slice_without_file_is_refused_at_birth(full: EncodeRequest) -> None:
    paths = {uid: path for uid, path in full.paths.items() if uid != full.reference.slices[0].sop_instance_uid}
    with pytest.raises(ValueError, match="1 instance"):
        replace(full, paths=paths)


def test_the_first_report_of_a_study_replaces_none(full: EncodeRequest) -> None:
    report = write_report(full, RUN)
    assert report.predecessor is None
    assert not any("replaces an earlier one" in comment for comment in report.comments)


def test_a_later_report_names_the_one_that_it_replaces_and_says_so(full: EncodeRequest) -> None:
    earlier = EarlierReport("1.2.840.10008.5.1.4.1.1.88.34", "1.9.2", "1.9.2.0")
    report = write_report(full, RUN, predecessor=earlier)
    assert report.predecessor == earlier
    assert any("replaces an earlier one" in comment for comment in report.comments)
