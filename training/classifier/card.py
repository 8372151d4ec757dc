"""MODEL_CARD.md, worded from a run's facts. Nothing in a card is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bt_node.domain.tumour import LEAST_TYPE_PROBABILITY
from training.classifier.recipe import AugmentationRecipe, ClassifierRecipe
from training.classifier.wording import (
    KEY_FIGURES,
    class_table,
    confusion_table,
    control_told,
    intervals_told,
    split_told,
    with_interval,
)

_NETWORKS = {
    "vgg16": "VGG16 (arXiv:1409.1556)",
    "resnet50": "ResNet50 (arXiv:1512.03385)",
    "efficientnet_b0": "EfficientNet-B0 (arXiv:1905.11946)",
}

_LIMITS = """\
- **For research use only, not for diagnosis.** It names four classes and no others: a metastasis, an abscess, a
  lymphoma or a fresh operation is still called one of the four.
- **Confound.** Nearly all pictures without tumour come from another source, and from other sequences, than those
  with a tumour; the table of the control classifier says what histogram numbers alone can tell. Framing, borrowed
  tones and slices of the same volumes with and without tumour work against it, but validation on the pictures
  cannot show how far: read the line "no_tumour" of the pictures as a test of the source, and that of the slices
  (few patients, skull-stripped or in synthetic heads) as the harder one. A real post-contrast head without tumour
  may still be called a tumour.
- Meningioma and pituitary tumour come from one source only (two hospitals, one country).
- Where files name no patients, the split keeps blocks of file numbers, or groups, together: a proxy for a split by
  patient, and so are the groups of the intervals. The best epoch was chosen on the validation pictures, so the
  figures are a little too good; so was the temperature, which is why calibration is told with temperatures that
  were fitted on other groups.
- It is to be used on axial slices after contrast, with skull, in the head's usual pose."""
_CALIBRATION = ("ece_cross_fitted", "ece", "ece_uncalibrated")


def model_card(recipe: ClassifierRecipe, metrics: Mapping[str, Any], facts: Mapping[str, Any], command: str) -> str:
    """The whole card in Markdown."""
    parts = [
        f"# {recipe.name} {recipe.version}: tumour type from 2D slices",
        "Written by `python -m training classifier export` from the run's own files; edits here will be overwritten.",
        "## What it is",
        _what(recipe, metrics, facts),
        "## Limits",
        _LIMITS,
        "## When a type is named",
        limit_told(metrics.get("type_limit")),
        "## Data",
        _sources(recipe),
        _split(metrics, facts),
        "## Training",
        _training(recipe, metrics, command),
        "## Validation pictures",
        *_measured(metrics["pictures"], metrics["classes"]),
    ]
    if "slices" in metrics:
        cases = ", ".join(facts.get("validation_cases", ()))
        parts += [f"## Validation slices of volumes ({cases})", *_measured(metrics["slices"], metrics["classes"])]
    return "\n\n".join(parts) + "\n"


def _what(recipe: ClassifierRecipe, metrics: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    size, given = recipe.input.size, facts.get("pretrained_sha256")
    start = f"weights with SHA-256 {given}" if given else "random weights"
    arguments = ", ".join(f"{name} {value}" for name, value in recipe.network.arguments.items())
    mirrored = " The logits are the mean over a slice and its mirror image." if metrics.get("mirror_average") else ""
    return (
        f"{_NETWORKS[recipe.network.architecture]}{f' ({arguments})' if arguments else ''}, {size}×{size} pixels, "
        f"three equal channels, from {start}. "
        f"Classes: {', '.join(metrics['classes'])}. A slice is cut to the head's bounding box, padded to a "
        "square, scaled by its percentiles and resized (`bt_node/infer/picture.py`, the same code in training). "
        f"Probabilities are the softmax of the logits over a temperature of {metrics['temperature']:.3f}; those of "
        f"several slices of a study are averaged.{mirrored}"
    )


def limit_told(limit: Mapping[str, Any] | None) -> str:
    """What the limit is, how it was chosen and what it does; `limit` as `metrics.json` holds it."""
    if limit is None:
        return (
            "No limit could be measured (too few groups of a type, or no limit was enough): no type is named below "
            f"{LEAST_TYPE_PROBABILITY:.0%}, the node's cautious default, given that there is a tumour."
        )
    shares = {name: f"{value:.1%}" for name, value in limit.items() if name.startswith(("named", "right"))}
    tried = ""
    if "right_cross_fitted" in limit:
        tried = (
            " Chosen on one half of the groups and tried on the other, temperature included (means of eight "
            f"halvings): limit {limit['limit_cross_fitted']:.2f}, {shares['named_cross_fitted']} named, "
            f"{shares['right_cross_fitted']} of these rightly, {shares['right_below_cross_fitted']} of the others."
        )
    return (
        "Where something is outlined, the probabilities of the three tumour types alone, made to sum to 1 at the "
        f"same temperature, say which type it is; below **{limit['limit']:.2f}** none is named (indeterminate). It "
        f"is the least at which {limit['wanted']:.0%} of the named pictures are right by the lower end of a 95 % "
        f"interval over groups. Of the {limit['pictures']} validation pictures with a tumour ({limit['groups']} "
        f"groups) {shares['named']} are named, {shares['right']} of these rightly, and {shares['right_below']} of "
        f"those below the limit; calibration error of the three probabilities {limit['ece_given_tumour']:.3f}."
        f"{tried} All this is measured on single pictures of the training's own sources; a study is the mean of up "
        "to nine slices, and another source may be worse."
    )


def _sources(recipe: ClassifierRecipe) -> str:
    lines = []
    for source in recipe.data.sources:
        remark = f" {source.remark}" if source.remark else ""
        lines.append(
            f"- **{', '.join(source.classes)}**: {source.name}. Licence: {source.licence}. {source.citation}.{remark}"
        )
    return "\n".join(lines)


def _split(metrics: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    text = (
        f"{metrics['train_pictures']} pictures to train, {metrics['pictures']['pictures']} to validate. "
        f"{split_told(facts)}"
    )
    if "slices" in metrics:
        text += (
            f" {metrics['train_slices']} slices of volumes to train, {metrics['slices']['pictures']} to validate, "
            f"split by case; SHA-256 of that split {facts['volumes_split_sha256']}."
        )
    return text


def _training(recipe: ClassifierRecipe, metrics: Mapping[str, Any], command: str) -> str:
    stages = ", ".join(
        f"{stage.epochs} epochs at {stage.size} pixels{' (last layer only)' if stage.frozen else ''}"
        for stage in recipe.stages
    )
    settings = recipe.optimiser
    return (
        f"`{command}`\n\nSeed {recipe.seed}; planned were {stages}; released is epoch {metrics['epoch']} (averaged "
        f"weights, half precision). AdamW, learning rate {settings.learning_rate:g} falling along a cosine, "
        f"cross-entropy with class weights and label smoothing {settings.label_smoothing:g}. Distortions: "
        f"{_distortions(recipe.augmentation)}."
    )


def _distortions(augmentation: AugmentationRecipe) -> str:
    """Names and sizes of those that were used."""
    used = {name: value for name, value in augmentation.model_dump().items() if value}
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in used.items()) or "none"


def _measured(numbers: Mapping[str, Any], classes: Sequence[str]) -> list[str]:
    """Key figures in words, tables, and what the control classifier makes of the same pictures."""
    control = control_told(numbers)
    return [
        _told(numbers),
        intervals_told(numbers),
        class_table(numbers, classes),
        confusion_table(numbers, classes),
        *(["### How much is confound", control] if control is not None else []),
    ]


def _told(numbers: Mapping[str, Any]) -> str:
    def figure(name: str) -> str:
        return with_interval(numbers, name, numbers[name])

    text = (
        f"{numbers['pictures']} pictures. Accuracy {figure('accuracy')}; balanced accuracy "
        f"{figure('balanced_accuracy')}; over the three tumour types {figure('balanced_accuracy_three_tumours')} "
        f'(an answer "no_tumour" counts as wrong), {figure("balanced_accuracy_three_tumours_forced")} when a tumour '
        "type must be named."
    )
    calibration = {name: KEY_FIGURES[name] for name in _CALIBRATION if name in numbers}
    text += "".join(f" {words[0].upper()}{words[1:]}: {figure(name)}." for name, words in calibration.items())
    return text
