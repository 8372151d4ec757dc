"""The judge: facts in, verdict and plain words out."""

from __future__ import annotations

from typing import Any

import pytest

from bt_node.domain.study import Role
from bt_node.domain.tumour import ReleaseIdentity, TumourType, TumourTypeFinding
from bt_node.judge.verdict import Decision, Verdict, judge_study


def _named(top: TumourType, certainty: float = 0.9) -> TumourTypeFinding:
    rest = (1 - certainty) / 3
    shares = {kind: certainty if kind is top else rest for kind in TumourType}
    return TumourTypeFinding(shares, 9, ReleaseIdentity("classifier", "1", "c" * 64))


def _judge(**changes: Any) -> Verdict:
    facts: dict[str, Any] = {
        "whole_tumour_ml": 40.0,
        "brain_ml": 1300.0,
        "tumour_type": _named(TumourType.GLIOMA),
        "matrix": (256, 256),
        "moved_mm": {Role.FLAIR: 2.0},
    }
    return judge_study(**(facts | changes))


def test_an_ordinary_tumour_may_leave_without_a_word() -> None:
    assert _judge() == Verdict(Decision.SEND)


def test_no_tumour_in_the_eyes_of_both_models_may_leave_without_a_word() -> None:
    assert _judge(whole_tumour_ml=0.0, tumour_type=_named(TumourType.NONE)) == Verdict(Decision.SEND)


def test_a_missing_classifier_is_no_reason_for_caution() -> None:
    assert _judge(tumour_type=None) == Verdict(Decision.SEND)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"tumour_type": _named(TumourType.NONE)}, "classifier sees no tumour (90 %)"),
        ({"whole_tumour_ml": 0.0}, "nothing is outlined, but the classifier names glioma"),
        ({"tumour_type": _named(TumourType.PITUITARY, 0.5)}, "most probable one has 50 %"),
        ({"whole_tumour_ml": 500.0}, "unusually large: 500 ml, 38 % of the brain"),
        ({"whole_tumour_ml": 0.05}, "very small (0.05 ml)"),
        ({"matrix": (217, 181)}, "217 x 181 does not fill whole bytes"),
        ({"moved_mm": {Role.T2: 31.0}}, "T2 was moved by 31 mm"),
    ],
)
def test_each_doubt_is_a_caution_in_plain_words(facts: dict[str, Any], words: str) -> None:
    verdict = _judge(**facts)
    assert verdict.decision is Decision.CAUTION
    assert len(verdict.cautions) == 1
    assert words in verdict.cautions[0]


def test_several_doubts_are_all_told() -> None:
    assert len(_judge(whole_tumour_ml=500.0, matrix=(217, 181), moved_mm={Role.T1: 40.0}).cautions) == 3


@pytest.mark.parametrize("facts", [{"whole_tumour_ml": 1200.0}, {"brain_ml": 0.0}], ids=["all brain", "no brain"])
def test_what_cannot_be_right_is_held_for_a_person(facts: dict[str, Any]) -> None:
    assert _judge(**facts).decision is Decision.HOLD


def test_an_odd_matrix_matters_only_where_something_is_drawn() -> None:
    empty = _judge(whole_tumour_ml=0.0, tumour_type=_named(TumourType.NONE), matrix=(217, 181))
    assert empty.decision is Decision.SEND


def test_cautions_are_ascii_so_that_every_character_set_can_hold_them() -> None:
    verdict = _judge(
        whole_tumour_ml=1200.0, matrix=(217, 181), moved_mm={Role.T1: 40.0}, tumour_type=_named(TumourType.NONE, 0.4)
    )
    assert all(caution.isascii() for caution in verdict.cautions)
    assert len(verdict.cautions) >= 5


def test_a_verdict_without_reasons_for_its_caution_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="CAUTION"):
        Verdict(Decision.CAUTION)
