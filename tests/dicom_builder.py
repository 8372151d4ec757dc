"""MR series as DICOM files, made from a `Volume`, for tests of every stage.

The geometry written is the volume's own grid, so whoever reads the files must come back to `volume.grid`; the
stored integers are chosen so that RescaleSlope × stored + RescaleIntercept is the volume's intensity (rounded to
whole steps). Everything is deterministic: the same arguments give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)
from pydicom.valuerep import DSfloat

from bt_node.domain.geometry import Grid, Volume

STUDY_UID = "1.2.826.0.1.3680043.8.498.1"
FRAME_OF_REFERENCE_UID = "1.2.826.0.1.3680043.8.498.1.99"
_NATIVE = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"}


def made_uid(*parts: object) -> str:
    """A valid UID that depends on nothing but `parts`."""
    return str(generate_uid(entropy_srcs=[str(part) for part in parts]))


def ramp_volume(grid: Grid | None = None, *, top: int = 2000, seed: int = 1) -> Volume:
    """A volume whose voxels nearly all differ (whole numbers 0 to `top`): flips and shifts cannot hide in it."""
    grid = grid or Grid(shape=(6, 10, 12), spacing=(0.9, 1.1, 3.0), origin=(-40.0, -50.0, -20.0))
    noise = np.random.default_rng(seed).integers(0, top, size=grid.shape)
    return Volume(noise.astype(np.float32), grid)


def oblique_grid(
    shape: tuple[int, int, int] = (6, 10, 12),
    spacing: tuple[float, float, float] = (0.9, 1.1, 3.0),
    origin: tuple[float, float, float] = (-41.3, -52.7, -18.9),
    angles_deg: tuple[float, float, float] = (12.0, -17.0, 31.0),
) -> Grid:
    """A right-handed grid turned about x, then y, then z by `angles_deg`."""
    ax, ay, az = np.deg2rad(angles_deg)
    rx = np.array([[1, 0, 0], [0, np.cos(ax), -np.sin(ax)], [0, np.sin(ax), np.cos(ax)]])
    ry = np.array([[np.cos(ay), 0, np.sin(ay)], [0, 1, 0], [-np.sin(ay), 0, np.cos(ay)]])
    rz = np.array([[np.cos(az), -np.sin(az), 0], [np.sin(az), np.cos(az), 0], [0, 0, 1]])
    return Grid(shape, spacing, origin, tuple(float(v) for v in (rz @ ry @ rx).ravel()))


def write_series(
    folder: Path,
    volume: Volume,
    *,
    study_uid: str = STUDY_UID,
    series_uid: str = "",
    series_number: int = 1,
    transfer_syntax: str = ExplicitVRLittleEndian,
    **attributes: Any,
) -> list[Path]:
    """Write one classic MR series, one file per slice, file k holding plane k of the volume.

    Args:
        folder: made when absent; files are named by plane and series number.
        volume: intensities and grid; the grid's third axis must be the right-handed normal.
        study_uid: StudyInstanceUID.
        series_uid: StudyInstanceUID and series number decide it when empty.
        series_number: SeriesNumber.
        transfer_syntax: native syntaxes, Deflated, RLE, JPEG-LS and JPEG 2000 lossless.
        **attributes: DICOM keywords. A callable is given the plane's index; None removes the element.

    Returns:
        Paths in the order of the planes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    series_uid = series_uid or made_uid(study_uid, series_number)
    paths = []
    for plane in range(volume.grid.shape[0]):
        ds = _header(study_uid, series_uid, series_number, MRImageStorage, made_uid(series_uid, plane))
        _classic_geometry(ds, volume.grid, plane)
        _apply(ds, attributes, plane)
        _pixels(ds, volume.array[plane : plane + 1])
        paths.append(_save(ds, folder / f"s{series_number:04d}_{plane:04d}.dcm", transfer_syntax))
    return paths


def write_enhanced(
    folder: Path,
    volume: Volume,
    *,
    study_uid: str = STUDY_UID,
    series_uid: str = "",
    series_number: int = 1,
    transfer_syntax: str = ExplicitVRLittleEndian,
    sop_class: str = EnhancedMRImageStorage,
    order: Sequence[int] | None = None,
    slopes: Sequence[float] | None = None,
    measures_per_frame: bool = False,
    echo_time_ms: float = 10.0,
    repetition_time_ms: float = 500.0,
    inversion_time_ms: float | None = None,
    **attributes: Any,
) -> Path:
    """Write one Enhanced (or Legacy Converted Enhanced) MR multi-frame file holding the whole volume.

    Args:
        folder: made when absent.
        volume: intensities and grid.
        study_uid: StudyInstanceUID.
        series_uid: StudyInstanceUID and series number decide it when empty.
        series_number: SeriesNumber.
        transfer_syntax: as for `write_series`.
        sop_class: Enhanced MR, or Legacy Converted Enhanced MR Image Storage.
        order: the planes in the order of the frames; planes ascend when None.
        slopes: RescaleSlope of each plane in the per-frame functional groups (intercept 0); 1 when None.
        measures_per_frame: put pixel spacing and orientation into each frame's groups instead of the shared ones.
        echo_time_ms: EffectiveEchoTime, shared.
        repetition_time_ms: RepetitionTime, shared.
        inversion_time_ms: InversionTimes, shared; absent when None.
        **attributes: keywords for the top level of the data set; None removes the element.
    """
    folder.mkdir(parents=True, exist_ok=True)
    series_uid = series_uid or made_uid(study_uid, series_number)
    planes = list(order) if order is not None else list(range(volume.grid.shape[0]))
    steps = np.asarray(slopes if slopes is not None else np.ones(volume.grid.shape[0]), dtype=np.float64)
    ds = _header(study_uid, series_uid, series_number, sop_class, made_uid(series_uid, "enhanced"))
    ds.NumberOfFrames = len(planes)
    ds.AcquisitionDateTime = ds.AcquisitionDate + ds.AcquisitionTime
    del ds.AcquisitionDate, ds.AcquisitionTime
    shared = Dataset()
    placed = Dataset()
    placed.PlaneOrientationSequence = _item(ImageOrientationPatient=_orientation(volume.grid))
    placed.PixelMeasuresSequence = _item(**_measures(volume.grid))
    if not measures_per_frame:
        shared.update(placed)
    shared.MRTimingAndRelatedParametersSequence = _item(
        RepetitionTime=repetition_time_ms, FlipAngle=90.0, RFEchoTrainLength=1, GradientEchoTrainLength=0
    )
    shared.MREchoSequence = _item(EffectiveEchoTime=echo_time_ms)
    inversion = {"InversionTimes": [inversion_time_ms]} if inversion_time_ms is not None else {}
    shared.MRModifierSequence = _item(InversionRecovery="YES" if inversion else "NO", **inversion)
    ds.SharedFunctionalGroupsSequence = DicomSequence([shared])
    ds.PerFrameFunctionalGroupsSequence = DicomSequence(
        [_frame(volume.grid, plane, float(steps[plane]), ds) for plane in planes]
    )
    if measures_per_frame:
        for frame in ds.PerFrameFunctionalGroupsSequence:
            frame.update(placed)
    _apply(ds, attributes, 0)
    ds.pop("RescaleSlope", None)
    ds.pop("RescaleIntercept", None)
    stored = volume.array[planes].astype(np.float64) / steps[planes][:, None, None]
    _pixels(ds, stored)
    return _save(ds, folder / f"s{series_number:04d}_enhanced.dcm", transfer_syntax)


def _item(**values: Any) -> DicomSequence:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return DicomSequence([item])


def _frame(grid: Grid, plane: int, slope: float, ds: Dataset) -> Dataset:
    frame = Dataset()
    frame.FrameContentSequence = _item(
        StackID="1",
        InStackPositionNumber=plane + 1,
        DimensionIndexValues=[1, plane + 1],
        FrameAcquisitionDateTime=ds.AcquisitionDateTime,
    )
    frame.PlanePositionSequence = _item(ImagePositionPatient=_position(grid, plane))
    frame.PixelValueTransformationSequence = _item(
        RescaleSlope=DSfloat(slope, auto_format=True), RescaleIntercept="0", RescaleType="US"
    )
    return frame


def _header(study_uid: str, series_uid: str, series_number: int, sop_class: str, sop_uid: str) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = sop_class
    ds.file_meta.MediaStorageSOPInstanceUID = sop_uid
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = sop_uid
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20200101"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = f"12{series_number % 60:02d}00"
    ds.AccessionNumber = ""
    ds.Modality = "MR"
    ds.Manufacturer = "Builder"
    ds.ReferringPhysicianName = ""
    ds.PatientName = "Doe^Jane"
    ds.PatientID = "DOE-1"
    ds.PatientBirthDate = "19700101"
    ds.PatientSex = "F"
    ds.BodyPartExamined = "BRAIN"
    ds.PatientPosition = "HFS"
    ds.StudyInstanceUID = study_uid
    ds.SeriesInstanceUID = series_uid
    ds.StudyID = "1"
    ds.SeriesNumber = series_number
    ds.FrameOfReferenceUID = FRAME_OF_REFERENCE_UID
    ds.PositionReferenceIndicator = ""
    ds.MRAcquisitionType = "2D"
    return ds


def _orientation(grid: Grid) -> list[DSfloat]:
    matrix = grid.direction_matrix
    return [DSfloat(float(v), auto_format=True) for v in (*matrix[:, 0], *matrix[:, 1])]


def _position(grid: Grid, plane: int) -> list[DSfloat]:
    return [DSfloat(float(v), auto_format=True) for v in grid.index_to_world((plane, 0, 0))]


def _measures(grid: Grid) -> dict[str, Any]:
    columns, rows, thickness = (DSfloat(float(v), auto_format=True) for v in grid.spacing)
    # PixelSpacing is (between rows, between columns): the reverse of (x, y) (PS3.3 10.7.1.3).
    return {"PixelSpacing": [rows, columns], "SliceThickness": thickness, "SpacingBetweenSlices": thickness}


def _classic_geometry(ds: Dataset, grid: Grid, plane: int) -> None:
    ds.InstanceNumber = plane + 1
    ds.ImageOrientationPatient = _orientation(grid)
    ds.ImagePositionPatient = _position(grid, plane)
    for keyword, value in _measures(grid).items():
        setattr(ds, keyword, value)
    ds.ScanningSequence = "SE"
    ds.SequenceVariant = "NONE"
    ds.ScanOptions = ""
    ds.EchoTime = "10"
    ds.RepetitionTime = "500"
    ds.EchoTrainLength = "1"


def _apply(ds: Dataset, attributes: dict[str, Any | Callable[[int], Any]], plane: int) -> None:
    for keyword, given in attributes.items():
        value = given(plane) if callable(given) else given
        if value is None:
            ds.pop(keyword, None)
        else:
            setattr(ds, keyword, value)


def _pixels(ds: Dataset, frames: np.ndarray) -> None:
    """Store frames (frame, Y, X) as integers, undoing the slope and intercept of the header."""
    slope, intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", 0))
    signed = int(ds.get("PixelRepresentation", 0))
    stored = np.rint((frames.astype(np.float64) - intercept) / slope).astype(np.int16 if signed else np.uint16)
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = ds.get("PhotometricInterpretation", "MONOCHROME2")
    ds.Rows, ds.Columns = frames.shape[1:]
    ds.BitsAllocated = 16
    ds.BitsStored = int(ds.get("BitsStored", 16))
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = signed
    ds.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    ds["PixelData"].VR = "OW"


def _save(ds: Dataset, path: Path, transfer_syntax: str) -> Path:
    if transfer_syntax in _NATIVE:
        ds.file_meta.TransferSyntaxUID = transfer_syntax
        if transfer_syntax == "1.2.840.10008.1.2.2":  # Explicit VR Big Endian
            ds.PixelData = np.frombuffer(ds.PixelData, dtype="<u2").astype(">u2").tobytes()
    else:
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.compress(transfer_syntax, generate_instance_uid=False)
    ds.save_as(path, enforce_file_format=True)
    return path
