"""Figshare's brain tumour set as it is handed out: one MATLAB v7.3 file a slice (Cheng 2017).

doi:10.6084/m9.figshare.1512427. Such a file is HDF5 with the struct `cjdata`: label (1 meningioma, 2 glioma,
3 pituitary tumour), PID (the patient, as character codes), image, tumorBorder, tumorMask. MATLAB counts columns
first, so that HDF5 shows every array transposed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np

from bt_node.domain.errors import PictureError
from bt_node.domain.geometry import ImageArray
from bt_node.domain.tumour import TumourType
from training.classifier.pictures import Entry
from training.classifier.tables import pseudonym

SUFFIX = ".mat"
NOT_SLICES = frozenset({"cvind.mat"})  # the set's own list of five folds
_KINDS = {1: TumourType.MENINGIOMA, 2: TumourType.GLIOMA, 3: TumourType.PITUITARY}
_Result = TypeVar("_Result")


def read_entry(folder: Path, path: str) -> Entry:
    """Class and patient of one file; the patient only as a pseudonym.

    Raises:
        PictureError: damaged, not MATLAB v7.3, without cjdata, or of an unknown label.
    """
    return _with_struct(folder / path, lambda struct: Entry(path, _kind(struct), group=_patient(struct)))


def read_mat(path: Path) -> ImageArray:
    """The slice of one file, float32 (Y, X), arbitrary units.

    Raises:
        PictureError: damaged, not MATLAB v7.3, or without a two-dimensional image.
    """
    return _with_struct(path, _image)


def _with_struct(path: Path, read: Callable[[h5py.Group], _Result]) -> _Result:
    try:
        with h5py.File(path, "r") as file:
            return read(file["cjdata"])
    except KeyError as error:
        raise PictureError(f"the file lacks cjdata or a part of it ({str(error)[:60]})") from error
    except (OSError, TypeError, ValueError, RuntimeError) as error:
        raise PictureError(f"the file is damaged or not MATLAB v7.3 ({type(error).__name__})") from error


def _kind(struct: h5py.Group) -> TumourType:
    values = np.asarray(struct["label"]).ravel()
    kind = _KINDS.get(int(values[0])) if values.size == 1 and np.isfinite(values[0]) else None
    if kind is None:
        raise PictureError(f"label {values.tolist()[:3]} is none of 1 meningioma, 2 glioma, 3 pituitary")
    return kind


def _patient(struct: h5py.Group) -> str:
    codes = np.asarray(struct["PID"]).ravel()
    text = "".join(chr(int(code)) for code in codes).strip("\0 ")
    if not text:
        raise PictureError("PID is empty, so nobody knows the patient")
    return pseudonym(text)


def _image(struct: h5py.Group) -> ImageArray:
    image = np.asarray(struct["image"], dtype=np.float32)
    if image.ndim != 2:
        raise PictureError(f"image has {image.ndim} axes, not two")
    return np.ascontiguousarray(image.T)
