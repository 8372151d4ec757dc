"""A classifier's training recipe: one TOML file, checked whole before any work starts."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from training.segmenter.case import LabelScheme, Layout

Chance = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RecipeError(ValueError):
    """The recipe cannot be read; the message lists every mistake."""


class Source(_Table):
    """`[[data.sources]]`: where pictures came from, for manifest and model card."""

    name: str
    classes: tuple[str, ...]
    citation: str
    licence: str
    remark: str = ""


class VolumesRecipe(_Table):
    """`[data.volumes]`: slices of labelled volumes, as gliomas and as negatives of the same source."""

    folder: str = "segmentation"
    layout: Layout = "auto"  # as in the segmenter's recipe
    label_scheme: LabelScheme | None = None  # None: as the layout usually has it
    validation_cases: Positive = 3
    split_seed: int = 20181  # the segmenter's, so that both models keep the same cases apart
    spacing_mm: Positive = 4  # between slices that are taken
    glioma_mm2: Positive = 150  # tumour core on a slice that counts as glioma
    brain_mm2: Positive = 5000  # brain on a slice that counts as no tumour
    heads: Annotated[int, Field(ge=0)] = 1  # copies of each slice inside a synthetic head


class SplitRecipe(_Table):
    """`[data.split]`: how the validation part is drawn where the data folder names none; whole groups, by class."""

    validation_fraction: Annotated[float, Field(gt=0, le=0.5)] = 0.15  # rounded to one part in so many
    folds: Annotated[int, Field(ge=0)] = 0  # 0: by the fraction; k: one fold of k validates
    fold: Annotated[int, Field(ge=0)] = 0  # which one, from 0
    seed: int = 0

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if self.folds == 1 or self.fold >= max(self.folds, 1):
            raise ValueError("folds is 0 or at least 2, and fold lies below it")
        return self


class DataRecipe(_Table):
    """`[data]`: what lies in the data folder."""

    # split.csv with its pictures, or a folder for each class, or Figshare's .mat files, or the last two together
    pictures: str = "classification"
    parts: Literal["keep", "pool"] = "keep"  # of split.csv, or of folders Training and Testing; pool: drawn anew
    groups_table: str | None = None  # CSV beside folders of classes: path, and patient or group
    split: SplitRecipe = SplitRecipe()
    on_leak: Literal["stop", "drop", "regroup"] = "stop"  # copies or patients in both parts; --on-leak goes before
    volumes: VolumesRecipe | None = None
    sources: tuple[Source, ...] = ()


class NetworkRecipe(_Table):
    """`[network]`: as it will stand in the release's manifest."""

    architecture: Literal["vgg16", "resnet50", "efficientnet_b0"]
    arguments: Mapping[str, Any] = Field(default_factory=dict)


class InputRecipe(_Table):
    """`[input]`: as it will stand in the release's manifest."""

    size: Annotated[int, Field(ge=32)] = 224
    normalisation: str = "head-imagenet"


class OutputRecipe(_Table):
    """`[output]`: as it will stand in the release's manifest."""

    mirror_average: bool = False  # the answer is the mean over a picture and its mirror image; twice the time


class SamplingRecipe(_Table):
    """`[sampling]`: what one epoch shows. A number larger than what there is means all of it, once."""

    batch: Positive = 32
    tumour_pictures: Positive = 1_000_000
    no_tumour_pictures: Positive = 1_000_000
    volume_slices: Annotated[int, Field(ge=0)] = 0  # half glioma, half no tumour


class AugmentationRecipe(_Table):
    """`[augmentation]`: chances per picture and sizes (see `training.classifier.augment`)."""

    flip: Chance = 0.5
    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 20.0
    zoom: Annotated[float, Field(ge=0, lt=1)] = 0.2
    stretch: Annotated[float, Field(ge=0, lt=1)] = 0.1
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.08
    borrowed_tones: Chance = 0.3  # histogram of another picture of the batch, of any class and source
    gamma: Annotated[float, Field(ge=0)] = 0.3  # standard deviation of the exponent's logarithm
    bias_field: Chance = 0.3
    blur: Chance = 0.25
    jpeg: Chance = 0.25
    noise: Chance = 0.3
    mixup: Annotated[float, Field(ge=0)] = 0.0  # alpha of arXiv:1710.09412: pairs of pictures and labels are blended
    darkened_rim: Chance = 0.0  # the outermost tissue fades, as where a skull is stripped or out of the coil


class Stage(_Table):
    """`[[stages]]`: epochs at one picture size; small pictures first, since they cost a fraction."""

    epochs: Positive
    size: Annotated[int, Field(ge=32)]
    frozen: bool = False  # only the last layer learns: for the first epochs on top of pretrained weights


class OptimiserRecipe(_Table):
    """`[optimiser]`: warm-up, cosine decay, and an average of the weights."""

    algorithm: Literal["adam", "adamw"] = "adam"  # adamw: weight decay apart from the gradient
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    clip_norm: Annotated[float, Field(gt=0)] = 5.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.05
    ema_decay: Annotated[float, Field(gt=0, lt=1)] = 0.995
    bfloat16: bool | None = None  # None: on a GPU only; pays for ResNet50 and VGG16 on processors that multiply in it
    compile: bool = False  # torch.compile, on CUDA only: pays after some hundred steps
    patience: Positive = 10  # epochs of the last stage without improvement before it stops


class ClassifierRecipe(_Table):
    """A whole recipe."""

    name: str
    version: str
    seed: int
    data: DataRecipe
    network: NetworkRecipe
    input: InputRecipe = InputRecipe()
    output: OutputRecipe = OutputRecipe()
    sampling: SamplingRecipe = SamplingRecipe()
    augmentation: AugmentationRecipe = AugmentationRecipe()
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    optimiser: OptimiserRecipe = OptimiserRecipe()

    @property
    def epochs(self) -> int:
        """Epochs of all stages together."""
        return sum(stage.epochs for stage in self.stages)

    def stage_of(self, epoch: int) -> Stage:
        """The stage that zero-based `epoch` belongs to."""
        for stage in self.stages:
            if epoch < stage.epochs:
                return stage
            epoch -= stage.epochs
        return self.stages[-1]

    def size_in(self, epoch: int) -> int:
        """Picture size in zero-based `epoch`."""
        return self.stage_of(epoch).size


def read_recipe(path: Path) -> ClassifierRecipe:
    """Read and check a recipe.

    Raises:
        RecipeError: unreadable, not TOML, or wrong; all mistakes in one message.
    """
    try:
        return ClassifierRecipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path}: {error}") from error
    except ValidationError as error:
        lines = [f"  - {'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise RecipeError("\n".join([f"{path} has {len(lines)} mistake(s):", *lines])) from error
