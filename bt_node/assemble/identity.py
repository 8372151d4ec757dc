"""Who and when, from a header. What is read here goes into a keyed hash and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from bt_node.assemble.study import UNREADABLE
from bt_node.assemble.values import text
from bt_node.domain.patient import PatientIdentity

_WANTED = [
    *("SpecificCharacterSet", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "StudyDate", "StudyInstanceUID")
]


def read_identity(paths: Iterable[Path]) -> PatientIdentity | None:
    """The one patient and study that all these files name; None where they name several, or one cannot be read."""
    found = set()
    for path in paths:
        try:
            found.add(_identity(pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_WANTED)))
        except (OSError, *UNREADABLE):
            return None
    return found.pop() if len(found) == 1 else None


def _identity(header: Dataset) -> PatientIdentity:
    patient_id, issuer, birth_date = (
        text(header, keyword) for keyword in ("PatientID", "IssuerOfPatientID", "PatientBirthDate")
    )
    study = text(header, "StudyInstanceUID")
    return PatientIdentity(patient_id, issuer, birth_date, _day(text(header, "StudyDate")), study)


def _day(value: str) -> date | None:
    try:
        return date.fromisoformat(value.replace(".", "").strip())
    except ValueError:
        return None
