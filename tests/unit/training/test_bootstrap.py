"""Intervals by group: as wide as the patients are few, whatever the number of their slices."""

from __future__ import annotations

import numpy as np
import pytest

from training.bootstrap import Indices, enough_groups, intervals_by_group


def test_copies_of_a_picture_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(0).normal(size=40)
    copied = np.repeat(values, 25)
    groups = [f"patient {k // 25}" for k in range(len(copied))]

    def mean(places: Indices) -> dict[str, float]:
        return {"mean": float(copied[places].mean())}

    low, high = intervals_by_group(groups, mean)["mean"]
    expected = 2 * 1.96 * values.std() / np.sqrt(len(values))
    assert high - low == pytest.approx(expected, rel=0.15)
    naive_low, naive_high = intervals_by_group(range(len(copied)), mean)["mean"]
    assert naive_high - naive_low < (high - low) / 3


def test_whole_groups_are_drawn_as_many_of_each_stratum_as_there_are() -> None:
    groups = ["a", "a", "b", "c", "d", "e", "f", "g", "h"]
    strata = ["x"] * 5 + ["y"] * 4

    def count(places: Indices) -> dict[str, float]:
        drawn = [groups[place] for place in places]
        assert drawn.count("a") % 2 == 0  # both of its items or none
        return {"y": float(sum(strata[place] == "y" for place in places))}

    assert intervals_by_group(groups, count, strata=strata)["y"] == (4.0, 4.0)


def test_the_same_seed_gives_the_same_intervals_and_unknown_figures_are_left_out() -> None:
    def figures(places: Indices) -> dict[str, float | None]:
        return {"first": float(places[0]), "never": None, "seldom": float("nan")}

    first, second = (intervals_by_group(range(9), figures, resamples=50, seed=3) for _ in range(2))
    assert first == second
    assert set(first) == {"first"}


def test_too_few_groups_of_a_class_give_no_interval_rather_than_a_false_one() -> None:
    groups, strata = [0, 0, 1, 1, 2, 2, 3, 4, 5, 6], ["x"] * 6 + ["y"] * 4
    assert not enough_groups(groups, strata)
    assert intervals_by_group(groups, lambda _: {"n": 1.0}, strata=strata) == {}
    assert enough_groups(groups)
