"""How old the patient was, for comparing with what a release is meant for. In memory only: it is written nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from bt_node.assemble.study import UNREADABLE
from bt_node.assemble.values import text

_WANTED = ["SpecificCharacterSet", "PatientAge", "PatientBirthDate", "StudyDate"]
_DAYS_PER_YEAR = 365.25
# PS3.5 Table 6.2-1, VR AS: three digits and the unit.
_YEARS_OF = {"D": 1 / _DAYS_PER_YEAR, "W": 7 / _DAYS_PER_YEAR, "M": 1 / 12, "Y": 1.0}


def youngest_age_years(paths: Iterable[Path]) -> float | None:
    """The least age that the headers of these files tell; None where none tells one."""
    told = [age for path in paths if (age := _age_of(path)) is not None]
    return min(told, default=None)


def _age_of(path: Path) -> float | None:
    try:
        return age_years(pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_WANTED))
    except (OSError, *UNREADABLE):
        return None


def age_years(header: Dataset) -> float | None:
    """Age from birth date and study date, which are exact, or else from PatientAge; None where neither is sound."""
    born, studied = (_day(text(header, keyword)) for keyword in ("PatientBirthDate", "StudyDate"))
    if born is not None and studied is not None and born <= studied:
        return (studied - born).days / _DAYS_PER_YEAR
    told = re.fullmatch(r"(\d{3})([DWMY])", text(header, "PatientAge").strip())
    return int(told[1]) * _YEARS_OF[told[2]] if told else None


def _day(value: str) -> date | None:
    try:
        return date.fromisoformat(value.replace(".", "").strip())
    except ValueError:
        return None
