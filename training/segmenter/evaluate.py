"""Scores of a segmenter on prepared cases, through the node's own predict and decide."""

from __future__ import annotations

import time
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
_VOXELS_PER_ML = 1000.0


@dataclass(frozen=True)
class CaseScore:
    """How one case came out.

    Attributes:
        name: the case.
        dice: by region; a region that both sides leave empty counts 1.
        true_ml: volume of each region as the expert drew it.
        predicted_ml: volume of each region as the segmenter drew it.
        seconds: time of predict and decide together.
    """

    name: str
    dice: Mapping[Region, float]
    true_ml: Mapping[Region, float]
    predicted_ml: Mapping[Region, float]
    seconds: float = 0.0


def dice(predicted: BoolArray, true: BoolArray) -> float:
    """Twice the overlap over the sum of sizes; 1 when both are empty."""
    total = int(predicted.sum()) + int(true.sum())
    return 1.0 if total == 0 else 2.0 * int((predicted & true).sum()) / total


def score_labels(name: str, predicted: LabelArray, true: LabelArray, *, seconds: float = 0.0) -> CaseScore:
    """Compare two label maps of one shape on the 1 mm grid."""
    ours = dict(zip(REGIONS, nested_regions(predicted) > 0, strict=True))
    theirs = dict(zip(REGIONS, nested_regions(true) > 0, strict=True))
    return CaseScore(
        name,
        {region: dice(ours[region], theirs[region]) for region in REGIONS},
        {region: float(theirs[region].sum()) / _VOXELS_PER_ML for region in REGIONS},
        {region: float(ours[region].sum()) / _VOXELS_PER_ML for region in REGIONS},
        seconds,
    )


def outline(segmenter: Segmenter, case: PreparedCase) -> LabelArray:
    """Labels (Z, Y, X) of the segmenter for a prepared case whose channels are the segmenter's roles."""
    inputs = dict(zip(segmenter.roles, np.asarray(case.inputs, dtype=np.float32), strict=True))
    return segmenter.decide(segmenter.predict(inputs))


def score_case(segmenter: Segmenter, case: PreparedCase) -> CaseScore:
    """Outline a case and compare."""
    began = time.perf_counter()
    predicted = outline(segmenter, case)
    return score_labels(case.name, predicted, np.asarray(case.labels), seconds=time.perf_counter() - began)


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
