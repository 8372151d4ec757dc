"""Studies in a folder of DICOM files, without job book and spool."""

from __future__ import annotations

import warnings
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom import config

from bt_node.assemble.study import UNREADABLE, read_study
from bt_node.assemble.values import text
from bt_node.domain.errors import NoDicomError
from bt_node.domain.study import StudyFacts


@dataclass(frozen=True)
class FolderStudies:
    """What a folder holds: its studies in the order of their UIDs, and how many files were passed over."""

    studies: tuple[StudyFacts, ...]
    others: int  # no DICOM, or without study and instance UID (DICOMDIR)
    repeated: int  # the same SOPInstanceUID once more


def read_folder(folder: Path) -> FolderStudies:
    """Read the headers of all DICOM files under a folder (or of one file); links to folders are not followed.

    pydicom's remarks on odd values are kept quiet: they quote the value, a patient's name for example.

    Raises:
        NoDicomError: there is no study.
    """
    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        return _read(folder)


def _read(folder: Path) -> FolderStudies:
    paths = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    others = repeated = 0
    for path in paths:
        study_uid, sop_uid = _identity(path)
        if not study_uid or not sop_uid:
            others += 1
        elif sop_uid in found[study_uid]:
            repeated += 1
        else:
            found[study_uid][sop_uid] = path
    if not any(found.values()):
        raise NoDicomError(str(folder), others)
    return FolderStudies(tuple(read_study(found[uid]) for uid in sorted(found)), others, repeated)


def _identity(path: Path) -> tuple[str, str]:
    try:
        ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID", "SOPInstanceUID"])
    except (OSError, *UNREADABLE):
        return "", ""
    return text(ds, "StudyInstanceUID"), text(ds, "SOPInstanceUID")
