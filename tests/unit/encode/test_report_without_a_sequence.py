"""What a missing sequence hides is neither outlined nor called absent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import encode_cases
import pytest

from bt_node.domain.result import ResultKind
from bt_node.domain.study import Role
from bt_node.domain.tumour import Findings, Region, SliceAnswer, SliceBasis, TumourType
from bt_node.encode.report import Outlines, Report, segments_of, write_report
from bt_node.encode.request import EncodeRequest
from bt_node.encode.results import encode_results
from bt_node.encode.words import comments, series_description

RUN = Outlines("1.2.3", {ResultKind.SEG: "1.2.3.5", ResultKind.SEG_DERIVED: "1.2.3.6"})
EMPTY = encode_cases.without(encode_cases.nested_labels(), 1, 2, 3)
BECAUSE = "T1C is missing, the only sequence that the classifier reads"


def hidden(request: EncodeRequest) -> EncodeRequest:
    """The same study as if T1c were missing: the whole tumour alone is assessed."""
    whole = {Region.WT: request.findings.measurements[Region.WT]}
    return encode_cases.with_findings(request, measurements=whole, missing=(Role.T1C,), no_type_because=BECAUSE)


def answers(report: Report) -> set[tuple[str, str]]:
    return {(each.concept.meaning, each.value.meaning) for each in report.statements}


def test_without_t1c_only_the_whole_tumour_has_a_segment_and_the_parts_are_not_evaluated(tmp_path: Path) -> None:
    request = hidden(encode_cases.make_request(tmp_path))
    assert request.outlined == (Region.WT,)
    assert segments_of(ResultKind.SEG, request.outlined) == ()
    report = write_report(request, RUN)
    assert [group.label for group in report.groups] == ["WT"]
    assert answers(report) == {
        ("Necrosis", "Not Evaluated"),
        ("Edema", "Not Evaluated"),
        ("Enhancing Lesion", "Not Evaluated"),
    }
    assert "Tumour type: not assessed, because T1C is missing" in " ".join(report.comments)


def test_without_t1c_there_is_one_seg_that_says_whole_tumour(tmp_path: Path) -> None:
    objects = encode_results(hidden(encode_cases.make_request(tmp_path)))
    assert [each.kind for each in objects] == [ResultKind.SEG_DERIVED, ResultKind.SR]
    title = series_description(ResultKind.SEG_DERIVED, ("x",), whole_alone=True)
    assert "WT SEG" in title
    assert "TC" not in title


@pytest.mark.parametrize(
    ("missing", "word"), [(Role.T1C, "Indeterminate"), (Role.FLAIR, "Indeterminate"), (Role.T1, "Absent")]
)
def test_no_tumour_is_not_claimed_without_t1c_or_flair(tmp_path: Path, missing: Role, word: str) -> None:
    request = encode_cases.make_request(tmp_path, labels=EMPTY)
    assert ("Neoplasm", word) in answers(write_report(encode_cases.with_findings(request, missing=(missing,)), RUN))


def test_findings_without_a_whole_tumour_are_refused_at_birth() -> None:
    with pytest.raises(ValueError, match="whole tumour"):
        Findings({}, encode_cases.SEGMENTER)


def test_the_report_names_the_slices_and_what_each_says_alone(tmp_path: Path) -> None:
    kind = encode_cases.tumour_type()
    slices = (
        SliceAnswer(0, 0.75, TumourType.GLIOMA, 0.95, level_mm=12.4),
        SliceAnswer(1, 0.25, TumourType.NONE, 0.51, level_mm=17.0),
    )
    named = replace(kind, slices=slices, basis=SliceBasis.CORE)
    text = " ".join(comments(encode_cases.make_request(tmp_path, kind=named)))
    assert "over 9 slices through the outlined tumour core, weighted by its area" in text
    assert "12 mm glioma 95 %, 17 mm no tumour 51 %" in text


def test_an_even_spread_has_no_weights_to_tell(tmp_path: Path) -> None:
    named = replace(encode_cases.tumour_type(), basis=SliceBasis.SPREAD)
    text = " ".join(comments(encode_cases.make_request(tmp_path, kind=named)))
    assert "9 slices spread evenly through the brain: glioma" in text
