"""A release that was trained with missing sequences answers for the subsets its manifest names, and for no other."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from bt_node.domain.errors import RolesMissingError
from bt_node.domain.geometry import ImageArray
from bt_node.domain.study import Role
from bt_node.infer.release import Release, SegmenterInput
from bt_node.infer.segmenter import Segmenter, load_segmenter

SUBSETS = [set(chosen) for count in range(5) for chosen in combinations(Role, count)]
ANSWERED = [given for given in SUBSETS if given & {Role.FLAIR, Role.T1C}]


@pytest.fixture
def flexible(make_release: Callable[..., Release], segmenter_manifest: dict[str, Any]) -> Segmenter:
    table = segmenter_manifest["input"] | {"needs_one_of": ["FLAIR", "T1C"]}
    return load_segmenter(make_release("flexible", input=table), torch.device("cpu"))


def a_head() -> dict[Role, ImageArray]:
    rng = np.random.default_rng(0)
    return {role: rng.normal(size=(16, 16, 16)).astype(np.float32) for role in Role}


def test_a_missing_sequence_is_read_as_zeros(flexible: Segmenter) -> None:
    head = a_head()
    without = flexible.predict({role: array for role, array in head.items() if role is not Role.T2})
    with_zeros = flexible.predict(head | {Role.T2: np.zeros_like(head[Role.T2])})
    np.testing.assert_array_equal(without, with_zeros)
    assert not np.array_equal(without, flexible.predict(head))


@pytest.mark.parametrize("given", ANSWERED, ids=lambda given: "+".join(sorted(given)))
def test_every_subset_with_flair_or_t1c_is_answered(flexible: Segmenter, given: set[Role]) -> None:
    head = a_head()
    assert flexible.input.lacking(given) == ()
    assert flexible.predict({role: head[role] for role in given}).shape == (3, 16, 16, 16)


@pytest.mark.parametrize(
    "given",
    [given for given in SUBSETS if given not in ANSWERED],
    ids=lambda given: "+".join(sorted(given)) or "none",
)
def test_a_subset_without_both_is_refused_by_name(flexible: Segmenter, given: set[Role]) -> None:
    head = a_head()
    with pytest.raises(RolesMissingError, match="FLAIR or T1C") as caught:
        flexible.predict({role: head[role] for role in given})
    assert caught.value.one_of


def test_without_the_manifests_word_all_sequences_are_needed(make_release: Callable[..., Release]) -> None:
    segmenter = load_segmenter(make_release(), torch.device("cpu"))
    assert segmenter.input.lacking({Role.T1C, Role.T2}) == (Role.T1, Role.FLAIR)
    head = a_head()
    del head[Role.T1]
    with pytest.raises(RolesMissingError, match="T1 among 3"):
        segmenter.predict(head)


def test_sequences_of_different_shapes_are_refused(flexible: Segmenter) -> None:
    with pytest.raises(ValueError, match="FLAIR has shape"):
        flexible.predict(a_head() | {Role.FLAIR: np.zeros((16, 16, 8), dtype=np.float32)})


@pytest.mark.parametrize("wrong", [["FLAIR", "FLAIR"], ["FLAIR", "T1C"]], ids=["twice", "not read"])
def test_a_manifest_can_need_only_one_of_what_it_reads(segmenter_manifest: dict[str, Any], wrong: list[str]) -> None:
    table = segmenter_manifest["input"] | {"roles": ["T1", "T2", "FLAIR"], "needs_one_of": wrong}
    with pytest.raises(ValidationError, match="needs_one_of"):
        SegmenterInput.model_validate(table)
