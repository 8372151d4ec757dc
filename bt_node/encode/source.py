"""Headers of the source images, mended where highdicom would stumble, without touching the files.

highdicom copies patient and study from the first source image and geometry from all of them. It wants every Type 2
attribute present, one orientation to the last digit, and multi-frame images whole and in frame order. Scanners and
archives give it less: so each plane of the reference series is handed to it as though it were a classic MR instance,
with the geometry that `convert` has checked; the true reference (instance and frame) is kept beside it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom import config
from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.tag import BaseTag, Tag
from pydicom.uid import MRImageStorage
from pydicom.valuerep import DA, TM, DSfloat, validate_value

from bt_node.domain.errors import GeometryError, HeaderError, SpoolFileMissingError
from bt_node.domain.study import SliceFacts, StackedSeries
from bt_node.encode.uids import derived_uid

# Type 2 in the Patient and General Study modules (PS3.3 C.7.1.1, C.7.2.1); highdicom reads them without a default.
_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
)
_PATIENT_SEX = ("M", "F", "O")
_SINGLE_VALUED = ("DA", "TM", "DT", "AS")
_CHECKED_VR = (*_SINGLE_VALUED, "DS", "IS", "UI")
# Groups of the Patient, Study, Series, Equipment and Clinical Trial modules; pixels and frames stay behind.
_KEPT_GROUPS = (0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0032, 0x0040)
_LARGEST_THICKNESS_MM = 1000.0
# What pydicom raises where a value is made from bytes.
_UNDECODABLE = (
    AttributeError,
    BytesLengthException,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
_LOSSY = tuple(
    Tag(keyword) for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
)
_EVIDENCE = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "ImagePositionPatient",
    "NumberOfFrames",
)
_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_FUNCTIONAL_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


@dataclass(frozen=True)
class FrameReference:
    """The image that plane z came from. `frame_number` is one-based as DICOM counts; None for classic instances."""

    sop_class_uid: str
    sop_instance_uid: str
    frame_number: int | None
    position_in_file: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class SourceImages:
    """What the result objects need to know of the source images.

    Attributes:
        planes: one header for each plane of the reference grid, in its order, as classic MR instances.
        frames: the true image of each plane.
        evidence: one small header (UIDs) for each instance that the models read, in the order of the reference
            series first, the others by series and instance UID.
        names_frame_of_reference: whether the files name the Frame of Reference that `planes` carry.
    """

    planes: tuple[Dataset, ...]
    frames: tuple[FrameReference, ...]
    evidence: tuple[Dataset, ...]
    names_frame_of_reference: bool = True

    @property
    def patient(self) -> Dataset:
        """The header that patient and study attributes come from."""
        return self.planes[0]

    @property
    def is_multiframe(self) -> bool:
        """Whether planes are frames of multi-frame instances."""
        return self.frames[0].frame_number is not None


def read_source(reference: StackedSeries, paths: Mapping[str, Path]) -> SourceImages:
    """Read the headers of all evidence images.

    Raises:
        SpoolFileMissingError: a file is gone, or holds another instance.
        GeometryError: the reference series has more than one Frame of Reference.
        HeaderError: the images name several patients or studies.
    """
    own = list(dict.fromkeys(piece.sop_instance_uid for piece in reference.slices))
    facts = {uid: _read_facts(uid, path, whole=uid in set(own)) for uid, path in paths.items()}
    studies = {str(header.StudyInstanceUID) for header in facts.values()}
    if len(studies) > 1:
        raise HeaderError(reference.series_instance_uid, f"what was analysed is of {len(studies)} studies")
    named = _frame_of_reference(reference, [facts[uid] for uid in own])
    # Some archives scrub it away. A Segmentation must name one (PS3.3 A.51.3), so it names one of its own.
    frame_of_reference = named or derived_uid("frame-of-reference", reference.series_instance_uid)
    first = patient_header(paths[own[0]])
    planes = tuple(_plane_header(reference, z, facts, frame_of_reference) for z in range(len(reference.slices)))
    _adopt(planes[0], first)
    others = sorted(set(facts) - set(own), key=lambda uid: (str(facts[uid].SeriesInstanceUID), uid))
    return SourceImages(
        planes=planes,
        frames=tuple(_frame_reference(piece, facts[piece.sop_instance_uid]) for piece in reference.slices),
        evidence=(_with_patient(facts[own[0]], first), *(facts[uid] for uid in (*own[1:], *others))),
        names_frame_of_reference=bool(named),
    )


def _read_facts(uid: str, path: Path, *, whole: bool) -> Dataset:
    """Few attributes of one instance; with the functional groups where frame positions are needed."""
    wanted = [*_EVIDENCE, *(_FUNCTIONAL_GROUPS if whole else ())]
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=wanted)
    except FileNotFoundError as error:
        raise SpoolFileMissingError(uid) from error
    for keyword in _UIDS:  # a UID of another kind than text, several of them, or none at all
        element = _valid_element(header, Tag(keyword)) if keyword in header else None
        header[keyword] = element or DataElement(keyword, "UI", "")
    if str(header.SOPInstanceUID) != uid:
        raise SpoolFileMissingError(uid)
    return header


def _frame_of_reference(reference: StackedSeries, headers: list[Dataset]) -> str:
    """FrameOfReferenceUID of the series; empty where no file names one."""
    found = {str(header.get("FrameOfReferenceUID") or "") for header in headers}
    if len(found) > 1:
        raise GeometryError(
            reference.series_instance_uid,
            f"its images name {len(found)} different Frames of Reference (counting none as one); "
            "their positions cannot be compared.",
        )
    return found.pop()


def patient_header(path: Path) -> Dataset:
    """All non-pixel attributes of one instance, fit for highdicom.

    Raises:
        HeaderError: it names several patients.
    """
    header = pydicom.dcmread(path, stop_before_pixels=True)
    keep = Dataset()
    for tag in list(header.keys()):
        if not tag.is_private and (tag.group in _KEPT_GROUPS or tag in _LOSSY):
            element = _valid_element(header, tag)
            if element is not None:
                keep.add(element)
    _mend_type_2(keep)
    if len(_values_of(header, "PatientID")) > 1:  # neither one nor none of them may go out as this patient's
        raise HeaderError(
            str(header.get("SeriesInstanceUID", "")), "PatientID holds several values (a backslash parts them)"
        )
    return keep


def _valid_element(header: Dataset, tag: BaseTag) -> DataElement | None:
    """The element; None where its value breaks its VR: writing it on would make the result invalid."""
    try:
        element = _as_defined(header[tag])
    except _UNDECODABLE:
        return None  # cannot even be decoded; what pydicom says about it would quote the value
    if element is not None and element.VR in _CHECKED_VR and not _is_valid(element.VR, element.value):
        return None
    return element


def _as_defined(element: DataElement) -> DataElement | None:
    """The element with a VR and as many values as the dictionary (PS3.6) has for it; None where it cannot be so."""
    vr = dictionary_VR(element.tag).split(" or ")
    several = isinstance(element.value, pydicom.multival.MultiValue) and len(element.value) > 1
    if element.VR in vr and not (several and dictionary_VM(element.tag) == "1"):
        return element
    if several and vr == ["PN"] and element.VR == "PN":  # a name may hold no backslash; highdicom wants one
        return DataElement(element.tag, "PN", " ".join(str(part) for part in element.value))
    if several or not isinstance(element.value, str):
        return None
    return DataElement(element.tag, vr[0], element.value)


def _values_of(header: Dataset, keyword: str) -> Sequence[Any]:
    try:
        value = header.get(keyword)
    except _UNDECODABLE:
        return ()
    return value if isinstance(value, pydicom.multival.MultiValue) else (value,)


def _is_valid(vr: str, value: Any) -> bool:
    values = value if isinstance(value, list | pydicom.multival.MultiValue) else [value]
    if vr in _SINGLE_VALUED and len(values) > 1:
        return False
    try:
        for each in values:
            validate_value(vr, getattr(each, "original_string", each), config.RAISE)
            if each and vr in ("DA", "TM"):
                {"DA": DA, "TM": TM}[vr](each)
    except (ValueError, TypeError):
        return False
    return True


def _mend_type_2(header: Dataset) -> None:
    for keyword in _TYPE_2:
        if keyword not in header:
            setattr(header, keyword, None)
    # Enumerated M, F, O (PS3.3 C.7.1.1): anything else ("U", "UNKNOWN") says what an empty value says.
    if header.PatientSex not in _PATIENT_SEX:
        header.PatientSex = ""
    if header.get("LossyImageCompression") not in ("00", "01"):
        header.pop("LossyImageCompression", None)


def _plane_header(reference: StackedSeries, z: int, facts: Mapping[str, Dataset], frame_of_reference: str) -> Dataset:
    piece, grid = reference.slices[z], reference.grid
    file = facts[piece.sop_instance_uid]
    header = Dataset()
    header.SOPClassUID = MRImageStorage
    header.SOPInstanceUID = plane_uid(piece) if _is_multiframe(file) else piece.sop_instance_uid
    header.StudyInstanceUID = file.StudyInstanceUID
    header.SeriesInstanceUID = file.SeriesInstanceUID
    header.FrameOfReferenceUID = frame_of_reference
    header.Modality = "MR"
    header.Rows, header.Columns = grid.shape[1:]
    header.ImagePositionPatient = [_ds(value) for value in piece.position]
    # highdicom compares orientations digit by digit; `convert` has already judged that they agree.
    header.ImageOrientationPatient = [_ds(value) for value in reference.slices[0].orientation]
    header.PixelSpacing = [_ds(value) for value in reference.slices[0].pixel_spacing]
    # Scanners write gaps or nothing into (0018,0088): the distance of the positions is the truth.
    header.SpacingBetweenSlices = _ds(grid.spacing[2])
    header.SliceThickness = None
    return header


def _adopt(plane: Dataset, patient: Dataset) -> None:
    """Give the first plane the patient's and study's attributes, and the slice thickness to use for all."""
    thickness = patient.get("SliceThickness")
    for element in patient:
        if element.tag not in plane:
            plane.add(element)
    is_length = bool(thickness) and 0 < float(thickness) <= _LARGEST_THICKNESS_MM
    plane.SliceThickness = thickness if is_length else plane.SpacingBetweenSlices


def plane_uid(piece: SliceFacts) -> str:
    """Stand-in SOPInstanceUID of one frame of a multi-frame instance; it never leaves this process."""
    return derived_uid("plane", piece.sop_instance_uid, str(piece.frame))


def _ds(value: float) -> DSfloat:
    return DSfloat(float(value), auto_format=True)


def _is_multiframe(header: Dataset) -> bool:
    return "PerFrameFunctionalGroupsSequence" in header


def _frame_reference(piece: SliceFacts, file: Dataset) -> FrameReference:
    multiframe = _is_multiframe(file)
    try:
        said = _frame_position(file, piece.frame) if multiframe else file.ImagePositionPatient
        x, y, z = (float(value) for value in said)
    except _UNDECODABLE:  # a decimal comma: `assemble` reads more than pydicom does
        x, y, z = piece.position
    return FrameReference(
        sop_class_uid=str(file.SOPClassUID),
        sop_instance_uid=piece.sop_instance_uid,
        frame_number=piece.frame + 1 if multiframe else None,
        position_in_file=(x, y, z),
    )


def _frame_position(file: Dataset, frame: int) -> Any:
    """ImagePositionPatient of a frame (zero-based): its own, or the one that all frames share (PS3.3 C.7.6.16)."""
    own = file.PerFrameFunctionalGroupsSequence[frame]
    holder = own if "PlanePositionSequence" in own else file.SharedFunctionalGroupsSequence[0]
    return holder.PlanePositionSequence[0].ImagePositionPatient


def _with_patient(file: Dataset, patient: Dataset) -> Dataset:
    """The first evidence item: highdicom copies patient and study of an SR from it."""
    item = Dataset()
    for element in patient:
        item.add(element)
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(item, keyword, file[keyword].value)
    return item
