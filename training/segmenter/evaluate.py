"""Scores of a segmenter on prepared cases, through the node's own predict and decide."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from bt_node.domain.geometry import ImageArray, LabelArray
from bt_node.domain.study import Role
from bt_node.domain.tumour import Region, ReleaseIdentity
from bt_node.infer.release import SegmenterInput, SegmenterOutput
from bt_node.infer.segmenter import Segmenter, ready
from training.segmenter.augment import NEEDS_ONE_OF
from training.segmenter.metrics import RegionScore, score_region
from training.segmenter.prepared import PreparedCase, nested_regions
from training.segmenter.recipe import SegmenterRecipe

REGIONS = (Region.WT, Region.TC, Region.ET)


@dataclass(frozen=True)
class CaseScore:
    """How one case came out.

    Attributes:
        name: the case.
        regions: figures of WT, TC and ET.
        seconds: time of predict and decide together.
    """

    name: str
    regions: Mapping[Region, RegionScore]
    seconds: float = 0.0

    @property
    def dice(self) -> dict[Region, float]:
        """Dice by region; a region that both sides leave empty counts 1."""
        return {region: self.regions[region].dice for region in REGIONS}

    @property
    def mean_dice(self) -> float:
        """Mean Dice of the three regions: what the worst cases are sorted by."""
        return float(np.mean([score.dice for score in self.regions.values()]))


def score_labels(
    name: str, predicted: LabelArray, true: LabelArray, *, seconds: float = 0.0, distances: bool = True
) -> CaseScore:
    """Compare two label maps (Z, Y, X) of one shape on the 1 mm grid; `distances` asks for HD95, the slow part."""
    ours, theirs = nested_regions(predicted) > 0, nested_regions(true) > 0
    pairs = zip(REGIONS, ours, theirs, strict=True)
    return CaseScore(
        name, {region: score_region(mine, wanted, distances=distances) for region, mine, wanted in pairs}, seconds
    )


def case_inputs(segmenter: Segmenter, case: PreparedCase) -> dict[Role, ImageArray]:
    """What the segmenter reads of a prepared case whose channels are the segmenter's roles."""
    return dict(zip(segmenter.roles, np.asarray(case.inputs, dtype=np.float32), strict=True))


def outline(segmenter: Segmenter, case: PreparedCase) -> LabelArray:
    """Labels (Z, Y, X) of the segmenter for a prepared case whose channels are the segmenter's roles."""
    return segmenter.decide(segmenter.predict(case_inputs(segmenter, case)))


def score_case(segmenter: Segmenter, case: PreparedCase, *, distances: bool = False) -> CaseScore:
    """Outline a case and compare; without `distances` HD95 is left undefined, as watching a training run needs it."""
    began = time.perf_counter()
    predicted = outline(segmenter, case)
    seconds = time.perf_counter() - began
    return score_labels(case.name, predicted, np.asarray(case.labels), seconds=seconds, distances=distances)


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
        needs_one_of=NEEDS_ONE_OF if recipe.augmentation.sequence_dropout > 0 else (),
        spacing_mm=(1.0, 1.0, 1.0),
        orientation="LPS",
        normalisation="zscore-brain",
        patch=recipe.output.window,
        overlap=recipe.output.overlap,
        flips=recipe.output.flips,
    )


def output_of(recipe: SegmenterRecipe) -> SegmenterOutput:
    """The release's `[output]` table."""
    return SegmenterOutput(
        regions=REGIONS,
        thresholds=recipe.output.thresholds,
        min_component_ml=recipe.output.min_component_ml,
        min_region_ml=recipe.output.min_region_ml,
        channels=recipe.output.channels,
    )
