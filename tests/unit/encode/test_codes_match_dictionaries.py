"""The table of codes against pydicom's copy of PS3.16."""

from __future__ import annotations

import pytest
from pydicom.sr import _concepts_dict
from pydicom.sr.coding import Code

from bt_node.domain.tumour import Region, TumourType
from bt_node.encode import codes

TABLE = {name: value for name, value in vars(codes).items() if isinstance(value, Code)}
# In no DICOM dictionary: a heading of TID 1500 by its UMLS number, diagnoses by SNOMED CT, a language tag.
OUTSIDE = {"QUALITATIVE_EVALUATIONS", "GLIOMA", "MENINGIOMA", "PITUITARY_NEOPLASM", "ENGLISH"}


def _meanings(code: Code) -> set[str]:
    entries = _concepts_dict.concepts[code.scheme_designator].values() if code.scheme_designator in _SCHEMES else ()
    return {entry[code.value][0] for entry in entries if code.value in entry}


_SCHEMES = set(_concepts_dict.concepts)


@pytest.mark.parametrize("name", sorted(set(TABLE) - OUTSIDE))
def test_a_code_has_the_meaning_that_the_dictionary_gives_it(name: str) -> None:
    assert TABLE[name].meaning in _meanings(TABLE[name])


@pytest.mark.parametrize("name", sorted(OUTSIDE))
def test_a_code_outside_the_dictionaries_is_really_in_none(name: str) -> None:
    assert _meanings(TABLE[name]) == set()


def test_no_two_names_share_a_code() -> None:
    values = [(code.scheme_designator, code.value) for code in TABLE.values()]
    assert len(values) == len(set(values))


def test_every_region_and_every_tumour_type_has_a_code() -> None:
    assert set(codes.REGIONS) == set(Region)
    assert set(codes.DIAGNOSES) == set(TumourType) - {TumourType.NONE}
    assert len({terms.finding for terms in codes.REGIONS.values()}) == len(Region)
