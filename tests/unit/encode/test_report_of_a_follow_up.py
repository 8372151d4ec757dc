"""What SEG and report say of the same patient's former study."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import encode_cases
import follow_up_cases
import pydicom
import pytest
from follow_up_cases import FORMER_STUDY, GOING_ON, compared, objects_of
from pydicom.dataset import Dataset

from bt_node.domain.errors import ReadBackError
from bt_node.domain.follow_up import Change, Way
from bt_node.domain.result import EncodedObject
from bt_node.domain.tumour import Region, TumourType
from bt_node.encode import codes, structured_report
from bt_node.encode.request import EncodeRequest
from bt_node.encode.results import encode_results

NOW, GREW, GREW_PERCENT = ("Volume", "cm3"), ("Difference in size", "cm3"), ("Difference in size", "%")


@pytest.fixture
def alone(tmp_path: Path) -> EncodeRequest:
    return encode_cases.make_request(tmp_path, kind=encode_cases.tumour_type())


@pytest.fixture
def both(alone: EncodeRequest) -> EncodeRequest:
    # As though another study had them: objects of two studies never have the same UIDs.
    objects = tuple(
        replace(
            each, sop_instance_uid=f"{each.sop_instance_uid}.1", series_instance_uid=f"{each.series_instance_uid}.1"
        )
        for each in objects_of(encode_results(alone))
    )
    return compared(alone, objects)


def report(objects: tuple[EncodedObject, ...]) -> Dataset:
    return pydicom.dcmread(BytesIO(objects[-1].content))


def groups(dataset: Dataset) -> dict[str, list[Dataset]]:
    """Content items of each measurement group by tracking identifier."""
    found = {}
    for holder in dataset.ContentSequence:
        for item in holder.get("ContentSequence", []):
            if item.get("ConceptNameCodeSequence") and item.ConceptNameCodeSequence[0].CodeValue == "125007":
                found[str(item.ContentSequence[0].TextValue)] = list(item.ContentSequence)
    return found


def numbers(items: list[Dataset]) -> dict[tuple[str, str], float]:
    """By meaning and unit."""
    return {
        (
            str(item.ConceptNameCodeSequence[0].CodeMeaning),
            str(item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue),
        ): float(item.MeasuredValueSequence[0].NumericValue)
        for item in items
        if item.ValueType == "NUM"
    }


def difference(items: list[Dataset]) -> Dataset:
    """The difference in cm3."""
    return next(
        item for item in items if item.ValueType == "NUM" and item.ConceptNameCodeSequence[0].CodeMeaning == GREW[0]
    )


def texts(dataset: Dataset) -> str:
    return " ".join(
        str(child.TextValue)
        for item in dataset.ContentSequence
        for child in item.get("ContentSequence", [])
        if child.ValueType == "TEXT"
    )


def test_each_group_holds_both_volumes_and_the_change(both: EncodeRequest):
    for name, items in groups(report(encode_results(both))).items():
        found = numbers(items)
        now, then = both.labels.volume_ml(Region(name)), both.follow_up.change_of(Region(name)).former_ml
        assert found[NOW] == pytest.approx(now, abs=0.0005)
        assert found[GREW] == pytest.approx(now - then, abs=0.001)
        assert found[GREW_PERCENT] == pytest.approx(100 * (now - then) / then, abs=2.0)
        (former,) = (each for each in difference(items).ContentSequence if each.ValueType == "NUM")
        assert former.RelationshipType == "INFERRED FROM"
        assert numbers([former]) == {NOW: then}


def test_segments_and_groups_carry_the_former_tracking_uids(both: EncodeRequest, alone: EncodeRequest):
    objects = encode_results(both)
    in_segments = {
        str(item.TrackingID): str(item.TrackingUID)
        for each in objects[:-1]
        for item in pydicom.dcmread(BytesIO(each.content)).SegmentSequence
    }
    in_groups = {
        name: str(next(item.UID for item in items if item.ValueType == "UIDREF"))
        for name, items in groups(report(objects)).items()
    }
    assert in_segments == in_groups == {region.value: uid for region, uid in GOING_ON.items()}
    new = compared(alone, both.follow_up.objects, tracking={})
    own = {name: items[1].UID for name, items in groups(report(encode_results(new))).items()}
    assert not set(own.values()) & set(GOING_ON.values())
    assert own == {name: items[1].UID for name, items in groups(report(encode_results(alone))).items()}


def test_the_former_objects_are_pertinent_other_evidence_and_not_current(both: EncodeRequest):
    dataset = report(encode_results(both))
    (study,) = dataset.PertinentOtherEvidenceSequence
    assert study.StudyInstanceUID == FORMER_STUDY
    named = {
        (str(instance.ReferencedSOPClassUID), str(series.SeriesInstanceUID), str(instance.ReferencedSOPInstanceUID))
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    assert named == {
        (each.sop_class_uid, each.series_instance_uid, each.sop_instance_uid) for each in both.follow_up.objects
    }
    studies = {str(each.StudyInstanceUID) for each in dataset.CurrentRequestedProcedureEvidenceSequence}
    assert studies == {str(dataset.StudyInstanceUID)}


def test_the_words_say_when_what_and_how(both: EncodeRequest, alone: EncodeRequest):
    said = texts(report(encode_results(both)))
    assert "Compared with the study of the same patient of 2025-12-01, 90 days earlier" in said
    assert "+100.0 %" in said
    assert "1: 1.50 ml then, 3.00 ml now; 2: new, 0.25 ml now." in said
    assert "The heads were registered" in said
    assert "Tracking UIDs go on from the former study." in said
    numbers_alone = compared(
        alone, both.follow_up.objects, way=Way.NUMBERS, because="the former images are gone", tracking={}, lesions=()
    )
    said = texts(report(encode_results(numbers_alone)))
    assert "by their number alone, because the former images are gone. Tracking UIDs are new." in said
    assert "Lesions (" not in said


def test_the_report_answers_that_a_comparison_was_made(both: EncodeRequest, alone: EncodeRequest):
    asked = codes.COMPARED.value
    assert asked in str(report(encode_results(both)).to_json())
    assert asked not in str(report(encode_results(alone)).to_json())
    assert "PertinentOtherEvidenceSequence" not in report(encode_results(alone))


def test_a_tumour_that_was_not_there_has_no_percentage(both: EncodeRequest):
    new = compared(both, both.follow_up.objects, changes=(Change(Region.WT, 0.0, 3.5),))
    found = groups(report(encode_results(new)))
    assert GREW_PERCENT not in numbers(found["WT"])
    assert numbers(found["WT"])[GREW] == 3.5
    assert set(numbers(found["ED"])) == {NOW}


def test_a_tumour_that_is_gone_keeps_its_tracking_uid_in_the_group_without_segment(tmp_path: Path):
    empty = encode_cases.without(encode_cases.nested_labels(), 1, 2, 3)
    request = encode_cases.make_request(tmp_path, labels=empty, kind=encode_cases.tumour_type(TumourType.NONE))
    gone = compared(request, (), changes=(Change(Region.WT, 4.0, 0.0),))
    (items,) = groups(report(encode_results(gone))).values()
    tracking = str(items[1].UID)
    assert tracking == GOING_ON[Region.WT]
    assert numbers(items)[GREW_PERCENT] == -100.0


def test_the_same_comparison_gives_the_same_bytes_and_another_gives_another_report(
    both: EncodeRequest, alone: EncodeRequest
):
    first, again = encode_results(both), encode_results(both)
    assert first == again
    other = follow_up_cases.compared(alone, both.follow_up.objects, study="2.25.4712")
    uids = {encode_results(one)[-1].sop_instance_uid for one in (both, alone, other)}
    assert len(uids) == 3


def test_a_last_digit_of_volume_makes_another_report(both: EncodeRequest):
    (changes,) = ([Change(each.region, each.former_ml, each.present_ml + 0.001) for each in both.follow_up.changes],)
    other = compared(both, both.follow_up.objects, changes=tuple(changes))
    assert encode_results(both)[-1].sop_instance_uid != encode_results(other)[-1].sop_instance_uid


def test_a_report_that_lost_the_former_objects_does_not_leave(both: EncodeRequest, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(structured_report, "former_evidence", lambda _: [])
    with pytest.raises(ReadBackError, match="former study"):
        encode_results(both)
