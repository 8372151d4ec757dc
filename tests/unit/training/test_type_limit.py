"""From which probability on a type may be named: as calibrated answers bear out, and not before."""

from __future__ import annotations

import numpy as np
import pytest

from training.classifier.card import limit_told
from training.classifier.limit import least_limit, type_limit

N = 6000
GROUPS = [f"group {number // 20}" for number in range(N)]


def calibrated(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Answers that are right exactly as often as they say: probabilities (N, 3) and labels."""
    generator = np.random.default_rng(seed)
    sure = generator.uniform(0.4, 1.0, size=N)
    probabilities = np.stack([sure, (1 - sure) * 0.7, (1 - sure) * 0.3], axis=1)
    labels = np.array([generator.choice(3, p=row) for row in probabilities])
    return probabilities, labels


def test_the_limit_is_the_least_at_which_enough_is_right() -> None:
    probabilities, labels = calibrated()
    limit = least_limit(probabilities, labels, GROUPS)
    assert limit is not None
    # Answers above a limit are as right as its middle to 1: 0.95 lies above 0.9, and the interval asks for more.
    assert 0.88 < limit < 0.95
    named = probabilities.max(axis=1) >= limit
    assert (labels[named] == 0).mean() > 0.95


def test_who_is_always_right_is_named_from_a_half_on_and_who_is_sure_and_wrong_never() -> None:
    probabilities, _ = calibrated()
    assert least_limit(probabilities, np.zeros(N, dtype=np.int64), GROUPS) == 0.5
    assert least_limit(probabilities, np.ones(N, dtype=np.int64), GROUPS) is None


def four_classes() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Logits (N + 400, 4) of calibrated types, each type as often as the others, and of pictures without tumour."""
    probabilities, labels = calibrated()
    turned = np.stack([np.roll(row, number % 3) for number, row in enumerate(probabilities)])
    types = (labels + np.arange(N)) % 3
    logits = np.concatenate([np.log(np.concatenate([turned, np.full((N, 1), 0.01)], axis=1)), np.zeros((400, 4))])
    return logits, np.concatenate([types, np.full(400, 3)]), [*GROUPS, *(f"none {n // 20}" for n in range(400))]


def test_pictures_without_tumour_have_no_say() -> None:
    logits, labels, groups = four_classes()
    found = type_limit(logits, labels, groups, 1.0)
    assert found is not None
    assert (found["pictures"], found["groups"]) == (N, N // 20)
    assert found == type_limit(logits[:N], labels[:N], groups[:N], 1.0)
    assert found["right"] > 0.95 > found["right_below"]
    assert found["right_cross_fitted"] == pytest.approx(found["right"], abs=0.03)
    assert found["ece_given_tumour"] < 0.05


def test_from_too_few_groups_there_is_no_limit() -> None:
    logits, labels, _ = four_classes()
    assert type_limit(logits, labels, ["one"] * (N + 400), 1.0) is None


def test_the_card_tells_the_limit_or_the_default() -> None:
    logits, labels, groups = four_classes()
    found = type_limit(logits, labels, groups, 1.0)
    assert found is not None
    assert f"below **{found['limit']:.2f}** none is named" in limit_told(found)
    assert "below 90%, the node's cautious default" in limit_told(None)
