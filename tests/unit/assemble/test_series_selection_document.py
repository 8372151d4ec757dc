"""docs/series-selection.md says what the code does."""

from __future__ import annotations

from pathlib import Path

from bt_node.assemble.contrast import Basis as ContrastBasis
from bt_node.assemble.doubts import DOUBTS
from bt_node.assemble.ranking import CRITERIA
from bt_node.convert import stack

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "series-selection.md"


def test_the_document_lists_the_criteria_in_their_order() -> None:
    text = DOCUMENT.read_text()
    places = [text.find(f"{number}. {criterion.phrase}") for number, criterion in enumerate(CRITERIA, start=1)]
    assert min(places) > 0
    assert places == sorted(places)
    assert f"{len(CRITERIA) + 1}. " not in text[places[-1] :]


def test_the_document_lists_every_doubt() -> None:
    text = " ".join(DOCUMENT.read_text().split())
    doubts = [basis.doubt for basis in ContrastBasis if basis.doubt] + [doubt.sentence for doubt in DOUBTS]
    assert [doubt for doubt in doubts if doubt not in text] == []


def test_the_document_states_the_tolerances_of_the_stack() -> None:
    text = DOCUMENT.read_text()
    stated = {
        f"{stack.GAP_TOLERANCE:.0%}".replace("%", " %"): "5 %",
        f"{stack.GAP_FLOOR_MM:g} mm": "0.02 mm",
        f"{stack.DUPLICATE_MM:g} mm": "0.01 mm",
        f"{stack.ORIENTATION_TOLERANCE:g}": "0.001",
        f"{stack.SHEAR_TOLERANCE:g} mm per mm": "0.005 mm per mm",
    }
    for in_code, in_document in stated.items():
        assert in_code == in_document
        assert in_document in text
