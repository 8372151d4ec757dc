"""Thresholds and smallest volumes chosen on validation cases, with a strong liking for leaving them alone.

Region by region, from the outside in, every combination of a small grid is tried. A combination replaces the
recipe's values only if it gains at least `LEAST_GAIN` in the region's mean Dice and if the mean does not fall when
any one case is left out: a few cases would otherwise choose values that suit one of them. Of combinations that do
about equally well, the one with fewest changes is taken. The Dice after tuning is measured on the very cases that
chose the values, so it is optimistic, and manifest and card say so.

The smallest total volume of enhancing tumour, below which it is counted as core, is the usual post-processing of
BraTS (Isensee 2020, arXiv:2011.00848): where the expert drew none, a few voxels of it cost the whole Dice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bt_node.domain.geometry import BoolArray, ImageArray, LabelArray
from bt_node.infer.release import SegmenterOutput
from training.segmenter.evaluate import REGIONS
from training.segmenter.prepared import nested_regions

LEAST_GAIN = 0.005  # of a region's mean Dice
_ABOUT_EQUAL = 0.002
_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
_PART_ML = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
_REGION_ML = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
_TOUCHING = np.ones((3, 3, 3), dtype=np.bool_)  # as `bt_node.infer.segmenter` joins voxels to parts


@dataclass(frozen=True)
class Rule:
    """When a voxel belongs to one region: the three numbers of `[output]` for it."""

    threshold: float
    part_ml: float
    region_ml: float

    def changes_from(self, other: Rule) -> tuple[int, float]:
        """How many numbers differ, and by how much in all: the plainer of two rules is the lower."""
        pairs = [
            (self.threshold, other.threshold),
            (self.part_ml, other.part_ml),
            (self.region_ml, other.region_ml),
        ]
        return sum(mine != theirs for mine, theirs in pairs), sum(abs(mine - theirs) for mine, theirs in pairs)


@dataclass(frozen=True, eq=False)
class TuningCase:
    """Answer and truth of one case: float (3, Z, Y, X) probabilities of WT, TC, ET, and the expert's labels."""

    probabilities: npt.NDArray[np.float16] | ImageArray
    labels: LabelArray


@dataclass(frozen=True)
class Tuning:
    """What was chosen.

    Attributes:
        output: the release's `[output]`.
        changes: one line of words for each number that was changed.
        before: mean Dice by region with the recipe's values.
        after: mean Dice by region with the chosen values, on the same cases.
        cases: number of cases that chose.
    """

    output: SegmenterOutput
    changes: tuple[str, ...]
    before: Mapping[str, float]
    after: Mapping[str, float]
    cases: int

    def table(self) -> dict[str, Any]:
        """As it stands in the manifest's `[training.tuning]`."""
        return {
            "words": "Chosen on the validation cases themselves: their Dice is optimistic.",
            "cases": self.cases,
            "least_gain": LEAST_GAIN,
            "changes": list(self.changes),
            "dice_before": dict(self.before),
            "dice_after": dict(self.after),
        }


def tune(start: SegmenterOutput, cases: Sequence[TuningCase], *, voxel_ml: float = 0.001) -> Tuning:
    """Choose `[output]` on validation cases.

    Args:
        start: the recipe's values, which stay unless others are clearly better.
        cases: at least one.
        voxel_ml: volume of a voxel of the cases' grid.
    """
    insides = [np.ones(case.labels.shape, dtype=np.bool_) for case in cases]
    plain_insides = insides
    rules: list[Rule] = []
    before, after, changes = {}, {}, []
    for place, region in enumerate(REGIONS):
        plain = Rule(start.thresholds[place], start.min_component_ml[place], start.min_region_ml[place])
        plain_dice, plain_insides = _applied(plain, cases, plain_insides, place, voxel_ml)
        rule = _best_rule(plain, cases, insides, place, voxel_ml)
        dice, insides = _applied(rule, cases, insides, place, voxel_ml)
        rules.append(rule)
        before[region.value], after[region.value] = round(plain_dice, 4), round(dice, 4)
        changes += _words(region.value, plain, rule)
    if sum(after.values()) <= sum(before.values()):  # an outer region's gain may cost an inner one more
        return Tuning(start, (), before, before, len(cases))
    return Tuning(_output(start, rules), tuple(changes), before, after, len(cases))


@dataclass(frozen=True, eq=False)
class _Parts:
    """Connected parts of one region of one case: where they are, how large, and how much of each is true."""

    numbered: npt.NDArray[np.int32]
    sizes_ml: npt.NDArray[np.float64]
    overlaps_ml: npt.NDArray[np.float64]
    true_ml: float

    def kept(self, rule: Rule) -> npt.NDArray[np.bool_]:
        kept = self.sizes_ml >= rule.part_ml - 1e-9
        return kept if self.sizes_ml[kept].sum() >= rule.region_ml - 1e-9 else np.zeros_like(kept)

    def dice(self, rule: Rule) -> float:
        kept = self.kept(rule)
        total = float(self.sizes_ml[kept].sum()) + self.true_ml
        return 1.0 if total == 0 else 2.0 * float(self.overlaps_ml[kept].sum()) / total

    def mask(self, rule: Rule) -> BoolArray:
        result: BoolArray = np.concatenate([[False], self.kept(rule)])[self.numbered]
        return result


def _parts(case: TuningCase, inside: BoolArray, place: int, threshold: float, voxel_ml: float) -> _Parts:
    numbered, count = ndimage.label(inside & (case.probabilities[place] > threshold), structure=_TOUCHING)
    true = nested_regions(np.asarray(case.labels))[place] > 0
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)[1:].astype(np.float64)
    overlaps = np.bincount(numbered[true], minlength=count + 1)[1:].astype(np.float64)
    return _Parts(numbered, voxel_ml * sizes, voxel_ml * overlaps, float(true.sum()) * voxel_ml)


def _best_rule(
    plain: Rule, cases: Sequence[TuningCase], insides: Sequence[BoolArray], place: int, voxel_ml: float
) -> Rule:
    dice: dict[Rule, npt.NDArray[np.float64]] = {}
    for threshold in sorted({*_THRESHOLDS, plain.threshold}):
        parts = [
            _parts(case, inside, place, threshold, voxel_ml) for case, inside in zip(cases, insides, strict=True)
        ]
        for part_ml, region_ml in product(sorted({*_PART_ML, plain.part_ml}), sorted({*_REGION_ML, plain.region_ml})):
            rule = Rule(threshold, part_ml, region_ml)
            dice[rule] = np.array([each.dice(rule) for each in parts])
    gains = {rule: values - dice[plain] for rule, values in dice.items()}
    sound = {rule: float(gain.mean()) for rule, gain in gains.items() if _is_sound(gain)}
    if not sound:
        return plain
    enough = max(LEAST_GAIN, max(sound.values()) - _ABOUT_EQUAL)
    return min((rule for rule, gain in sound.items() if gain >= enough), key=lambda rule: rule.changes_from(plain))


def _is_sound(gain: npt.NDArray[np.float64]) -> bool:
    """Enough in the mean, and not because of a single case at the cost of the others."""
    if gain.mean() < LEAST_GAIN:
        return False
    return len(gain) == 1 or bool(((gain.sum() - gain) >= -1e-12).all())


def _applied(
    rule: Rule, cases: Sequence[TuningCase], insides: Sequence[BoolArray], place: int, voxel_ml: float
) -> tuple[float, list[BoolArray]]:
    """Mean Dice of a region under a rule, and its masks."""
    parts = [
        _parts(case, inside, place, rule.threshold, voxel_ml) for case, inside in zip(cases, insides, strict=True)
    ]
    return float(np.mean([each.dice(rule) for each in parts])), [each.mask(rule) for each in parts]


def _output(start: SegmenterOutput, rules: Sequence[Rule]) -> SegmenterOutput:
    chosen = {
        "thresholds": tuple(rule.threshold for rule in rules),
        "min_component_ml": tuple(rule.part_ml for rule in rules),
        "min_region_ml": tuple(rule.region_ml for rule in rules),
    }
    return SegmenterOutput.model_validate(start.model_dump() | chosen)


def _words(region: str, plain: Rule, rule: Rule) -> list[str]:
    pairs = {
        "threshold": (plain.threshold, rule.threshold),
        "smallest part, ml": (plain.part_ml, rule.part_ml),
        "smallest region, ml": (plain.region_ml, rule.region_ml),
    }
    return [f"{region} {name}: {old:g} to {new:g}" for name, (old, new) in pairs.items() if old != new]
