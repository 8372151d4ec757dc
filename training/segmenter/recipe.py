"""A training recipe: one TOML file, checked whole before any work starts."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bt_node.domain.study import Role
from bt_node.infer.release import Intended
from training.segmenter.case import LabelScheme, Layout

Chance = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RecipeError(ValueError):
    """The recipe cannot be read; the message lists every mistake."""


class DataRecipe(_Table):
    """`[data]`: what lies in the data folder and how it is split, always by patient.

    Who validates is said in one of three ways: `validation_cases` (so many, drawn by the seed), `validation` (a list
    of cases or patients), or `folds` and `fold`.
    """

    layout: Layout = "brats2018"
    label_scheme: LabelScheme | None = None  # None: as the layout usually has it
    description: str  # for manifest and model card
    citation: str
    validation_cases: Positive | None = None
    validation: tuple[str, ...] = ()
    folds: Annotated[int, Field(ge=2)] | None = None
    fold: Annotated[int, Field(ge=0)] = 0
    kept_apart: tuple[str, ...] = ()  # cases or patients that neither train nor validate: for `evaluate --kept-apart`
    roles: tuple[Role, ...] = (Role.T1, Role.T1C, Role.T2, Role.FLAIR)

    @model_validator(mode="after")
    def _one_way_to_split(self) -> Self:
        ways = [self.validation_cases is not None, bool(self.validation), self.folds is not None]
        if sum(ways) != 1:
            raise ValueError("name one of validation_cases, validation and folds")
        if self.fold >= (self.folds or 1):
            raise ValueError(f"fold must be 0 to {(self.folds or 1) - 1}, not {self.fold}")
        return self


class NetworkRecipe(_Table):
    """`[network]`: as it will stand in the release's manifest."""

    architecture: Literal["unet", "segresnet", "segresnet_vae"]
    arguments: Mapping[str, Any]
    start_from: Path | None = None  # folder of a release of the same network whose weights are the first


class SamplingRecipe(_Table):
    """`[sampling]`: which patches the network sees."""

    patch: tuple[Positive, Positive, Positive]  # (Z, Y, X) voxels of 1 mm
    batch: Positive = 2
    tumour_centred: Chance = 0.5
    hardly_enhancing: Chance = (
        0.0  # patches from cases with less than a tenth of their core enhancing; 0: as they come
    )


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
    no_enhancement: Chance = 0.0  # T1 in T1c's place, enhancing tumour becomes core
    other_lesion: Chance = 0.0  # the lesion is made fainter, or its core a cyst
    sequence_dropout: Chance = 0.0  # some sequences are missing, never both FLAIR and T1c


class OptimiserRecipe(_Table):
    """`[optimiser]`: how the weights change, and the average of them that is released."""

    steps: Positive
    algorithm: Literal["adamw", "adam"] = "adamw"  # in "adam", weight_decay is an L2 penalty
    schedule: Literal["cosine", "poly"] = "cosine"  # after the warm-up; "poly": (1 - step / steps) ** 0.9
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    warmup_steps: Annotated[int, Field(ge=0)] = 20
    clip_norm: Annotated[float, Field(gt=0)] = 5.0
    ema_decay: Annotated[float, Field(gt=0, lt=1)] = 0.99
    checkpoint_every: Positive = 50
    validate_every: Positive = 100
    # Of a region that a patch lacks, Dice with 1 voxel of smoothing is as good as flat; with hundreds it is not.
    dice_smooth_voxels: Annotated[float, Field(gt=0)] = 1.0
    loss: Literal["dice+bce", "dice"] = "dice+bce"  # cross-entropy of exclusive labels is over the four of them
    compile: bool = False  # torch.compile, on CUDA only: pays after some hundred steps


class OutputRecipe(_Table):
    """`[output]`: how the release turns probabilities into labels."""

    thresholds: tuple[float, float, float] = (0.5, 0.5, 0.5)
    min_component_ml: tuple[float, float, float] = (0.0, 0.0, 0.0)
    min_region_ml: tuple[float, float, float] = (0.0, 0.0, 0.0)  # a region that is smaller in all is dropped whole
    channels: Literal["nested", "exclusive"] = "nested"  # WT, TC, ET; or background, NCR, ED, ET (out_channels = 4)
    window: tuple[Positive, Positive, Positive]  # sliding window of the release, (Z, Y, X) voxels
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5  # of neighbouring windows
    flips: tuple[Literal["Z", "Y", "X"], ...] = ()  # mirrored as well and averaged: 2 ** len(flips) times the work


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
    intended: Intended = Intended()  # goes into the manifest as it is: the node holds studies of younger patients

    @model_validator(mode="after")
    def _network_fits(self) -> Self:
        arguments, roles = self.network.arguments, len(self.data.roles)
        if arguments.get("in_channels", roles) != roles:
            raise ValueError(f"network.arguments.in_channels is {arguments['in_channels']}, data.roles are {roles}")
        patch = arguments.get("patch")
        if self.network.architecture == "segresnet_vae" and patch and tuple(patch) != self.sampling.patch:
            raise ValueError(f"network.arguments.patch {patch} must be sampling.patch {list(self.sampling.patch)}")
        return self

    @model_validator(mode="after")
    def _as_many_channels_as_labels(self) -> Self:
        wanted = {"nested": 3, "exclusive": 4}[self.output.channels]
        if self.network.arguments.get("out_channels", wanted) != wanted:
            raise ValueError(f"[output] channels = {self.output.channels!r} needs out_channels = {wanted}")
        return self


def with_architecture(recipe: SegmenterRecipe, architecture: str) -> SegmenterRecipe:
    """The recipe with another network at its usual size.

    Raises:
        RecipeError: no such network.
    """
    if architecture not in _USUAL_ARGUMENTS:
        raise RecipeError(f"architecture {architecture!r} is unknown; known are {', '.join(_USUAL_ARGUMENTS)}")
    arguments = {
        "in_channels": len(recipe.data.roles),
        "out_channels": recipe.network.arguments.get("out_channels", 3),
        **_USUAL_ARGUMENTS[architecture],
        **({"patch": list(recipe.sampling.patch)} if architecture == "segresnet_vae" else {}),
    }
    return _changed(recipe, network={"architecture": architecture, "arguments": arguments})


def with_fold(recipe: SegmenterRecipe, fold: int) -> SegmenterRecipe:
    """The recipe for another fold.

    Raises:
        RecipeError: the recipe has no folds, or fewer.
    """
    if recipe.data.folds is None:
        raise RecipeError("--fold needs a recipe with [data] folds")
    return _changed(recipe, data=recipe.data.model_dump() | {"fold": fold})


_USUAL_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "unet": {"channels": [16, 32, 64, 128, 256], "residual_units": 2, "bottleneck_dropout": 0.1},
    "segresnet": {"initial_filters": 16},
    "segresnet_vae": {"initial_filters": 16},
}


def _changed(recipe: SegmenterRecipe, **tables: Mapping[str, Any]) -> SegmenterRecipe:
    try:
        return SegmenterRecipe.model_validate(recipe.model_dump() | tables)
    except ValidationError as error:
        raise RecipeError("; ".join(item["msg"] for item in error.errors())) from error


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
