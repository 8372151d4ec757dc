"""The judge: facts in, verdict and plain words out."""

from __future__ import annotations

from typing import Any

import pytest

from bt_node.domain.study import Role
from bt_node.domain.tumour import (
    TUMOURS,
    Findings,
    Region,
    RegionMeasurement,
    ReleaseIdentity,
    SliceAnswer,
    TumourType,
    TumourTypeFinding,
)
from bt_node.judge.limits import Check, Concern
from bt_node.judge.missing import assessable
from bt_node.judge.verdict import Decision, Verdict, judge_study

RELEASE = ReleaseIdentity("release", "1", "c" * 64)


def _named(top: TumourType, certainty: float = 0.9) -> TumourTypeFinding:
    rest = (1 - certainty) / 3
    shares = {kind: certainty if kind is top else rest for kind in TumourType}
    best = TumourType.GLIOMA if top is TumourType.NONE else top
    given = {kind: certainty if kind is best else (1 - certainty) / 2 for kind in TUMOURS}
    return TumourTypeFinding(shares, 9, RELEASE, given_tumour=given, least_probability=0.8)


GLIOMA = _named(TumourType.GLIOMA)


def _judge(
    whole_tumour_ml: float = 40.0,
    tumour_type: TumourTypeFinding | None = GLIOMA,
    missing: tuple[Role, ...] = (),
    no_type_because: str = "",
    **changes: Any,
) -> Verdict:
    measured = {region: RegionMeasurement(region, whole_tumour_ml) for region in assessable(missing)}
    findings = Findings(measured, RELEASE, tumour_type, missing=missing, no_type_because=no_type_because)
    facts: dict[str, Any] = {"brain_ml": 1300.0, "matrix": (256, 256), "moved_mm": {Role.FLAIR: 2.0}}
    return judge_study(findings, **(facts | changes))


def test_an_ordinary_tumour_may_leave_without_a_word() -> None:
    assert _judge() == Verdict(Decision.SEND)


def test_no_tumour_in_the_eyes_of_both_models_may_leave_without_a_word() -> None:
    assert _judge(whole_tumour_ml=0.0, tumour_type=_named(TumourType.NONE)) == Verdict(Decision.SEND)


def test_a_missing_classifier_is_no_reason_for_caution() -> None:
    assert _judge(tumour_type=None) == Verdict(Decision.SEND)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (
            {"tumour_type": _named(TumourType.NONE)},
            "The models disagree: 40.0 ml are outlined as tumour, but the classifier sees none on its slices.",
        ),
        ({"whole_tumour_ml": 0.0}, "nothing is outlined, but the classifier sees a glioma (90 %)"),
        (
            {"tumour_type": _named(TumourType.PITUITARY, 0.5)},
            "indeterminate: the most probable one, pituitary tumour, has 50.0 %, and this release names a type",
        ),
        (
            {"whole_tumour_ml": 0.0, "tumour_type": _named(TumourType.NONE, 0.55)},
            "That there is no tumour is uncertain: the classifier gives it 55 %.",
        ),
        ({"whole_tumour_ml": 500.0}, "unusually large: 500 ml, 38 % of the brain"),
        ({"whole_tumour_ml": 0.05}, "very small (0.05 ml)"),
        ({"matrix": (217, 181)}, "217 x 181 does not fill whole bytes"),
        ({"moved_mm": {Role.T2: 31.0}}, "T2 was moved by 31 mm to fit the T1C series"),
        ({"moved_mm": {Role.T2: 31.0}, "reference": Role.FLAIR}, "T2 was moved by 31 mm to fit the FLAIR series"),
        ({"missing": (Role.T1,)}, "T1 was missing: what is bright without contrast"),
        ({"missing": (Role.T2,)}, "T2 was missing: "),
        ({"missing": (Role.FLAIR,)}, "FLAIR was missing: the extent of oedema"),
        (
            {"missing": (Role.T1C,), "tumour_type": None},
            "enhancing tumour, necrotic core, tumour core and oedema were",
        ),
        (
            {"tumour_type": None, "no_type_because": "T1C is missing"},
            "No tumour type is named, because T1C is missing.",
        ),
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


def test_that_the_models_disagree_is_told_before_lesser_doubts() -> None:
    noisy = (Concern(Check.NOISE, Decision.CAUTION, "Noise."),)
    cautions = _judge(500.0, _named(TumourType.NONE), missing=(Role.T1,), concerns=noisy).cautions
    assert cautions[0].startswith("The models disagree")
    assert "%" not in cautions[0]
    assert len(cautions) == 4


def test_what_holds_stands_first_and_is_named() -> None:
    held = Concern(Check.GHOSTS, Decision.HOLD, "Ghosts.")
    verdict = _judge(whole_tumour_ml=500.0, concerns=(Concern(Check.NOISE, Decision.CAUTION, "Noise."), held))
    assert verdict.decision is Decision.HOLD
    assert verdict.held_because == ("Ghosts.",) == verdict.cautions[:1]
    assert verdict.checks == (Check.GHOSTS, Check.LARGE, Check.NOISE)
    assert len(verdict.cautions) == 3


def test_a_concern_of_the_images_is_a_caution_on_the_result() -> None:
    verdict = _judge(concerns=(Concern(Check.NOISE, Decision.CAUTION, "Noise."),))
    assert (verdict.decision, verdict.cautions, verdict.held_because) == (Decision.CAUTION, ("Noise.",), ())


def test_a_caution_that_somebody_else_added_makes_it_send_with_caution() -> None:
    assert Verdict(Decision.SEND).carrying(()) is Decision.SEND
    assert Verdict(Decision.SEND).carrying(("bone was left out",)) is Decision.CAUTION
    assert Verdict(Decision.HOLD, ("why",), ("why",)).carrying(("why",)) is Decision.HOLD


def test_a_verdict_that_holds_without_a_reason_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="HOLD"):
        Verdict(Decision.HOLD, ("a caution",))


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


def _slices(kind: TumourType, certainties: list[float]) -> TumourTypeFinding:
    """No tumour as a whole, and some slices that say otherwise."""
    whole = _named(TumourType.NONE)
    answers = tuple(SliceAnswer(place, 1 / 9, kind, certainty) for place, certainty in enumerate(certainties))
    return TumourTypeFinding(whole.probabilities, 9, RELEASE, answers)


def test_a_few_slices_that_surely_show_a_tumour_are_told_although_their_mean_shows_none() -> None:
    verdict = _judge(0.0, _slices(TumourType.PITUITARY, [0.9, 0.8]))
    assert verdict.cautions == ("Nothing is outlined, but 2 of 9 slices by themselves show a pituitary tumour.",)


@pytest.mark.parametrize("certainties", [[0.9], [0.9, 0.5]], ids=["one slice", "one of them unsure"])
def test_a_single_sure_slice_is_no_reason_for_caution(certainties: list[float]) -> None:
    assert _judge(0.0, _slices(TumourType.PITUITARY, certainties)).decision is Decision.SEND


def test_slices_that_say_no_tumour_are_no_reason_for_caution() -> None:
    assert _judge(0.0, _slices(TumourType.NONE, [0.9] * 9)).decision is Decision.SEND


def test_without_t1_and_t1c_each_is_told_but_enhancement_only_once() -> None:
    cautions = _judge(missing=(Role.T1, Role.T1C), tumour_type=None).cautions
    assert cautions[0] == "T1 was missing."
    assert len(cautions) == 2


def test_without_t1c_only_the_whole_tumour_can_be_assessed() -> None:
    assert assessable((Role.T1C,)) == (Region.WT,)
    assert assessable((Role.T1, Role.T2, Role.FLAIR)) == tuple(Region)
