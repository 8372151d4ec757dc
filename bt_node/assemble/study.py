"""Read the headers of one study into facts; whatever is no usable MR image is set aside with its reason."""

from __future__ import annotations

import logging
import struct
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeVar

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
)

from bt_node.assemble.frames import Frame, UnusableFrameError, classic_frames, enhanced_frames
from bt_node.assemble.parts import split_volumes
from bt_node.assemble.values import integer, items, text, texts
from bt_node.domain.errors import SpoolFileMissingError
from bt_node.domain.study import SeriesFacts, SetAside, StudyFacts

log = logging.getLogger(__name__)

_READERS: Mapping[str, Callable[[Dataset], tuple[Frame, ...]]] = {
    MRImageStorage: classic_frames,
    EnhancedMRImageStorage: enhanced_frames,
    LegacyConvertedEnhancedMRImageStorage: enhanced_frames,
}

# Only these elements are parsed; the rest of a header is skipped over (half the time of a full read).
_WANTED = [
    *("SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"),
    *("StudyDate", "SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime"),
    *("Modality", "Manufacturer", "SeriesDescription", "ProtocolName", "BodyPartExamined", "SeriesNumber"),
    *("InstanceNumber", "AcquisitionNumber", "TemporalPositionIdentifier", "FrameOfReferenceUID"),
    *("ScanningSequence", "SequenceVariant", "ScanOptions", "SequenceName", "PulseSequenceName"),
    *("MRAcquisitionType", "EchoTime", "RepetitionTime", "InversionTime", "FlipAngle", "EchoTrainLength"),
    *("EchoPulseSequence", "EchoPlanarPulseSequence", "InversionRecovery", "DiffusionBValue"),
    *("SteadyStatePulseSequence", "Spoiling", "SpectrallySelectedSuppression", "SpectrallySelectedExcitation"),
    *("ContrastBolusAgent", "ContrastBolusAgentSequence", "SliceThickness"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "NumberOfFrames"),
    *("RescaleSlope", "RescaleIntercept", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]
_PIXEL_DATA_TAGS = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10", b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00")


# What pydicom raises for files that are damaged or no DICOM at all.
_UNREADABLE = (
    InvalidDicomError,
    AttributeError,
    EOFError,
    KeyError,
    NotImplementedError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def read_study(paths: Mapping[str, Path]) -> StudyFacts:
    """Read the headers of all instances of one study. Pixel data are not touched.

    Args:
        paths: file of each instance by SOPInstanceUID.

    Returns:
        Facts of each series (more than one entry for a series that holds several volumes), and every instance
        or series that cannot be used, with the reason. The order of `paths` makes no difference.

    Raises:
        SpoolFileMissingError: a file is not there.
    """
    collected = _Collected()
    for sop_uid in sorted(paths):
        collected.take(sop_uid, paths[sop_uid])
    return collected.study()


@dataclass
class _Series:
    """What was gathered for one SeriesInstanceUID."""

    header: Dataset | None = None
    frames: list[Frame] = field(default_factory=list)
    instances: int = 0
    unusable: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    number: int | None = None


@dataclass
class _Collected:
    """Instances sorted into series while they are read."""

    by_series: dict[str, _Series] = field(default_factory=lambda: defaultdict(_Series))
    studies: Counter[str] = field(default_factory=Counter)
    set_aside: list[SetAside] = field(default_factory=list)

    def take(self, sop_uid: str, path: Path) -> None:
        if not path.is_file():
            raise SpoolFileMissingError(sop_uid)
        try:
            ds, has_pixels = _read_header(path)
        except _UNREADABLE as error:
            log.warning("instance %s cannot be parsed: %s", sop_uid, type(error).__name__)
            self.set_aside.append(SetAside("", None, f"instance {sop_uid} is not a readable DICOM file", 1))
            return
        series_uid = text(ds, "SeriesInstanceUID")
        if not series_uid:
            self.set_aside.append(SetAside("", None, f"instance {sop_uid} ends before its SeriesInstanceUID", 1))
            return
        # The caller's UID is the one by which the file is found again.
        ds.SOPInstanceUID = sop_uid
        self.studies[text(ds, "StudyInstanceUID")] += 1
        _sort_in(self.by_series[series_uid], ds, has_pixels=has_pixels)

    def study(self) -> StudyFacts:
        series: list[SeriesFacts] = []
        set_aside = list(self.set_aside)
        for uid in sorted(self.by_series):
            gathered = self.by_series[uid]
            set_aside += _not_images(uid, gathered)
            if gathered.header is None:
                continue
            if gathered.unusable:
                set_aside.append(SetAside(uid, gathered.number, _damage(gathered), gathered.instances))
                continue
            series += [_facts(uid, gathered.header, frames) for frames in split_volumes(gathered.frames)]
        study_uid = min(self.studies, key=lambda uid: (-self.studies[uid], uid)) if self.studies else ""
        return StudyFacts(study_uid, tuple(series), tuple(set_aside))


def _read_header(path: Path) -> tuple[Dataset, bool]:
    with path.open("rb") as file:
        ds = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_WANTED)
        return ds, _pixels_follow(file, ds)


def _pixels_follow(file: BinaryIO, ds: pydicom.FileDataset) -> bool:
    # A deflated data set is unpacked in memory, so the place in the file tells nothing.
    if ds.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        return True
    return file.read(4) in _PIXEL_DATA_TAGS


def _sort_in(series: _Series, ds: Dataset, *, has_pixels: bool) -> None:
    series.number = series.number if series.number is not None else integer(ds, "SeriesNumber")
    sop_class = text(ds, "SOPClassUID")
    reader = _READERS.get(sop_class)
    if reader is None or text(ds, "Modality").upper() not in {"MR", ""}:
        series.others[_kind(sop_class, text(ds, "Modality"))] += 1
        return
    series.header = series.header if series.header is not None else ds
    series.instances += 1
    if not has_pixels:
        series.unusable.append("the file ends before any pixel data")
        return
    try:
        series.frames += reader(ds)
    except UnusableFrameError as error:
        series.unusable.append(str(error))


def _kind(sop_class: str, modality: str) -> str:
    if sop_class in _READERS:
        return f"modality {modality[:16]}"
    name = UID(sop_class).name
    return name if name != sop_class else f"SOP class {sop_class}"


def _not_images(uid: str, series: _Series) -> list[SetAside]:
    return [
        SetAside(uid, series.number, f"not an MR image ({kind})", count)
        for kind, count in sorted(series.others.items())
    ]


def _damage(series: _Series) -> str:
    count, first = len(series.unusable), min(series.unusable)
    return f"{count} of {series.instances} instances cannot be used: {first}"


_T = TypeVar("_T")


def _most_common(values: Iterable[_T | None]) -> _T | None:
    counted = Counter(value for value in values if value is not None)
    return min(counted, key=lambda value: (-counted[value], str(value))) if counted else None


def _facts(uid: str, ds: Dataset, frames: Sequence[Frame]) -> SeriesFacts:
    times = [frame.acquired_at_s for frame in frames if frame.acquired_at_s is not None]
    return SeriesFacts(
        series_instance_uid=uid,
        series_number=integer(ds, "SeriesNumber"),
        modality=text(ds, "Modality") or "MR",
        sop_class_uid=text(ds, "SOPClassUID"),
        slices=tuple(frame.slice for frame in frames),
        description=text(ds, "SeriesDescription"),
        protocol_name=text(ds, "ProtocolName"),
        image_type=_most_common(frame.image_type for frame in frames) or (),
        scanning_sequence=_scanning_sequence(ds),
        sequence_variant=_sequence_variant(ds),
        scan_options=_scan_options(ds),
        sequence_name=text(ds, "SequenceName") or text(ds, "PulseSequenceName"),
        acquisition_type=text(ds, "MRAcquisitionType").upper(),
        echo_time_ms=_most_common(frame.echo_time_ms for frame in frames),
        repetition_time_ms=_most_common(frame.repetition_time_ms for frame in frames),
        inversion_time_ms=_most_common(frame.inversion_time_ms for frame in frames),
        flip_angle_deg=_most_common(frame.flip_angle_deg for frame in frames),
        echo_train_length=_most_common(frame.echo_train_length for frame in frames),
        b_value=_most_common(frame.b_value for frame in frames),
        contrast_agent=_contrast_agent(ds),
        acquired_at_s=min(times) if times else None,
        slice_thickness_mm=_most_common(frame.thickness_mm for frame in frames),
        frame_of_reference_uid=text(ds, "FrameOfReferenceUID"),
        body_part=text(ds, "BodyPartExamined").upper(),
        manufacturer=text(ds, "Manufacturer"),
    )


def _upper(ds: Dataset, keyword: str) -> tuple[str, ...]:
    return tuple(word.upper() for word in texts(ds, keyword))


def _shared(ds: Dataset, keyword: str) -> Dataset:
    for holder in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for groups in items(ds, holder)[:1]:
            found = items(groups, keyword)
            if found:
                return found[0]
    return Dataset()


def _scanning_sequence(ds: Dataset) -> tuple[str, ...]:
    """ScanningSequence, or for Enhanced MR the same words from the pulse sequence module (PS3.3 C.8.13.4)."""
    classic = _upper(ds, "ScanningSequence")
    if classic:
        return classic
    pulse = text(ds, "EchoPulseSequence").upper()
    words = [word for word, wanted in (("SE", {"SPIN", "BOTH"}), ("GR", {"GRADIENT", "BOTH"})) if pulse in wanted]
    if text(ds, "EchoPlanarPulseSequence").upper() == "YES":
        words.append("EP")
    if text(_shared(ds, "MRModifierSequence"), "InversionRecovery").upper() == "YES":
        words.append("IR")
    return tuple(words)


def _sequence_variant(ds: Dataset) -> tuple[str, ...]:
    classic = _upper(ds, "SequenceVariant")
    if classic:
        return classic
    spoiling = text(_shared(ds, "MRModifierSequence"), "Spoiling").upper()
    steady = text(ds, "SteadyStatePulseSequence").upper()
    return tuple(
        word for word, given in (("SP", spoiling not in {"", "NONE"}), ("SS", steady not in {"", "NONE"})) if given
    )


def _scan_options(ds: Dataset) -> tuple[str, ...]:
    classic = _upper(ds, "ScanOptions")
    suppressed = text(ds, "SpectrallySelectedSuppression").upper()
    excited = text(_shared(ds, "MRModifierSequence"), "SpectrallySelectedExcitation").upper()
    fat_free = suppressed in {"FAT", "FAT AND WATER"} or excited == "WATER"
    return (*classic, "FS") if fat_free and "FS" not in classic else classic


def _contrast_agent(ds: Dataset) -> str:
    """ContrastBolusAgent, or for Enhanced MR the meaning of the coded agent, unless it was not administered."""
    usage = text(_shared(ds, "ContrastBolusUsageSequence"), "ContrastBolusAgentAdministered").upper()
    if usage == "NO":
        return ""
    coded = [text(item, "CodeMeaning") or "coded" for item in items(ds, "ContrastBolusAgentSequence")]
    return text(ds, "ContrastBolusAgent") or " ".join(coded)
