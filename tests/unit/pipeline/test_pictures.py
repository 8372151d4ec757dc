"""Single files: another plane or sequence is refused where the file tells; the answer says what it cannot tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_builder import write_series
from PIL import Image
from tiny_models import fixed_classifier

from bt_node.convert.nifti import write_nifti
from bt_node.domain.errors import PictureError
from bt_node.domain.geometry import Grid, Volume
from bt_node.domain.study import Plane, Role
from bt_node.domain.tumour import TumourType
from bt_node.pipeline.pictures import PictureAnswer, classify_files

CLASSIFIER = fixed_classifier()
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
SAGITTAL = (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
T1C = {"SeriesDescription": "T1W SE ax +Gd", "EchoTime": 12.0, "RepetitionTime": 520.0, "ScanningSequence": "SE"}
T1 = T1C | {"SeriesDescription": "T1W SE ax"}
T2 = T1C | {"SeriesDescription": "T2W TSE ax", "EchoTime": 100.0, "RepetitionTime": 4500.0}


def ball(slices: int = 1, direction: tuple[float, ...] = AXIAL, slice_mm: float = 5.0) -> Volume:
    grid = Grid((slices, 40, 40), (4.0, 4.0, slice_mm), (0.0, 0.0, 0.0), direction)
    y, x = np.mgrid[:40, :40]
    inside = np.hypot(y - 20, x - 20) < 15
    array = np.repeat((inside * (300 + x + y))[None], slices, axis=0).astype(np.float32)
    return Volume(array, grid)


def dicom(folder: Path, volume: Volume, **attributes: Any) -> Path:
    return write_series(folder, volume, **attributes)[0]


def classify(*paths: Path) -> tuple[PictureAnswer, ...]:
    return classify_files(paths, CLASSIFIER)


def test_an_axial_t1c_slice_is_answered_without_a_remark(tmp_path: Path) -> None:
    (answer,) = classify(dicom(tmp_path, ball(), **T1C))
    assert (answer.plane, answer.sequence, answer.note) == (Plane.AXIAL, Role.T1C, "")
    assert answer.finding.top is TumourType.GLIOMA
    assert answer.finding.slices_used == 1


def test_a_t1_whose_contrast_nobody_states_is_answered_with_that_said(tmp_path: Path) -> None:
    (answer,) = classify(dicom(tmp_path, ball(), **T1))
    assert answer.sequence is None
    assert "Holds only if this is an axial T1C slice" in answer.note
    assert "contrast is not stated" in answer.note


def test_a_contrast_agent_in_the_header_makes_it_a_t1c(tmp_path: Path) -> None:
    (answer,) = classify(dicom(tmp_path, ball(), **T1, ContrastBolusAgent="Gadolinium"))
    assert answer.sequence is Role.T1C


@pytest.mark.parametrize(
    ("volume", "attributes", "words"),
    [
        (ball(), T2, "reads T1C, and this is T2"),
        (ball(), T1C | {"SeriesDescription": "T1 native"}, "reads T1C, and this is T1"),
        (ball(direction=SAGITTAL), T1C, "reads axial slices, and this one is sagittal"),
        (ball(), T1C | {"Modality": "CT"}, "not an MR image"),
    ],
    ids=["T2", "without contrast", "sagittal", "CT"],
)
def test_a_slice_of_another_kind_is_refused_with_the_reason(
    tmp_path: Path, volume: Volume, attributes: dict[str, Any], words: str
) -> None:
    path = dicom(tmp_path, volume, **attributes)
    with pytest.raises(PictureError, match=words):
        classify(path)


def test_a_volume_is_classified_on_several_slices_and_its_sequence_is_unknown(tmp_path: Path) -> None:
    write_nifti(tmp_path / "axial.nii.gz", ball(40))
    (answer,) = classify(tmp_path / "axial.nii.gz")
    assert (answer.finding.slices_used, answer.plane, answer.sequence) == (9, Plane.AXIAL, None)
    assert "NIfTI names no sequence" in answer.note


def test_a_volume_of_thick_sagittal_slices_is_refused_and_one_of_thin_slices_is_cut_axial(tmp_path: Path) -> None:
    write_nifti(tmp_path / "thin.nii", ball(60, SAGITTAL, 1.0))
    assert classify(tmp_path / "thin.nii")[0].finding.slices_used > 1
    write_nifti(tmp_path / "thick.nii", ball(20, SAGITTAL, 5.0))
    with pytest.raises(PictureError, match=r"sagittal and 5\.0 mm apart"):
        classify(tmp_path / "thick.nii")


def test_a_bare_picture_says_that_it_cannot_tell(tmp_path: Path) -> None:
    Image.fromarray(ball().array[0].astype(np.uint8)).save(tmp_path / "a.png")
    (answer,) = classify(tmp_path / "a.png")
    assert (answer.plane, answer.sequence) == (None, None)
    assert "a picture names neither plane nor sequence" in answer.note


def test_each_file_gets_its_own_answer_in_the_order_given(tmp_path: Path) -> None:
    Image.fromarray(ball().array[0].astype(np.uint8)).save(tmp_path / "a.png")
    answers = classify(tmp_path / "a.png", dicom(tmp_path / "d", ball(), **T1C), tmp_path / "a.png")
    assert [answer.sequence for answer in answers] == [None, Role.T1C, None]


@pytest.mark.parametrize("ending", ["png", "nii.gz"])
def test_a_file_that_cannot_be_classified_is_named_by_its_place(tmp_path: Path, ending: str) -> None:
    good = dicom(tmp_path, ball(), **T1C)
    bad = tmp_path / f"DOE_JANE.{ending}"
    bad.write_bytes(b"nothing")
    with pytest.raises(PictureError, match="file 2 of 2: ") as caught:
        classify(good, bad)
    assert "DOE" not in str(caught.value)
