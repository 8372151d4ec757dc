"""The patient's age, from dates where they are sound, else from PatientAge; never guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from bt_node.assemble.age import age_years, youngest_age_years


def header(**values: str) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


@pytest.mark.parametrize(
    ("values", "years"),
    [
        ({"PatientBirthDate": "20080105", "StudyDate": "20260105"}, 18.0),
        ({"PatientBirthDate": "20080106", "StudyDate": "20260105"}, 17.997),
        ({"PatientBirthDate": "20080105", "StudyDate": "20260105", "PatientAge": "099Y"}, 18.0),
        ({"PatientAge": "034Y"}, 34.0),
        ({"PatientAge": "006M"}, 0.5),
        ({"PatientAge": "026W", "StudyDate": "20260105"}, 0.498),
        ({"PatientAge": "030D", "PatientBirthDate": ""}, 0.082),
        ({"PatientBirthDate": "20300101", "StudyDate": "20260105", "PatientAge": "012Y"}, 12.0),
    ],
)
def test_age_is_read_where_it_is_told(values: dict[str, str], years: float) -> None:
    assert age_years(header(**values)) == pytest.approx(years, abs=0.002)


@pytest.mark.parametrize("values", [{}, {"PatientAge": "34"}, {"PatientBirthDate": "1970", "StudyDate": "20260105"}])
def test_an_age_that_no_header_tells_is_unknown(values: dict[str, str]) -> None:
    assert age_years(header(**values)) is None


def test_files_that_cannot_be_read_tell_no_age(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"x" * 300)
    assert youngest_age_years([tmp_path / "a.dcm", tmp_path / "gone.dcm"]) is None
