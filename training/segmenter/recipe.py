"""A training recipe: one TOML file, checked whole before any work starts."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bt_node.domain.study import Role

Chance = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RecipeError(ValueError):
    """The recipe cannot be read; the message lists every mistake."""


class DataRecipe(_Table):
    """`[data]`: what lies in the data folder and how it is split by case."""

    layout: Literal["brats2018"] = "brats2018"
    description: str  # for manifest and model card
    citation: str
    validation_cases: Positive
    roles: tuple[Role, ...] = (Role.T1, Role.T1C, Role.T2, Role.FLAIR)


class NetworkRecipe(_Table):
    """`[network]`: as it will stand in the release's manifest."""

    architecture: Literal["unet", "segresnet", "segresnet_vae"]
    arguments: Mapping[str, Any]


class SamplingRecipe(_Table):
    """`[sampling]`: which patches the network sees."""

    patch: tuple[Positive, Positive, Positive]  # (Z, Y, X) voxels of 1 mm
    batch: Positive = 2
    tumour_centred: Chance = 0.5


class AugmentationRecipe(_Table):
    """`[augmentation]`: the chance of each distortion per patch (see `training.segmenter.augment`)."""

    flip_left_right: Chance = 0.5
    flip_other: Chance = 0.0  # anterior-posterior and superior-inferior, each
    turn_and_scale: Chance = 0.0
    thick_slices: Chance = 0.0
    bias_field: Chance = 0.0
    brain_mask: Chance = 0.0
    contrast: Chance = 0.0  # per sequence: gain and shift
    gamma: Chance = 0.0  # per sequence
    noise: Chance = 0.0
    blur: Chance = 0.0
    sequence_dropout: Chance = 0.0  # some sequences are missing, never both FLAIR and T1c


class OptimiserRecipe(_Table):
    """`[optimiser]`: AdamW, warm-up, cosine decay, and the average of the weights that is released."""

    steps: Positive
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    warmup_steps: Annotated[int, Field(ge=0)] = 20
    clip_norm: Annotated[float, Field(gt=0)] = 5.0
    ema_decay: Annotated[float, Field(gt=0, lt=1)] = 0.99
    checkpoint_every: Positive = 50
    validate_every: Positive = 100


class OutputRecipe(_Table):
    """`[output]`: how the release turns probabilities into labels."""

    thresholds: tuple[float, float, float] = (0.5, 0.5, 0.5)
    min_component_ml: tuple[float, float, float] = (0.0, 0.0, 0.0)
    window: tuple[Positive, Positive, Positive]  # sliding window of the release, (Z, Y, X) voxels


class SegmenterRecipe(_Table):
    """A whole recipe."""

    name: str
    version: str
    seed: int
    data: DataRecipe
    network: NetworkRecipe
    sampling: SamplingRecipe
    augmentation: AugmentationRecipe
    optimiser: OptimiserRecipe
    output: OutputRecipe


def read_recipe(path: Path) -> SegmenterRecipe:
    """Read and check a recipe.

    Raises:
        RecipeError: unreadable, not TOML, or wrong; all mistakes in one message.
    """
    try:
        return SegmenterRecipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path}: {error}") from error
    except ValidationError as error:
        lines = [f"  - {'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise RecipeError("\n".join([f"{path} has {len(lines)} mistake(s):", *lines])) from error
