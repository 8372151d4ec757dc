"""Read the headers of one study into facts; whatever is no usable MR image is set aside with its reason."""

from __future__ import annotations

import logging
import struct
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
)

from bt_node.assemble.frames import (
    Frame,
    UnusableFrameError,
    classic_frames,
    enhanced_frames,
    is_placeless_picture,
)
from bt_node.assemble.parts import split_volumes
from bt_node.assemble.private import wanted_tags
from bt_node.assemble.series import series_facts
from bt_node.assemble.values import integer, modality_in_words, text
from bt_node.domain.errors import SpoolFileMissingError
from bt_node.domain.study import SeriesFacts, SetAside, StudyFacts
from bt_node.domain.uids import is_safe_uid

log = logging.getLogger(__name__)

_READERS: Mapping[str, Callable[[Dataset], tuple[Frame, ...]]] = {
    MRImageStorage: classic_frames,
    EnhancedMRImageStorage: enhanced_frames,
    LegacyConvertedEnhancedMRImageStorage: enhanced_frames,
}

# Only these elements are parsed; the rest of a header is skipped over (half the time of a full read).
_KEYWORDS = (
    *("SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"),
    *("StudyDate", "SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime"),
    *("Modality", "Manufacturer", "StationName", "SeriesDescription", "ProtocolName", "BodyPartExamined"),
    *("SeriesNumber", "InstanceNumber", "AcquisitionNumber", "TemporalPositionIdentifier", "FrameOfReferenceUID"),
    *("ScanningSequence", "SequenceVariant", "ScanOptions", "SequenceName", "PulseSequenceName"),
    *("MRAcquisitionType", "EchoTime", "RepetitionTime", "InversionTime", "FlipAngle", "EchoTrainLength"),
    *("EchoPulseSequence", "EchoPlanarPulseSequence", "InversionRecovery", "DiffusionBValue"),
    *("SteadyStatePulseSequence", "Spoiling", "SpectrallySelectedSuppression", "SpectrallySelectedExcitation"),
    *("PhaseContrast", "TimeOfFlightContrast", "ArterialSpinLabelingContrast"),
    *("ComplexImageComponent", "AcquisitionContrast", "VolumeBasedCalculationTechnique"),
    *("ContrastBolusAgent", "ContrastBolusAgentSequence", "ContrastBolusIngredient", "ContrastBolusVolume"),
    *("ContrastBolusStartTime", "ContrastBolusRoute", "ContrastBolusIngredientCodeSequence"),
    *("StudyDescription", "RequestedProcedureDescription", "PerformedProcedureStepDescription"),
    *("AnatomicRegionSequence", "SliceThickness"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "NumberOfFrames"),
    *("RescaleSlope", "RescaleIntercept", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)
_WANTED = [*(Tag(keyword) for keyword in _KEYWORDS), *wanted_tags()]
# Where these differ between images of one series, its volumes have headers of their own.
_TOLD_APART_BY = (
    "SeriesDescription",
    "ScanningSequence",
    "SequenceName",
    "ContrastBolusAgent",
    "ContrastBolusStartTime",
)
_PIXEL_DATA_TAGS = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10", b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00")


# What pydicom raises for files that are damaged or no DICOM at all.
UNREADABLE = (
    BytesLengthException,
    InvalidDicomError,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    OverflowError,
    RecursionError,
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

    headers: dict[tuple[str, ...], Dataset] = field(default_factory=dict)
    kinds: dict[str, tuple[str, ...]] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)
    instances: int = 0
    unusable: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    number: int | None = None

    def keep(self, ds: Dataset) -> None:
        """Keep one header of each kind: of two volumes in one series, one may be after contrast."""
        kind = tuple(text(ds, keyword) for keyword in _TOLD_APART_BY)
        self.headers.setdefault(kind, ds)
        self.kinds[text(ds, "SOPInstanceUID")] = kind

    def header_of(self, frames: Sequence[Frame]) -> Dataset:
        """The header that most slices of a volume have."""
        counted = Counter(self.kinds[frame.slice.sop_instance_uid] for frame in frames)
        return self.headers[min(counted, key=lambda kind: (-counted[kind], kind))]


@dataclass
class _Collected:
    """Instances sorted into series while they are read."""

    by_series: dict[str, _Series] = field(default_factory=lambda: defaultdict(_Series))
    studies: Counter[str] = field(default_factory=Counter)
    set_aside: list[SetAside] = field(default_factory=list)
    unreadable: Counter[str] = field(default_factory=Counter)

    def take(self, sop_uid: str, path: Path) -> None:
        if not path.is_file():
            raise SpoolFileMissingError(sop_uid)
        try:
            ds, has_pixels = _read_header(path)
        except (OSError, *UNREADABLE) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk, not the file: pydicom's own OSError has no number
            self.unreadable[type(error).__name__] += 1
            self.set_aside.append(SetAside("", None, f"instance {sop_uid} is not a readable DICOM file", 1))
            return
        series_uid = text(ds, "SeriesInstanceUID")
        if not series_uid:
            self.set_aside.append(SetAside("", None, f"instance {sop_uid} ends before its SeriesInstanceUID", 1))
            return
        if not (is_safe_uid(series_uid) and is_safe_uid(text(ds, "StudyInstanceUID"))):
            self.set_aside.append(SetAside("", None, f"instance {sop_uid} has text for UIDs", 1))
            return
        # The caller's UID is the one by which the file is found again.
        ds.add_new("SOPInstanceUID", "UI", sop_uid)
        self.studies[text(ds, "StudyInstanceUID")] += 1
        _sort_in(self.by_series[series_uid], ds, has_pixels=has_pixels)

    def study(self) -> StudyFacts:
        for kind, number in self.unreadable.items():  # one line of the log, not one for each slice
            log.warning("%d instances cannot be parsed: %s", number, kind)
        series: list[SeriesFacts] = []
        set_aside = list(self.set_aside)
        for uid in sorted(self.by_series):
            gathered = self.by_series[uid]
            set_aside += _not_images(uid, gathered)
            if not gathered.headers:
                continue
            if gathered.unusable:
                set_aside.append(SetAside(uid, gathered.number, _damage(gathered), gathered.instances))
                continue
            volumes = split_volumes(gathered.frames)
            series += [series_facts(uid, gathered.header_of(frames), frames) for frames in volumes if frames]
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
    if is_placeless_picture(ds):
        series.others["a derived picture without a place in the patient"] += 1
        return
    series.keep(ds)
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
        return modality_in_words(modality)
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
