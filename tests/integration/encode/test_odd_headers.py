"""Whatever stands in a header: the study is answered, or refused in words before a model has run."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_builder import oblique_grid
from encode_cases import ANALYSED_AT, NODE, make_request
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag, Tag

from bt_node.assemble.roles import choose_roles
from bt_node.assemble.study import _WANTED, read_study
from bt_node.convert.stack import load_series
from bt_node.domain.errors import BtNodeError, GeometryError, HeaderError, PixelDataError, Reject
from bt_node.domain.tumour import LabelMap
from bt_node.encode.rehearsal import require_usable_headers
from bt_node.encode.request import EncodeRequest
from bt_node.encode.results import encode_results

pytestmark = pytest.mark.integration

GRID = oblique_grid(shape=(3, 16, 16), spacing=(1.25, 1.5, 2.5))
LABELS = np.zeros(GRID.shape, dtype=np.uint8)
LABELS[1, 5:9, 5:9] = 2

Outcome = tuple[str, BtNodeError | None]
Change = Callable[[pydicom.Dataset], None]


class Study:
    """A T1c and a FLAIR of three slices; the headers of the T1c can be changed byte by byte."""

    def __init__(self, folder: Path) -> None:
        self.request: EncodeRequest = make_request(folder, labels=LabelMap(LABELS, GRID))
        own = {piece.sop_instance_uid for piece in self.request.reference.slices}
        self._clean = {path: path.read_bytes() for uid, path in self.request.paths.items() if uid in own}

    def with_header(self, change: Change) -> Outcome:
        """What becomes of it: "encoded", or where it was refused with which error."""
        for path, content in self._clean.items():
            path.write_bytes(content)
            ds = pydicom.dcmread(path)
            change(ds)
            ds.save_as(path)
        return self._travel(self.request.paths)

    def _travel(self, paths: Mapping[str, Path]) -> Outcome:
        study = read_study(paths)
        choose_roles(study)
        mine = [
            each for each in study.series if each.series_instance_uid == self.request.reference.series_instance_uid
        ]
        if not mine:
            return "set aside", None
        try:
            stacked = load_series(mine[0], paths)
            require_usable_headers(stacked, paths, NODE, ANALYSED_AT)
        except BtNodeError as error:
            return "refused", error
        assert np.isfinite(stacked.volume.array).all()
        if stacked.volume.array.shape != LABELS.shape:
            return "another grid", None
        # What was found usable can be encoded: after the models have run it is too late.
        encode_results(replace(self.request, reference=stacked, labels=LabelMap(LABELS, stacked.volume.grid)))
        return "encoded", None


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study(tmp_path_factory.mktemp("odd"))


@pytest.fixture(autouse=True)
def _odd_values_may_be_written() -> Iterator[None]:
    with pydicom.config.disable_value_validation():
        yield


def raw(tag: str | BaseTag, value: bytes, vr: str = "") -> Change:
    """Set an element to bytes, with a VR of one's own."""
    its_tag = Tag(tag)
    its_vr = vr or dictionary_VR(its_tag)

    def change(ds: pydicom.Dataset) -> None:
        ds._dict[its_tag] = RawDataElement(its_tag, its_vr, len(value), value, 0, False, True)

    return change


def nested(depth: int) -> bytes:
    """The value of a sequence of defined length that holds a sequence, and so on."""
    value = b""
    for _ in range(depth):
        item = struct.pack("<HH2sxxL", 0x0008, 0x1140, b"SQ", len(value)) + value
        value = b"\xfe\xff\x00\xe0" + struct.pack("<L", len(item)) + item
    return value


def endless(depth: int) -> Change:
    """A sequence of undefined length that holds a sequence, and so on: no reader can step over it."""
    begin = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + struct.pack("<HH2sxxL", 0x0008, 0x1140, b"SQ", 0xFFFFFFFF)
    end = b"\xfe\xff\xdd\xe0\0\0\0\0" + b"\xfe\xff\x0d\xe0\0\0\0\0"
    value = begin * depth + end * depth

    def change(ds: pydicom.Dataset) -> None:
        tag = Tag("ReferencedImageSequence")
        ds._dict[tag] = RawDataElement(tag, "SQ", 0xFFFFFFFF, value, 0, False, True)

    return change


def test_a_clean_study_is_encoded(study: Study) -> None:
    assert study.with_header(lambda _: None) == ("encoded", None)


TOLERATED = {
    "a backslash in the name": raw("PatientName", b"Doe^Jane\\Smith^John "),
    "a name of several groups": raw("PatientName", b"Doe^Jane=x=y\\a=b "),
    "several birth dates": raw("PatientBirthDate", b"19700101\\19710101 "),
    "several accession numbers": raw("AccessionNumber", b"1\\2 "),
    "a study date that is a number": raw("StudyDate", b"\1\0", "US"),
    "a study date that is no number": raw("StudyDate", b"\0\0\0\0\0\0\xf8\x7f", "FD"),
    "a manufacturer that is numbers": raw("Manufacturer", b"\1\0\2\0", "US"),
    "a VR that does not exist": raw("StudyID", b"Doe^Jane", "ZZ"),
    "a sequence that is text": raw("ReferencedImageSequence", b"Doe^Jane"),
    "text that is a sequence": raw("StudyDescription", b"Doe^Jane", "SQ"),
    "a sequence nested 1,000 deep": raw("ReferencedImageSequence", nested(1000)),
    "a time zone of 99 hours": raw("TimezoneOffsetFromUTC", b"+9999 "),
    "a thickness beyond all scanners": raw("SliceThickness", b"1e308 "),
    "a series number beyond all numbers": raw("SeriesNumber", b"1e308 "),
    "a place with a decimal comma in it": raw("PatientSize", b"1,75"),
    "a frame of reference that is text": raw("FrameOfReferenceUID", b"Doe^Jane"),
    "a character set that is text": raw("SpecificCharacterSet", b"Doe^Jane"),
}


@pytest.mark.parametrize("change", TOLERATED.values(), ids=TOLERATED)
def test_what_results_can_do_without_is_left_out(study: Study, change: Change) -> None:
    assert study.with_header(change) == ("encoded", None)


REFUSED = {
    "several patients": (raw("PatientID", b"123\\456 "), HeaderError),
    "a procedure code nested 1,000 deep": (raw("ProcedureCodeSequence", nested(1000)), HeaderError),
    "colour": (raw("PhotometricInterpretation", b"RGB "), PixelDataError),
    "two frames of reference": (
        lambda ds: setattr(ds, "FrameOfReferenceUID", f"1.2.{ds.InstanceNumber}"),
        GeometryError,
    ),
}


@pytest.mark.parametrize(("change", "error"), REFUSED.values(), ids=REFUSED)
def test_what_results_cannot_do_without_is_refused_before_anything_is_computed(study, change, error) -> None:
    outcome, refusal = study.with_header(change)
    assert outcome == "refused"
    assert isinstance(refusal, error)
    assert isinstance(refusal, Reject)
    assert "Doe" not in str(refusal)


SET_ASIDE = {
    "a sequence without length nested 1,000 deep": endless(1000),
    "a modality that is a name": raw("Modality", b"Doe^Jane"),
    "a slope of 1e308": raw("RescaleSlope", b"1e308 "),
    "a slope of 1e-308": raw("RescaleSlope", b"1e-308"),
    "an intercept of 1e300": raw("RescaleIntercept", b"1e300 "),
    "pixels of 1e-308 mm": raw("PixelSpacing", b"1e-308\\1e-308 "),
    "pixels of 1e308 mm": raw("PixelSpacing", b"1e308\\1 "),
    "a place light years away": raw("ImagePositionPatient", b"1e300\\0\\0 "),
    "negative rows": raw("Rows", b"\xff\xff\xff\xff", "SL"),
    "a study that is text": raw("StudyInstanceUID", b"Doe^Jane"),
}


@pytest.mark.parametrize("change", SET_ASIDE.values(), ids=SET_ASIDE)
def test_numbers_that_no_scanner_writes_set_the_series_aside_in_words(study: Study, change: Change) -> None:
    assert study.with_header(change) == ("set aside", None)
    reasons = [each.reason for each in read_study(study.request.paths).set_aside]
    assert reasons
    assert all(reason.isprintable() and "Doe" not in reason for reason in reasons)


def test_a_position_with_decimal_commas_is_read_and_encoded(study: Study) -> None:
    def change(ds: pydicom.Dataset) -> None:
        said = "\\".join(f"{float(value):.3f}" for value in ds.ImagePositionPatient).replace(".", ",")
        raw("ImagePositionPatient", said.encode().ljust(len(said) + len(said) % 2))(ds)

    assert study.with_header(change) == ("encoded", None)


_OF_RESULTS = (
    *(
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "PatientAge",
        "PatientWeight",
        "StudyDate",
        "StudyTime",
    ),
    *("AccessionNumber", "ReferringPhysicianName", "StudyID", "StudyDescription", "IssuerOfPatientID", "EthnicGroup"),
    *("InstitutionName", "Laterality", "PatientPosition", "LossyImageCompression", "LossyImageCompressionRatio"),
    *("TimezoneOffsetFromUTC", "ReferencedStudySequence", "RequestAttributesSequence", "PhysiciansOfRecord"),
    *("BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel", "PixelRepresentation", "PixelPaddingValue"),
    *("PixelPaddingRangeLimit", "SpacingBetweenSlices", "NumberOfFrames", "ClinicalTrialSponsorName"),
)
_OURS_ALONE = {Tag("SOPInstanceUID")}  # by which a file is found: the job book's, not the header's
TAGS = sorted({*map(Tag, _WANTED), *(Tag(tag_for_keyword(each)) for each in _OF_RESULTS)} - _OURS_ALONE)
VALUES = (
    *(
        b"",
        b"X ",
        b"Doe^Jane\\Smith^John ",
        b"1\\2\\3 ",
        b"1e308 ",
        b"1e-308",
        b"-1e308",
        b"NaN ",
        b"-inf",
        b"-1",
        b"0 ",
    ),
    *(b"9" * 64, b"A" * 60_000, b"\xff\xfe\x00\x01", b"20269999", b"\x1b[2J\n\r\x00\x00", b"a^b=c^d=e^f=g^h\\= "),
    *(b"\1\0", b"\1\0\2\0", b"\0\0\0\0\0\0\xf8\x7f", b"\xfe\xff\x00\xe0\x04\0\0\0abcd"),
)
VRS = ("", "", "US", "SS", "FD", "SQ", "UN", "OB", "UI", "IS", "DS", "LO", "PN", "ZZ")
_DRAWN = 80


@pytest.mark.parametrize("seed", range(_DRAWN))
def test_whatever_bytes_stand_in_an_element_nothing_unforeseen_comes_of_it(study: Study, seed: int) -> None:
    draw = random.Random(seed)
    tag, value = draw.choice(TAGS), draw.choice(VALUES)
    vr = draw.choice(VRS)
    if not vr:
        try:
            vr = dictionary_VR(tag).split(" ")[0]
        except KeyError:  # a private element
            vr = "LO"
    outcome, refusal = study.with_header(raw(tag, value, vr))
    assert outcome in {"encoded", "set aside", "refused", "another grid"}
    assert refusal is None or isinstance(refusal, Reject), f"{tag} {vr} {value[:20]!r}: {refusal}"
    assert "Doe" not in str(refusal)
