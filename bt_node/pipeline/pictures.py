"""The classifier on single files: pictures, DICOM slices, NIfTI volumes. What is known to be unfit is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bt_node.assemble.single import Shown, what_is_shown
from bt_node.assemble.study import read_study
from bt_node.convert.nifti import read_nifti
from bt_node.convert.slices import slices_of_volume, why_not_axial
from bt_node.convert.stack import load_series
from bt_node.domain.errors import GeometryError, PictureError, PixelDataError, UnreadableVolumeError
from bt_node.domain.geometry import ImageArray
from bt_node.domain.study import Plane, Role
from bt_node.domain.tumour import TumourTypeFinding
from bt_node.infer.classifier import Classifier, read_picture
from bt_node.pipeline.tumour_type import CLASSIFIER_SLICES

_DICOM_PREFIX = slice(128, 132)  # PS3.10 7.1
_NIFTI_ENDINGS = (".nii", ".nii.gz")
_KEY = "2.25.1"  # a lone file needs no UID of its own to be found again


@dataclass(frozen=True)
class PictureAnswer:
    """What the classifier said of one file.

    Attributes:
        finding: the tumour type.
        plane: axial where the file says so, None where it cannot say.
        sequence: the same for the sequence.
        note: what is not known about the file, for the reader of the answer; may be empty.
    """

    finding: TumourTypeFinding
    plane: Plane | None
    sequence: Role | None
    note: str


def classify_files(paths: Sequence[Path], classifier: Classifier) -> tuple[PictureAnswer, ...]:
    """One answer for each file, in the order given: PNG, JPEG, DICOM MR (one instance), or NIfTI (one volume).

    Of a DICOM or NIfTI file with several slices, some are chosen from all through it and combined.

    Raises:
        PictureError: a file cannot be read, shows no head, or shows another plane or sequence than the release reads;
            it is named by its place, for names may hold patients.
    """
    answers = []
    for number, path in enumerate(paths, start=1):
        try:
            answers.append(_classify(path, classifier))
        except PictureError as error:
            raise PictureError(f"file {number} of {len(paths)}: {error.detail}") from error
    return tuple(answers)


def _classify(path: Path, classifier: Classifier) -> PictureAnswer:
    wanted = classifier.manifest.input.sequence
    if path.name.lower().endswith(_NIFTI_ENDINGS):
        return PictureAnswer(
            classifier.classify(_slices_of_nifti(path)),
            Plane.AXIAL,
            None,
            _unknown("NIfTI names no sequence", wanted),
        )
    if _is_dicom(path):
        slices, shown = _slices_of_dicom(path, wanted)
        note = "" if shown.role else _unknown(f"the header does not tell the sequence: {shown.reason}", wanted)
        return PictureAnswer(classifier.classify(slices), Plane.AXIAL, shown.role, note)
    finding = classifier.classify([read_picture(path)])
    return PictureAnswer(finding, None, None, _unknown("a picture names neither plane nor sequence", wanted))


def _unknown(why: str, wanted: Role) -> str:
    return f"Holds only if this is an axial {wanted.value} slice ({why})."


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(_DICOM_PREFIX.stop)[_DICOM_PREFIX] == b"DICM"
    except OSError as error:
        raise PictureError(f"the file cannot be read ({type(error).__name__})") from error


def _slices_of_nifti(path: Path) -> list[ImageArray]:
    try:
        volume = read_nifti(path)
    except UnreadableVolumeError as error:
        raise PictureError("the file does not hold one NIfTI volume") from error
    unfit = why_not_axial(volume.grid)
    if unfit:
        raise PictureError(f"the classifier reads axial slices, but {unfit}")
    return slices_of_volume(volume, CLASSIFIER_SLICES)


def _slices_of_dicom(path: Path, wanted: Role) -> tuple[list[ImageArray], Shown]:
    study = read_study({_KEY: path})
    if len(study.series) != 1:
        reasons = "; ".join(aside.reason for aside in study.set_aside) or "it holds several volumes"
        raise PictureError(f"it is not one MR series: {reasons}")
    # A slice that does not state its thickness is a picture all the same.
    series = replace(study.series[0], slice_thickness_mm=study.series[0].slice_thickness_mm or 1.0)
    shown = what_is_shown(study, study.series[0])
    if shown.role not in (None, wanted):
        raise PictureError(f"the classifier reads {wanted.value}, and this is {shown.role} ({shown.reason})")
    if len(series.slices) == 1 and shown.plane is not Plane.AXIAL:
        raise PictureError(f"the classifier reads axial slices, and this one is {shown.plane}")
    try:
        volume = load_series(series, {_KEY: path}).volume
    except GeometryError as error:
        raise PictureError("its slices do not form one volume") from error
    except PixelDataError as error:
        raise PictureError("its pixel data cannot be decoded") from error
    unfit = why_not_axial(volume.grid)
    if unfit:
        raise PictureError(f"the classifier reads axial slices, but {unfit}")
    return slices_of_volume(volume, CLASSIFIER_SLICES), shown
