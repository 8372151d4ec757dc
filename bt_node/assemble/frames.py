"""One frame of an image and what its header says, read from classic and from multi-frame instances.

Classic MR (PS3.3 A.4) writes everything at the top level; Enhanced and Legacy Converted Enhanced MR (A.36, A.70)
write it into functional groups, where an item of the per-frame sequence overrides one of the shared sequence
(C.7.6.16). Both become the same `Frame`.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from bt_node.assemble.injection import administered
from bt_node.assemble.private import component, philips_classic_header, philips_inversion_time
from bt_node.assemble.values import integer, items, moment, moment_of_datetime, number, numbers, text, texts
from bt_node.domain.study import SliceFacts


@dataclass(frozen=True)
class Frame:
    """One slice with the acquisition facts that may differ between frames of one series. Times in ms."""

    slice: SliceFacts
    image_type: tuple[str, ...] = ()
    echo_time_ms: float | None = None
    repetition_time_ms: float | None = None
    inversion_time_ms: float | None = None
    flip_angle_deg: float | None = None
    echo_train_length: int | None = None
    b_value: float | None = None
    temporal_index: int | None = None
    acquisition_number: int | None = None
    acquired_at_s: float | None = None
    thickness_mm: float | None = None
    contrast_given: bool | None = None
    acquisition_contrast: str = ""


class UnusableFrameError(Exception):
    """An MR image instance whose header does not place it in the patient. Carries the reason, without free text."""


_VECTOR, _COSINES, _PAIR = 3, 6, 2
_LARGEST_MATRIX = 0xFFFF  # VR US
_SHORTEST_MM, _LONGEST_MM = 0.01, 1000.0  # of pixels and slices; whole-body scans are far inside
_FARTHEST_MM = 10_000.0  # from the magnet's centre
# Pixels have 16 bits (some 32); beyond these the float32 of a volume, or its squares, overflow or vanish.
_LARGEST_SLOPE, _LARGEST_INTERCEPT = 1e9, 1e12
_TWO_FIRST = 2  # values of ImageType: pixel data and patient examination characteristics (PS3.3 C.7.6.1.1.2)


def is_placeless_picture(ds: Dataset) -> bool:
    """Whether a classic MR instance is a screenshot, a curve or a table: made from images, nowhere in the patient.

    It never was a slice, so its series lacks none. One that says ORIGINAL has lost its place and is no such picture.
    """
    made = {word.upper() for word in texts(ds, "ImageType")[:_TWO_FIRST]} & {"DERIVED", "SECONDARY"}
    placed = any(texts(ds, keyword) for keyword in ("ImagePositionPatient", "ImageOrientationPatient"))
    return bool(made) and not placed and text(ds, "SOPClassUID") == MRImageStorage


def classic_frames(ds: Dataset) -> tuple[Frame, ...]:
    """The single frame of a classic MR Image instance.

    Raises:
        UnusableFrameError: position, orientation, pixel spacing or matrix is missing.
    """
    place = _Place(ds, ds, ds)
    return (
        Frame(
            slice=place.slice_facts(ds, 0, integer(ds, "InstanceNumber"), ds),
            image_type=_with(_words(ds, "ImageType"), _component(ds, Dataset()) or component(ds)),
            echo_time_ms=_positive(number(ds, "EchoTime")),
            repetition_time_ms=number(ds, "RepetitionTime"),
            inversion_time_ms=_positive(number(ds, "InversionTime")),
            flip_angle_deg=number(ds, "FlipAngle"),
            echo_train_length=integer(ds, "EchoTrainLength"),
            b_value=number(ds, "DiffusionBValue"),
            temporal_index=integer(ds, "TemporalPositionIdentifier"),
            acquisition_number=integer(ds, "AcquisitionNumber"),
            acquired_at_s=acquisition_moment(ds),
            thickness_mm=_thickness(number(ds, "SliceThickness")),
        ),
    )


def enhanced_frames(ds: Dataset) -> tuple[Frame, ...]:
    """All frames of an Enhanced or Legacy Converted Enhanced MR instance, in the order of the pixel data.

    Raises:
        UnusableFrameError: the functional groups do not place each frame.
    """
    per_frame = items(ds, "PerFrameFunctionalGroupsSequence")
    expected = integer(ds, "NumberOfFrames") or len(per_frame)
    if not per_frame or expected != len(per_frame):
        raise UnusableFrameError(f"{expected} frames, but functional groups for {len(per_frame)}")
    shared = next(iter(items(ds, "SharedFunctionalGroupsSequence")), Dataset())
    return tuple(_enhanced_frame(ds, _Groups(shared, item), index) for index, item in enumerate(per_frame))


@dataclass(frozen=True)
class _Groups:
    """Functional groups of one frame: its own first, else the shared ones."""

    shared: Dataset
    own: Dataset

    def __call__(self, keyword: str) -> Dataset:
        found = self.all(keyword)
        return found[0] if found else Dataset()

    def all(self, keyword: str) -> tuple[Dataset, ...]:
        """Items of a group that may hold several, such as one for each contrast agent."""
        return items(self.own, keyword) or items(self.shared, keyword)


def _enhanced_frame(ds: Dataset, group: _Groups, index: int) -> Frame:
    content = group("FrameContentSequence")
    timing = group("MRTimingAndRelatedParametersSequence")
    frame_type = group("MRImageFrameTypeSequence")
    measures = group("PixelMeasuresSequence")
    place = _Place(group("PlanePositionSequence"), group("PlaneOrientationSequence"), measures)
    # Legacy Converted objects may keep the classic attributes at the top level (PS3.3 C.8.13.1), Philips keeps them
    # in a private item of each frame.
    classic = (ds, philips_classic_header(group.own))
    echo_time = _positive(number(group("MREchoSequence"), "EffectiveEchoTime"))
    return Frame(
        slice=place.slice_facts(ds, index, index + 1, group("PixelValueTransformationSequence")),
        image_type=_with(
            _words(frame_type, "FrameType") or _words(ds, "ImageType"),
            _component(frame_type, ds),
            _calculated(frame_type, ds),
        ),
        echo_time_ms=echo_time or _positive(_first(classic, "EchoTime")),
        repetition_time_ms=number(timing, "RepetitionTime") or _first(classic, "RepetitionTime"),
        inversion_time_ms=_inversion_time(group("MRModifierSequence"), classic),
        flip_angle_deg=number(timing, "FlipAngle") or _first(classic, "FlipAngle"),
        echo_train_length=integer(timing, "RFEchoTrainLength")
        or _whole(_first((timing, *classic), "EchoTrainLength")),
        b_value=number(group("MRDiffusionSequence"), "DiffusionBValue"),
        temporal_index=integer(content, "TemporalPositionIndex"),
        acquisition_number=integer(content, "FrameAcquisitionNumber"),
        acquired_at_s=_frame_moment(content, ds),
        thickness_mm=_thickness(number(measures, "SliceThickness")),
        contrast_given=administered(group.all("ContrastBolusUsageSequence")),
        acquisition_contrast=(text(frame_type, "AcquisitionContrast") or text(ds, "AcquisitionContrast")).upper(),
    )


def _first(holders: tuple[Dataset, ...], keyword: str) -> float | None:
    return next((value for holder in holders if (value := number(holder, keyword)) is not None), None)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _frame_moment(content: Dataset, ds: Dataset) -> float | None:
    for keyword in ("FrameAcquisitionDateTime", "FrameReferenceDateTime"):
        found = moment_of_datetime(text(content, keyword))
        if found is not None:
            return found
    return acquisition_moment(ds)


def _inversion_time(modifier: Dataset, classic: tuple[Dataset, ...]) -> float | None:
    several = numbers(modifier, "InversionTimes")
    if several:
        return _positive(several[0])
    return _positive(_first(classic, "InversionTime")) or _positive(philips_inversion_time(classic[0]))


def _component(frame_type: Dataset, ds: Dataset) -> str:
    """PHASE, REAL or IMAGINARY of ComplexImageComponent (PS3.3 C.8.13.3.1.1); magnitude and silence are empty."""
    said = (text(frame_type, "ComplexImageComponent") or text(ds, "ComplexImageComponent")).upper()
    return said if said in {"PHASE", "REAL", "IMAGINARY"} else ""


def _calculated(frame_type: Dataset, ds: Dataset) -> str:
    """MAX_IP, MPR and the like of VolumeBasedCalculationTechnique (PS3.3 C.8.16.2.1.3)."""
    keyword = "VolumeBasedCalculationTechnique"
    said = (text(frame_type, keyword) or text(ds, keyword)).upper()
    return said if said not in {"NONE", "MIXED"} else ""


def _with(image_type: tuple[str, ...], *more: str) -> tuple[str, ...]:
    return (*image_type, *(word for word in more if word and word not in image_type))


@dataclass(frozen=True)
class _Place:
    """Where position, orientation and pixel measures of one frame stand."""

    position: Dataset
    orientation: Dataset
    measures: Dataset

    def slice_facts(self, ds: Dataset, frame: int, number_shown: int | None, rescale: Dataset) -> SliceFacts:
        position = numbers(self.position, "ImagePositionPatient")
        orientation = numbers(self.orientation, "ImageOrientationPatient")
        spacing = numbers(self.measures, "PixelSpacing")
        rows, columns = integer(ds, "Rows"), integer(ds, "Columns")
        if len(position) != _VECTOR or len(orientation) != _COSINES:
            raise UnusableFrameError("no ImagePositionPatient or ImageOrientationPatient")
        if not _are_cosines(orientation):
            raise UnusableFrameError("ImageOrientationPatient is not two perpendicular unit vectors")
        if len(spacing) != _PAIR or min(spacing) <= 0:
            raise UnusableFrameError("no PixelSpacing")
        if not all(_is_length(value) for value in spacing):
            raise UnusableFrameError(f"PixelSpacing is no length of a scanner ({spacing[0]:g} × {spacing[1]:g} mm)")
        if max(map(abs, position)) > _FARTHEST_MM:
            raise UnusableFrameError(f"ImagePositionPatient lies more than {_FARTHEST_MM / 1000:g} m away")
        if rows is None or columns is None or not 0 < min(rows, columns) <= max(rows, columns) <= _LARGEST_MATRIX:
            raise UnusableFrameError("no image matrix (Rows, Columns)")
        slope, intercept = _rescaling(rescale, "RescaleSlope", 1.0), _rescaling(rescale, "RescaleIntercept", 0.0)
        if slope == 0:
            raise UnusableFrameError("RescaleSlope is 0, so that every pixel has the same value")
        if not 1 / _LARGEST_SLOPE <= abs(slope) <= _LARGEST_SLOPE:
            raise UnusableFrameError(f"RescaleSlope {slope:g} leaves nothing of the pixels")
        if abs(intercept) > _LARGEST_INTERCEPT:
            raise UnusableFrameError(f"RescaleIntercept {intercept:g} leaves nothing of the pixels")
        return SliceFacts(
            sop_instance_uid=text(ds, "SOPInstanceUID"),
            frame=frame,
            position=(position[0], position[1], position[2]),
            orientation=(
                orientation[0],
                orientation[1],
                orientation[2],
                orientation[3],
                orientation[4],
                orientation[5],
            ),
            pixel_spacing=(spacing[0], spacing[1]),
            rows=rows,
            columns=columns,
            slope=slope,
            intercept=intercept,
            instance_number=number_shown,
        )


def _rescaling(ds: Dataset, keyword: str, absent: float) -> float:
    """A number of the pixel transformation; `absent` only where there is no value: text is not none.

    Raises:
        UnusableFrameError: the value is not a number.
    """
    value = number(ds, keyword)
    if value is None and texts(ds, keyword):
        raise UnusableFrameError(f"{keyword} is not a number")
    return absent if value is None else value


_COSINE_TOLERANCE = 1e-2  # catches zeros and garbage; the stack is judged more strictly where it is built


def _are_cosines(orientation: tuple[float, ...]) -> bool:
    row, column = orientation[:3], orientation[3:]
    lengths = [sum(v * v for v in vector) for vector in (row, column)]
    across = sum(a * b for a, b in zip(row, column, strict=True))
    return all(abs(length - 1) < _COSINE_TOLERANCE for length in lengths) and abs(across) < _COSINE_TOLERANCE


def acquisition_moment(ds: Dataset) -> float | None:
    """When the data were taken, in seconds since 1970, from the best element that is there; None if none is.

    SeriesTime is the last resort: on some scanners it is the time of reconstruction.
    """
    found = moment_of_datetime(text(ds, "AcquisitionDateTime"))
    for date, time in (
        ("AcquisitionDate", "AcquisitionTime"),
        ("SeriesDate", "AcquisitionTime"),
        ("StudyDate", "AcquisitionTime"),
        ("SeriesDate", "SeriesTime"),
    ):
        if found is None:
            found = moment(text(ds, date), text(ds, time))
    return found


def _is_length(value: float) -> bool:
    return _SHORTEST_MM <= value <= _LONGEST_MM


def _thickness(value: float | None) -> float | None:
    return value if value is not None and _is_length(value) else None


def _positive(value: float | None) -> float | None:
    return value if value is not None and value > 0 else None


def _words(ds: Dataset, keyword: str) -> tuple[str, ...]:
    return tuple(word.upper() for word in texts(ds, keyword))
