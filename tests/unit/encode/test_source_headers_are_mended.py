"""Headers as scanners and archives really write them: missing, wrong, or in another alphabet."""

from __future__ import annotations

import hashlib
import logging
import warnings
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import encode_cases
import pydicom
import pytest
from pydicom.dataset import Dataset

from bt_node.domain.errors import GeometryError, SpoolFileMissingError
from bt_node.encode.quiet import no_patient_text
from bt_node.encode.request import EncodeRequest
from bt_node.encode.results import encode_results

TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
    "SliceThickness",
    "SpacingBetweenSlices",
    "PositionReferenceIndicator",
    "Manufacturer",
    "SpecificCharacterSet",
)


def _encoded(request: EncodeRequest) -> list[Dataset]:
    return [pydicom.dcmread(BytesIO(each.content)) for each in encode_results(request)]


def test_every_missing_type_2_attribute_becomes_empty(tmp_path: Path) -> None:
    gone: dict[str, Any] = dict.fromkeys(TYPE_2)
    for dataset in _encoded(encode_cases.make_request(tmp_path, **gone)):
        assert all(keyword in dataset for keyword in TYPE_2[:9])
        assert not dataset.PatientID
        assert "SpecificCharacterSet" not in dataset


@pytest.mark.parametrize(("given", "kept"), [("F", "F"), ("O", "O"), ("U", ""), ("UNKNOWN", ""), ("", "")])
def test_a_patient_sex_outside_the_enumeration_becomes_empty(tmp_path: Path, given: str, kept: str) -> None:
    request = encode_cases.make_request(tmp_path, PatientSex=given)
    assert all((dataset.PatientSex or "") == kept for dataset in _encoded(request))


def test_values_that_break_their_representation_are_left_out(tmp_path: Path) -> None:
    request = encode_cases.make_request(tmp_path)
    for path in request.paths.values():
        dataset = pydicom.dcmread(path)
        with warnings.catch_warnings(), pydicom.config.disable_value_validation():
            warnings.simplefilter("ignore")
            dataset.PatientBirthDate = "1970"
            dataset.PatientAge = "45"
            dataset.StudyTime = "noon"
            dataset.PatientWeight = "70707070"
            dataset.save_as(path)
        path.write_bytes(path.read_bytes().replace(b"70707070", b"70 kilos"))
    for dataset in _encoded(request):
        assert not dataset.PatientBirthDate
        assert not dataset.StudyTime
        assert "PatientAge" not in dataset
        assert "PatientWeight" not in dataset
        assert dataset.StudyDate == "20200101"


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 192", "Müller^Jürg=山田^太郎"),
        ("ISO_IR 100", "Müller^Jürg"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["ISO 2022 IR 6", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
    ],
)
def test_names_survive_in_their_own_character_set(tmp_path: Path, character_set: Any, name: str) -> None:
    request = encode_cases.make_request(tmp_path, SpecificCharacterSet=character_set, PatientName=name)
    source = pydicom.dcmread(request.paths[request.reference.slices[0].sop_instance_uid])
    raw = bytes(source.get_item("PatientName").value).rstrip()
    for dataset in _encoded(request):
        assert bytes(dataset.get_item("PatientName").value).rstrip() == raw
        assert dataset.SpecificCharacterSet == source.SpecificCharacterSet
        assert dataset.PatientName == source.PatientName


def test_the_files_are_not_touched(tmp_path: Path) -> None:
    request = encode_cases.make_request(tmp_path, PatientSex="U", StudyID=None)
    before = [hashlib.sha256(path.read_bytes()).digest() for path in request.paths.values()]
    encode_results(request)
    assert before == [hashlib.sha256(path.read_bytes()).digest() for path in request.paths.values()]


def test_no_log_line_or_warning_quotes_the_patient(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    # A name without "^" makes highdicom warn and quote it; a too long ID makes pydicom do so.
    request = encode_cases.make_request(tmp_path)
    for path in request.paths.values():
        dataset = pydicom.dcmread(path)
        with pydicom.config.disable_value_validation():
            dataset.PatientName, dataset.PatientID = "Doe Jane", "DOE" * 30
            dataset.save_as(path)
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        encode_results(request)
    said = caplog.text + "".join(str(each.message) for each in caught) + "".join(capfd.readouterr())
    assert "doe" not in said.lower()


def test_the_order_of_paths_does_not_matter(tmp_path: Path) -> None:
    request = encode_cases.make_request(tmp_path)
    turned = replace(request, paths=dict(reversed(request.paths.items())))
    assert [each.content for each in encode_results(request)] == [each.content for each in encode_results(turned)]


def test_orientations_that_differ_in_the_last_digits_are_one_orientation(tmp_path: Path) -> None:
    request = encode_cases.make_request(tmp_path)
    slices = list(request.reference.slices)
    slices[3] = replace(slices[3], orientation=tuple(value + 2e-7 for value in slices[3].orientation))
    assert len(encode_results(replace(request, reference=replace(request.reference, slices=tuple(slices))))) == 3


def test_a_gap_written_as_spacing_between_slices_does_not_move_the_outline(tmp_path: Path) -> None:
    main, *_ = _encoded(encode_cases.make_request(tmp_path, SpacingBetweenSlices="0.5", SliceThickness="2.0"))
    measures = main.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert (measures.SpacingBetweenSlices, measures.SliceThickness) == (2.5, 2.0)


def test_a_series_in_two_frames_of_reference_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match="2 different Frames of Reference"):
        encode_results(encode_cases.make_request(tmp_path, FrameOfReferenceUID=lambda plane: f"1.2.{plane % 2}"))


def test_a_series_without_frame_of_reference_gets_a_segmentation_with_its_own_and_a_remark(tmp_path: Path) -> None:
    main, derived, report = _encoded(encode_cases.make_request(tmp_path, FrameOfReferenceUID=None))
    assert main.FrameOfReferenceUID.startswith("2.25.")
    assert main.FrameOfReferenceUID == derived.FrameOfReferenceUID
    comments = [item.TextValue for item in report.ContentSequence[-1].ContentSequence if item.ValueType == "TEXT"]
    assert any("names no Frame of Reference" in comment for comment in comments)


def test_a_missing_file_is_named_by_its_uid(tmp_path: Path) -> None:
    request = encode_cases.make_request(tmp_path)
    uid, path = next(iter(request.paths.items()))
    path.unlink()
    with pytest.raises(SpoolFileMissingError, match=uid):
        encode_results(request)


def test_a_file_that_holds_another_instance_is_refused(tmp_path: Path) -> None:
    request = encode_cases.make_request(tmp_path)
    first, second, *_ = request.paths
    with pytest.raises(SpoolFileMissingError, match=first):
        encode_results(replace(request, paths={**request.paths, first: request.paths[second]}))


@pytest.mark.parametrize(
    "syntax",
    ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"],
    ids=["implicit", "big", "deflated"],
)
def test_sources_in_other_transfer_syntaxes_are_read(tmp_path: Path, syntax: str) -> None:
    other = pydicom.Dataset()
    other.PatientID, other.TypeOfPatientID = "OLD-1", "TEXT"
    request = encode_cases.make_request(
        tmp_path, transfer_syntax=syntax, OtherPatientIDsSequence=[other], PatientWeight="70.5"
    )
    for dataset in _encoded(request):
        assert dataset.OtherPatientIDsSequence[0].PatientID == "OLD-1"
        assert dataset.PatientWeight == 70.5


def test_libraries_may_speak_again_once_patient_text_is_out_of_reach(caplog: pytest.LogCaptureFixture) -> None:
    library = logging.getLogger("highdicom.base")
    with no_patient_text():
        library.warning("invalid: Doe^Jane")
    library.warning("harmless")
    assert [record.message for record in caplog.records] == ["harmless"]


@pytest.mark.parametrize(("vr", "value"), [("FD", b"1.75"), ("SQ", b"text")])
def test_bytes_that_are_no_value_of_their_representation_do_not_stop_the_report(
    tmp_path: Path, vr: str, value: bytes
) -> None:
    """Written by a modality with its own idea of PatientSize, which results carry on."""
    request = encode_cases.make_request(tmp_path)
    for path in request.paths.values():
        ds = pydicom.dcmread(path)
        ds.PatientSize = None
        ds.save_as(path)
        raw = path.read_bytes()
        empty = b"\x10\x00\x20\x10DS\x00\x00"
        assert raw.count(empty) == 1
        length = b"\0\0" + len(value).to_bytes(4, "little") if vr == "SQ" else len(value).to_bytes(2, "little")
        header = b"\x10\x00\x20\x10" + vr.encode() + length
        path.write_bytes(raw.replace(empty, header + value))
    assert all("PatientSize" not in dataset or dataset.PatientSize is None for dataset in _encoded(request))
