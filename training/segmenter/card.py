"""MODEL_CARD.md of a segmenter, worded from its run. Nothing in a card is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.segmenter.evaluate import REGIONS, CaseScore, mean_scores
from training.segmenter.recipe import AugmentationRecipe, SegmenterRecipe

_LIMITS = """\
- **For research use only, not for diagnosis.** It outlines what looks like a glioma in the training data. It has not
  seen metastases, meningiomas, resection cavities, post-radiation change, strokes, children or heads without tumour.
- {cases} training cases are few; expect it to miss faint lesions and to be worse on other scanners.
- The validation cases were looked at during training and are {validation}; the means below carry wide, unstated
  intervals.
- Training data are skull-stripped at 1 mm. Thick slices and imperfect brain masks were only simulated. What the brain
  mask of the node cuts off cannot be outlined; what it leaves of scalp or orbit may be outlined wrongly.
- All {roles} sequences are needed, registered to one another and z-scored inside the brain by `bt_node.convert`."""

_TABLE_NOTE = (
    "Dice of the released file on the validation cases, and volumes as drawn / true in ml. A region that both leave "
    "empty counts 1."
)


def model_card(recipe: SegmenterRecipe, manifest: Mapping[str, Any], scores: Sequence[CaseScore]) -> str:
    """The whole card in Markdown.

    Args:
        recipe: of the run.
        manifest: tables as they are written to manifest.toml, without `[weights]`.
        scores: of the release's own file on the validation cases.
    """
    training = manifest["training"]
    parts = [
        f"# {recipe.name} {recipe.version}: outline of a brain tumour in MRI",
        "Written by `python -m training segmenter export` from the run's own files; edits here will be overwritten.",
        "## What it is",
        _what(recipe),
        "## Limits",
        _LIMITS.format(cases=training["cases"], validation=len(scores), roles=len(recipe.data.roles)),
        "## Data",
        _data(recipe, training),
        "## Training",
        _training(recipe, training),
        "## Validation",
        _table(scores),
    ]
    return "\n\n".join(parts) + "\n"


def _what(recipe: SegmenterRecipe) -> str:
    arguments = ", ".join(f"{name} {value}" for name, value in recipe.network.arguments.items())
    thresholds = ", ".join(
        f"{region.value} above {threshold:g} and at least {smallest:g} ml"
        for region, threshold, smallest in zip(
            REGIONS, recipe.output.thresholds, recipe.output.min_component_ml, strict=True
        )
    )
    return (
        f"Network `{recipe.network.architecture}` ({arguments}). In: {', '.join(recipe.data.roles)} in this order, "
        "1 mm isotropic, axes along LPS, z-scored inside the brain, 0 outside. Out: probabilities of whole tumour "
        f"(WT), tumour core (TC) and enhancing tumour (ET). A voxel is labelled where {thresholds}; "
        "regions are kept nested."
    )


def _data(recipe: SegmenterRecipe, training: Mapping[str, Any]) -> str:
    return (
        f"{recipe.data.description}. Research use under the terms of the BraTS challenge; "
        f"cite {recipe.data.citation}. Split by case with seed {recipe.seed}: {training['cases']} to train, "
        f"{len(training['validation_cases'])} to validate ({', '.join(training['validation_cases'])}). "
        f"SHA-256 of the split {training['split_sha256']}."
    )


def _training(recipe: SegmenterRecipe, training: Mapping[str, Any]) -> str:
    plan, sampling = recipe.optimiser, recipe.sampling
    patch = "×".join(map(str, sampling.patch))
    return (
        f"`{training['command']}`\n\nStep {training['step']} of {training['steps_planned']} planned, "
        f"{sampling.batch} patches of {patch} voxels a step, "
        f"{sampling.tumour_centred:.0%} of them around a tumour voxel. Dice plus binary cross-entropy; AdamW, "
        f"learning rate {plan.learning_rate:g} falling along a cosine; released are weights averaged with decay "
        f"{plan.ema_decay:g}, in half precision. Chance of each distortion: {_distortions(recipe.augmentation)}."
    )


def _distortions(recipe: AugmentationRecipe) -> str:
    chances = recipe.model_dump()
    return ", ".join(f"{name.replace('_', ' ')} {chance:g}" for name, chance in chances.items() if chance > 0)


def _table(scores: Sequence[CaseScore]) -> str:
    means = mean_scores(scores)
    heads = [f"Dice {region.value}" for region in REGIONS] + [f"{region.value} ml" for region in REGIONS]
    lines = [_TABLE_NOTE, "", f"| case | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for score in scores:
        dice = " | ".join(f"{score.dice[region]:.3f}" for region in REGIONS)
        volumes = " | ".join(f"{score.predicted_ml[region]:.1f} / {score.true_ml[region]:.1f}" for region in REGIONS)
        lines.append(f"| {score.name} | {dice} | {volumes} |")
    bold = [f"**{means[region]:.3f}**" for region in REGIONS] + [""] * len(REGIONS)
    lines.append(f"| **mean** | {' | '.join(bold)} |")
    return "\n".join(lines)
