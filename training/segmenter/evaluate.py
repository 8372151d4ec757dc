"""Scores of a segmenter on prepared cases: Dice per nested region, through the node's own predict and decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from bt_node.domain.geometry import BoolArray, LabelArray
from bt_node.domain.tumour import Region, ReleaseIdentity
from bt_node.infer.release import SegmenterInput, SegmenterOutput
from bt_node.infer.segmenter import Segmenter, ready
from training.segmenter.prepared import PreparedCase, nested_regions
from training.segmenter.recipe import SegmenterRecipe

REGIONS = (Region.WT, Region.TC, Region.ET)


@dataclass(frozen=True)
class CaseScore:
    """Dice of one case, by region; a region that both sides leave empty counts 1."""

    name: str
    dice: Mapping[Region, float]


def dice(predicted: BoolArray, true: BoolArray) -> float:
    """Twice the overlap over the sum of sizes; 1 when both are empty."""
    total = int(predicted.sum()) + int(true.sum())
    return 1.0 if total == 0 else 2.0 * int((predicted & true).sum()) / total


def score_labels(name: str, predicted: LabelArray, true: LabelArray) -> CaseScore:
    """Compare two label maps of one shape."""
    pairs = zip(REGIONS, nested_regions(predicted) > 0, nested_regions(true) > 0, strict=True)
    return CaseScore(name, {region: dice(ours, theirs) for region, ours, theirs in pairs})


def outline(segmenter: Segmenter, case: PreparedCase) -> LabelArray:
    """Labels (Z, Y, X) of the segmenter for a prepared case whose channels are the segmenter's roles."""
    inputs = dict(zip(segmenter.roles, np.asarray(case.inputs, dtype=np.float32), strict=True))
    return segmenter.decide(segmenter.predict(inputs))


def score_case(segmenter: Segmenter, case: PreparedCase) -> CaseScore:
    """Outline a case and compare."""
    return score_labels(case.name, outline(segmenter, case), np.asarray(case.labels))


def mean_scores(scores: Sequence[CaseScore]) -> dict[Region, float]:
    """Mean Dice over cases, by region."""
    return {region: float(np.mean([score.dice[region] for score in scores])) for region in REGIONS}


def unreleased(recipe: SegmenterRecipe, network: nn.Module, device: torch.device) -> Segmenter:
    """A segmenter around a network that is still in training."""
    return Segmenter(
        ReleaseIdentity(recipe.name, recipe.version, "0" * 64),
        input_of(recipe),
        output_of(recipe),
        ready(network, device),
        device,
    )


def input_of(recipe: SegmenterRecipe) -> SegmenterInput:
    """The release's `[input]` table."""
    return SegmenterInput(
        roles=recipe.data.roles,
        spacing_mm=(1.0, 1.0, 1.0),
        orientation="LPS",
        normalisation="zscore-brain",
        patch=recipe.output.window,
    )


def output_of(recipe: SegmenterRecipe) -> SegmenterOutput:
    """The release's `[output]` table."""
    return SegmenterOutput(
        regions=REGIONS, thresholds=recipe.output.thresholds, min_component_ml=recipe.output.min_component_ml
    )
