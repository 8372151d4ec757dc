"""The report that a study was not answered: it says why, names nothing that it has not, and validators take it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import encode_cases
import pydicom
import pytest
import validators

from bt_node.domain.errors import SpoolFileMissingError
from bt_node.domain.result import EarlierReport, ResultKind
from bt_node.encode.not_answered import Unanswered, encode_not_answered

pytestmark = pytest.mark.integration
Peer = Callable[[str], str]

WHY = "No series found for FLAIR among 3 series."


def unanswered(folder: Path, **changes: object) -> Unanswered:
    request = encode_cases.make_request(folder, enhanced=bool(changes.pop("enhanced", False)))
    return replace(Unanswered(request.paths, WHY, request.analysed_at, request.node), **changes)


def read(content: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(BytesIO(content))


@pytest.mark.parametrize("enhanced", [False, True], ids=["classic", "enhanced"])
def test_validators_take_it(tmp_path: Path, peer: Peer, enhanced: bool) -> None:
    made = encode_not_answered(unanswered(tmp_path / "in", enhanced=enhanced))
    encode_cases.save([made], tmp_path / "out")
    assert validators.validate(tmp_path / "out", [tmp_path / "in"], peer) == ()


def test_it_says_why_and_that_it_is_no_diagnosis(tmp_path: Path) -> None:
    made = encode_not_answered(unanswered(tmp_path))
    dataset = read(made.content)
    assert (made.kind, dataset.Modality, dataset.SeriesNumber) == (ResultKind.NOT_ANSWERED, "SR", 9102)
    assert dataset.SeriesDescription == "AI, not answered: for research use only, not for diagnosis"
    assert len(dataset.SeriesDescription) <= 64
    text = str(dataset.to_json())
    assert f"NOT ANSWERED, because: {WHY}" in text
    assert "Not Evaluated" in text
    assert "Absent" not in text, "that would be an answer"


def test_the_same_reason_gives_the_same_bytes_and_another_another_object(tmp_path: Path) -> None:
    asked = unanswered(tmp_path)
    first, again = encode_not_answered(asked), encode_not_answered(asked)
    other = encode_not_answered(replace(asked, reason="A slice is missing."))
    assert first.content == again.content
    assert first.sop_instance_uid != other.sop_instance_uid


def test_it_names_the_report_that_it_replaces_and_never_itself(tmp_path: Path) -> None:
    asked = unanswered(tmp_path)
    own = encode_not_answered(asked)
    itself = EarlierReport(own.sop_class_uid, own.sop_instance_uid, own.series_instance_uid)
    assert encode_not_answered(replace(asked, earlier_reports=(itself,))).content == own.content
    earlier = EarlierReport("1.2.840.10008.5.1.4.1.1.88.34", "2.25.7", "2.25.8")
    dataset = read(encode_not_answered(replace(asked, earlier_reports=(earlier,))).content)
    (study,) = dataset.PredecessorDocumentsSequence
    assert study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "2.25.7"


def test_damaged_files_are_left_out_and_nothing_readable_is_an_error(tmp_path: Path) -> None:
    asked = unanswered(tmp_path)
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"\0" * 400)
    made = encode_not_answered(replace(asked, paths={**asked.paths, "1.2.9": broken}))
    assert "1.2.9" not in str(read(made.content).to_json())
    with pytest.raises(SpoolFileMissingError):
        encode_not_answered(replace(asked, paths={"1.2.9": broken}))
