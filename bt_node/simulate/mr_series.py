"""Writing a volume as a classic MR series: one file per slice, with the headers a scanner would give it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

from bt_node.domain.geometry import Grid
from bt_node.simulate.uids import repeatable_uid

STUDY_DATE = "20260105"
_IMPLEMENTATION = UID("2.25.207421398455164287034612948311043275522")
_PIXEL_MAX = 4095  # 12 bits stored


@dataclass(frozen=True)
class Patient:
    """Who the phantom pretends to be. Text of this kind must never reach logs or the job book."""

    name: str = "PHANTOM^BRAIN"
    patient_id: str = "BTN-PHANTOM"
    birth_date: str = "19700101"
    sex: str = "O"


@dataclass(frozen=True)
class Protocol:
    """How a series says it was taken. Times in ms; `acquired` is HHMMSS."""

    number: int
    description: str
    acquired: str
    echo_time: float
    repetition_time: float
    inversion_time: float | None = None
    scanning_sequence: str | Sequence[str] = "SE"
    sequence_variant: str | Sequence[str] = "NONE"
    echo_train_length: int = 1
    contrast_agent: str | None = None
    image_type: Sequence[str] = ("ORIGINAL", "PRIMARY", "M", "SE")


@dataclass(frozen=True)
class PhantomSeries:
    """One written series; `paths` and `sop_instance_uids` run along the grid's z axis (slice by slice)."""

    series_instance_uid: str
    number: int
    folder: Path
    paths: tuple[Path, ...]
    sop_instance_uids: tuple[str, ...]


@dataclass(frozen=True)
class StudyHeader:
    """What all series of the study share. `key` makes the UIDs: other content needs another key."""

    key: str
    patient: Patient
    study_instance_uid: str
    frame_of_reference_uid: str
    study_date: str = STUDY_DATE


def write_series(
    folder: Path, header: StudyHeader, protocol: Protocol, blocks: Sequence[tuple[npt.NDArray[np.float32], Grid]]
) -> PhantomSeries:
    """Write blocks of parallel slices (one block for a volume, three for a survey) as one MR series.

    Args:
        folder: made when absent; files are named 0001.dcm and on.
        header: what the study's series share.
        protocol: what the series' headers say.
        blocks: arrays (Z, Y, X) in scanner units, each on its grid (world, LPS mm).
    """
    folder.mkdir(parents=True, exist_ok=True)
    series_uid = repeatable_uid(header.key, "series", protocol.number)
    peak = max(float(np.percentile(array, 99.9)) for array, _ in blocks)
    paths: list[Path] = []
    uids: list[str] = []
    for array, grid in blocks:
        for plane in range(grid.shape[0]):
            number = len(paths) + 1
            dataset = _slice(header, protocol, array[plane], grid, plane)
            dataset.SOPInstanceUID = repeatable_uid(header.key, "instance", protocol.number, number)
            dataset.SeriesInstanceUID = series_uid
            dataset.InstanceNumber = number
            dataset.WindowCenter, dataset.WindowWidth = round(peak * 0.3), round(peak * 0.6)
            path = folder / f"{number:04d}.dcm"
            _save(dataset, path)
            paths.append(path)
            uids.append(str(dataset.SOPInstanceUID))
    return PhantomSeries(series_uid, protocol.number, folder, tuple(paths), tuple(uids))


def _slice(
    header: StudyHeader, protocol: Protocol, pixels: npt.NDArray[np.float32], grid: Grid, plane: int
) -> Dataset:
    dataset = Dataset()
    _describe_study(dataset, header)
    _describe_sequence(dataset, protocol)
    _place(dataset, grid, plane)
    dataset.FrameOfReferenceUID = header.frame_of_reference_uid
    dataset.PositionReferenceIndicator = ""
    stored = np.clip(np.rint(pixels), 0, _PIXEL_MAX).astype("<u2")
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.add_new("PixelData", "OW", stored.tobytes())
    return dataset


def _describe_study(dataset: Dataset, header: StudyHeader) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = MRImageStorage
    dataset.PatientName = header.patient.name
    dataset.PatientID = header.patient.patient_id
    dataset.PatientBirthDate = header.patient.birth_date
    dataset.PatientSex = header.patient.sex
    dataset.StudyInstanceUID = header.study_instance_uid
    dataset.StudyID = "1"
    dataset.StudyDate, dataset.StudyTime = header.study_date, "100000"
    dataset.StudyDescription = "Simulated brain, not a patient"
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.Manufacturer = "bt-node simulator"
    dataset.ManufacturerModelName = "phantom"
    dataset.MagneticFieldStrength = 1.5
    dataset.Modality = "MR"
    dataset.BodyPartExamined = "BRAIN"
    dataset.PatientPosition = "HFS"


def _describe_sequence(dataset: Dataset, protocol: Protocol) -> None:
    dataset.SeriesNumber = protocol.number
    dataset.SeriesDescription = protocol.description
    dataset.ProtocolName = protocol.description
    dataset.ImageType = list(protocol.image_type)
    dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = dataset.StudyDate
    dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = protocol.acquired
    dataset.AcquisitionNumber = 1
    dataset.ScanningSequence = protocol.scanning_sequence
    dataset.SequenceVariant = protocol.sequence_variant
    dataset.ScanOptions = ""
    dataset.MRAcquisitionType = "2D"
    dataset.EchoTime = protocol.echo_time
    dataset.RepetitionTime = protocol.repetition_time
    dataset.EchoTrainLength = protocol.echo_train_length
    dataset.FlipAngle = 90
    if protocol.inversion_time is not None:
        dataset.InversionTime = protocol.inversion_time
    if protocol.contrast_agent is not None:
        dataset.ContrastBolusAgent = protocol.contrast_agent


def _place(dataset: Dataset, grid: Grid, plane: int) -> None:
    """Image Plane Module (PS3.3 C.7.6.2): the first two direction columns are the row and column directions."""
    direction = grid.direction_matrix
    dataset.ImageOrientationPatient = [_decimal(v) for v in (*direction[:, 0], *direction[:, 1])]
    dataset.ImagePositionPatient = [_decimal(v) for v in grid.index_to_world((plane, 0, 0))]
    dataset.PixelSpacing = [_decimal(grid.spacing[1]), _decimal(grid.spacing[0])]
    dataset.SliceThickness = _decimal(grid.spacing[2])
    dataset.SpacingBetweenSlices = _decimal(grid.spacing[2])


def _decimal(value: float) -> str:
    """A DS value: at most 16 characters (PS3.5 6.2)."""
    return f"{value:.10f}"[:16].rstrip("0").rstrip(".") or "0"


def _save(dataset: Dataset, path: Path) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _IMPLEMENTATION
    meta.ImplementationVersionName = "BT_NODE_SIMULATE"
    dataset.file_meta = meta
    dataset.save_as(path, enforce_file_format=True)
