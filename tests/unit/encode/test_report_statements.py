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
IS_GLIOMA = {
    "Differential Diagnosis/Impression": "Glioma",
    "Certainty of Impression": "Glioma: 93.1 %, given that what is outlined is a tumour",
}
EMPTY = encode_cases.without(encode_cases.nested_labels(), 1, 2, 3)
NO_ET = encode_cases.without(encode_cases.nested_labels(), 3)


@pytest.fixture
def full(tmp_path: Path) -> EncodeRequest:
    return encode_cases.make_request(tmp_path, kind=encode_cases.tumour_type())


def _answers(report: Report) -> dict[str, str]:
    return {
        each.concept.meaning: each.value if isinstance(each.value, str) else each.value.meaning
        for each in report.statements
    }


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


def test_no_group_holds_a_certainty(full: EncodeRequest) -> None:
    """In a group a reader takes it for the certainty of that finding: "Lesion of Brain, 80 %"."""
    for group in write_report(full, RUN).groups:
        assert codes.CERTAINTY not in [each.name for each in group.quantities]


def test_the_certainty_stands_behind_the_type_that_it_belongs_to(full: EncodeRequest) -> None:
    impression, certainty = write_report(full, RUN).statements
    assert (impression.concept, impression.value) == (codes.IMPRESSION, codes.GLIOMA)
    assert certainty.concept == codes.CERTAINTY
    assert certainty.value == "Glioma: 93.1 %, given that what is outlined is a tumour"


def test_a_region_without_voxels_has_no_segment_and_no_group_but_is_stated_absent(tmp_path: Path) -> None:
    request = encode_cases.make_request(tmp_path, labels=NO_ET)
    report = write_report(request, RUN)
    assert segments_of(ResultKind.SEG, request.outlined) == (Region.NCR, Region.ED)
    assert [group.label for group in report.groups] == ["NCR", "ED", "TC", "WT"]
    assert _answers(report) == {"Enhancing Lesion": "Absent"}


@pytest.mark.parametrize(
    ("top", "outlined", "answers"),
    [
        (TumourType.GLIOMA, True, IS_GLIOMA),
        (TumourType.NONE, True, IS_GLIOMA),  # presence is answered by the outline, the type given a tumour
        (None, True, {}),
        (TumourType.NONE, False, {"Neoplasm": "Absent"}),
        (None, False, {"Neoplasm": "Absent"}),
        (TumourType.PITUITARY, False, {"Neoplasm": "Indeterminate"}),  # a type of nothing is not named
    ],
)
def test_presence_is_stated_as_the_two_models_see_it(
    tmp_path: Path, top: TumourType | None, outlined: bool, answers: dict[str, str]
) -> None:
    kind = encode_cases.tumour_type(top) if top else None
    labels = encode_cases.nested_labels() if outlined else EMPTY
    request = encode_cases.make_request(tmp_path, labels=labels, kind=kind)
    assert _answers(write_report(request, RUN)) == answers


def test_below_the_release_s_limit_no_type_is_coded_and_the_probabilities_are_text(tmp_path: Path) -> None:
    """A phantom was called a meningioma at 51.8 %, with glioma at 46.1 %."""
    by_itself = dict(zip(TumourType, (0.461, 0.518, 0.0, 0.021), strict=True))
    doubtful = replace(encode_cases.tumour_type(), probabilities=by_itself, given_tumour={})
    report = write_report(encode_cases.make_request(tmp_path, kind=doubtful), RUN)
    assert _answers(report) == {"Differential Diagnosis/Impression": "Indeterminate"}
    (told,) = [comment for comment in report.comments if comment.startswith("Tumour type, given")]
    assert "glioma 47.1 %, meningioma 52.9 %, pituitary tumour 0.0 %" in told
    assert told.endswith("Indeterminate: a type is named from 90 % on.")
    assert "no tumour" not in told


def test_a_type_at_the_limit_as_it_is_written_is_named(tmp_path: Path) -> None:
    at = {TumourType.GLIOMA: 0.7996, TumourType.MENINGIOMA: 0.2004, TumourType.PITUITARY: 0.0}
    named = replace(encode_cases.tumour_type(), given_tumour=at, least_probability=0.8)
    answers = _answers(write_report(encode_cases.make_request(tmp_path, kind=named), RUN))
    assert answers["Certainty of Impression"].startswith("Glioma: 80.0 %")


def test_without_an_outline_one_group_states_a_volume_of_zero_and_no_segment(tmp_path: Path) -> None:
    request = encode_cases.make_request(tmp_path, labels=EMPTY, kind=encode_cases.tumour_type(TumourType.NONE))
    (group,) = write_report(request, RUN).groups
    assert group.segment is None
    assert [(each.name, each.value) for each in group.quantities] == [(codes.VOLUME, 0.0)]


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
