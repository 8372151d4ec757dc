"""What cannot be growth alone is told."""

from __future__ import annotations

from datetime import date

from bt_node.domain.follow_up import Change, FollowUp, LesionChange, Way
from bt_node.domain.tumour import Region, ReleaseIdentity
from bt_node.judge.change import judge_change

MODEL = ReleaseIdentity("unet", "1", "a" * 64)


def cautions(former_ml: float, present_ml: float, days: int, **other: object) -> tuple[str, ...]:
    change = Change(Region.WT, former_ml, present_ml)
    follow_up = FollowUp(1, "1.2.3", date(2026, 1, 5), days, (), MODEL, (change,))
    return judge_change(follow_up, **({"segmenter": MODEL} | other))


def test_ten_times_in_a_few_days_is_no_growth():
    (said,) = cautions(3.0, 30.0, 5)
    assert said.startswith("The whole tumour is 10.0 times as large as in the former study 5 days ago")


def test_ten_times_in_half_a_year_may_be():
    assert cautions(3.0, 30.0, 180) == ()


def test_less_than_double_is_never_told_and_small_volumes_are_left_alone():
    assert cautions(20.0, 39.0, 1) == ()
    assert cautions(0.1, 0.9, 1) == ()
    assert cautions(0.0, 30.0, 1) == ()


def test_a_tumour_that_is_gone_is_told_with_its_likely_reason():
    (said,) = cautions(20.0, 0.0, 30)
    assert "Without an operation" in said
    assert cautions(20.0, 2.1, 30) == ()


def test_another_model_and_other_sequences_are_told():
    newer = ReleaseIdentity("unet", "2", "b" * 64)
    (said,) = cautions(20.0, 21.0, 30, segmenter=newer)
    assert "another model (unet 1)" in said
    (said,) = cautions(20.0, 21.0, 30, missing=("FLAIR",))
    assert "missing then: none; missing now: FLAIR" in said


def test_a_tumour_in_another_place_is_told():
    gone, new = LesionChange("2.25.1", 20.0, None), LesionChange("2.25.2", None, 21.0)
    change = (Change(Region.WT, 20.0, 21.0),)
    elsewhere = FollowUp(1, "1.2.3", date(2026, 1, 5), 30, (), MODEL, change, (gone, new), Way.REGISTERED)
    (said,) = judge_change(elsewhere, segmenter=MODEL)
    assert "lies elsewhere" in said
    same = FollowUp(
        1, "1.2.3", date(2026, 1, 5), 30, (), MODEL, change, (gone, LesionChange("2.25.3", 1.0, 2.0)), Way.REGISTERED
    )
    assert judge_change(same, segmenter=MODEL) == ()
