"""Dice for each of the fifteen subsets of four sequences: what a release is worth when a study lacks some."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bt_node.domain.study import Role
from bt_node.domain.tumour import Region
from bt_node.infer.segmenter import Segmenter
from training.segmenter.evaluate import REGIONS, CaseScore, case_inputs, mean_scores, score_labels
from training.segmenter.prepared import PreparedCase

Subset = tuple[Role, ...]


@dataclass(frozen=True)
class SubsetScore:
    """Mean Dice over cases with only some sequences.

    Attributes:
        roles: the sequences that were given.
        answered: whether the release answers on these; if not, the node refuses such a study, and the figures stand
            here for knowledge only.
        dice: mean over cases, by region.
    """

    roles: Subset
    answered: bool
    dice: Mapping[Region, float]


def subsets(roles: Sequence[Role]) -> tuple[Subset, ...]:
    """All subsets but the empty one, the largest first; the order of roles is kept."""
    return tuple(subset for count in range(len(roles), 0, -1) for subset in combinations(roles, count))


def score_subsets(
    segmenter: Segmenter, cases: Sequence[PreparedCase], *, progress: Callable[[str], None] = lambda _: None
) -> tuple[SubsetScore, ...]:
    """Score every subset of the segmenter's sequences on every case.

    A missing sequence is a channel of zeros, as in training. Subsets that the release does not answer on are scored
    in the same way.
    """
    found: list[SubsetScore] = []
    for subset in subsets(segmenter.roles):
        dice = mean_scores([_score_with(segmenter, case, subset) for case in cases])
        found.append(SubsetScore(subset, not segmenter.input.lacking(subset), dice))
        progress(f"{name_of(subset):24}  " + "  ".join(f"{region.value} {dice[region]:.3f}" for region in REGIONS))
    return tuple(found)


def name_of(subset: Collection[Role]) -> str:
    """For tables: `T1C + FLAIR`."""
    return " + ".join(role.value for role in subset)


def _score_with(segmenter: Segmenter, case: PreparedCase, subset: Subset) -> CaseScore:
    inputs = {
        role: array if role in subset else np.zeros_like(array)
        for role, array in case_inputs(segmenter, case).items()
    }
    labels = segmenter.decide(segmenter.predict(inputs))
    return score_labels(case.name, labels, np.asarray(case.labels), distances=False)
