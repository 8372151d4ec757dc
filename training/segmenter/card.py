"""MODEL_CARD.md of a segmenter, worded from its run. Nothing in a card is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bt_node.domain.study import Role
from training.segmenter.evaluate import REGIONS, CaseScore
from training.segmenter.recipe import AugmentationRecipe, SegmenterRecipe
from training.segmenter.report import SUBSETS_NOTE
from training.segmenter.report_tables import cases_table, measures_table, subsets_table
from training.segmenter.subsets import SubsetScore
from training.segmenter.summary import Summary, how_intervals_were_made
from training.segmenter.tuning import LEAST_GAIN, Tuning

_LIMITS = """\
- **For research use only, not for diagnosis.** It outlines what looks like a glioma in the training data. It has not
  seen metastases, meningiomas, resection cavities, post-radiation change, strokes, children or heads without tumour.
- {cases} training cases are few; expect it to miss faint lesions and to be worse on other scanners.
- {trust}
- Training data are skull-stripped at 1 mm. Thick slices and imperfect brain masks were only simulated. What the brain
  mask of the node cuts off cannot be outlined; what it leaves of scalp or orbit may be outlined wrongly.
- {sequences} Sequences must be registered to one another and z-scored inside the brain, as `bt_node.convert` does.
- Enhancing tumour is the weakest region; in lower-grade gliomas, where there may be none, it is easily overdrawn."""

WATCHED_HEADING = "## Validation: watched cases, not what to expect"

_TABLE_NOTE = (
    "Dice, IoU, sensitivity and precision from 0 to 1; a region that both sides leave empty counts 1. HD95 is the "
    "larger of both directions' 95th percentile of surface distances."
)

_LOSSES = {"dice+bce": "Dice plus cross-entropy", "dice": "Dice"}
_SCHEDULES = {"cosine": "a cosine", "poly": "a power of the steps left"}


@dataclass(frozen=True)
class Facts:
    """What a card is written from.

    Attributes:
        recipe: of the run.
        manifest: tables as they are written to manifest.toml, without `[weights]`.
        scores: on the validation cases.
        subsets: mean Dice by subset of sequences; empty where the release needs all.
        summary: of the scores.
        tuning: what was chosen on the validation cases, if anything was.
    """

    recipe: SegmenterRecipe
    manifest: Mapping[str, Any]
    scores: Sequence[CaseScore]
    subsets: Sequence[SubsetScore]
    summary: Summary
    tuning: Tuning | None


def model_card(facts: Facts) -> str:
    """The whole card in Markdown."""
    recipe, training = facts.recipe, facts.manifest["training"]
    parts = [
        f"# {recipe.name} {recipe.version}: outline of a brain tumour in MRI",
        "Written by `python -m training segmenter export` from the run's own files; edits here will be overwritten.",
        "## What it is",
        _what(facts.manifest),
        "## Limits",
        _LIMITS.format(cases=training["cases"], trust=_trust(facts), sequences=_sequences(facts.manifest["input"])),
        "## Data",
        _data(recipe, training),
        "## Training",
        _training(facts),
        WATCHED_HEADING,
        f"{_whose(facts)} {_TABLE_NOTE} {how_intervals_were_made(len(facts.scores))}",
        measures_table(facts.summary),
        "### Cases",
        cases_table(facts.scores),
    ]
    if facts.subsets:
        parts += ["### When sequences are missing", SUBSETS_NOTE, subsets_table(facts.subsets)]
    parts += ["### Tuned on the validation cases", _tuned(facts.tuning)]
    return "\n\n".join(parts) + "\n"


def _what(manifest: Mapping[str, Any]) -> str:
    network, reads, output = manifest["network"], manifest["input"], manifest["output"]
    arguments = ", ".join(f"{name} {value}" for name, value in network["arguments"].items())
    members = f" {network['members']} of them, whose probabilities are averaged." if network["members"] > 1 else ""
    rules = zip(REGIONS, output["thresholds"], output["min_component_ml"], output["min_region_ml"], strict=True)
    words = "; ".join(
        f"{region.value} where its probability is above {threshold:g}, in parts of at least {part:g} ml"
        + (f", at least {whole:g} ml in all" if whole else "")
        for region, threshold, part, whole in rules
    )
    flips = f" Mirrored along {', '.join(reads['flips'])} as well, answers averaged." if reads["flips"] else ""
    return (
        f"Network `{network['architecture']}` ({arguments}).{members} In: {', '.join(reads['roles'])} in this order, "
        "1 mm isotropic, axes along LPS, z-scored inside the brain, 0 outside. Out: probabilities of whole tumour "
        "(WT), tumour core (TC) and enhancing tumour (ET), from windows of "
        f"{'×'.join(map(str, reads['patch']))} voxels that overlap by {reads['overlap']:.0%}.{flips} "
        f"Labelled are: {words}. Regions are kept nested; enhancing tumour that falls short counts as core."
    )


def _trust(facts: Facts) -> str:
    tuned = (
        " Thresholds and smallest volumes were chosen on them too." if facts.tuning and facts.tuning.changes else ""
    )
    return (
        f"The {len(facts.scores)} validation cases were watched during training.{tuned} Their figures are therefore "
        "optimistic, and with so few cases uncertain: they are not what to expect."
    )


def _sequences(reads: Mapping[str, Any]) -> str:
    if not reads["needs_one_of"]:
        return f"All of {', '.join(reads['roles'])} are needed."
    one_of = " or ".join(Role(role).value for role in reads["needs_one_of"])
    return f"It answers when {one_of} is there; with fewer sequences it is worse (see below)."


def _data(recipe: SegmenterRecipe, training: Mapping[str, Any]) -> str:
    return (
        f"{recipe.data.description}. Use of the data under their own terms (BraTS: research); "
        f"cite {recipe.data.citation}. Split by patient with seed {recipe.seed}: {training['cases']} to train, "
        f"{len(training['validation_cases'])} to validate ({', '.join(training['validation_cases'])}). "
        f"SHA-256 of the split {_listed(training['split_sha256'])}."
    )


def _training(facts: Facts) -> str:
    recipe, training = facts.recipe, facts.manifest["training"]
    plan, sampling = recipe.optimiser, recipe.sampling
    patch = "×".join(map(str, sampling.patch))
    supervised = recipe.network.arguments.get("deep_supervision", 0)
    coarser = f", also on {supervised} coarser levels of the decoder" if supervised else ""
    return (
        f"`{training['command']}`\n\nStep {training['step']} of {training['steps_planned']} planned, "
        f"{sampling.batch} patches of {patch} voxels a step, "
        f"{sampling.tumour_centred:.0%} of them around a tumour voxel. {_LOSSES[plan.loss]}{coarser}; "
        f"{plan.algorithm}, learning rate {plan.learning_rate:g} falling along {_SCHEDULES[plan.schedule]}; "
        f"released are weights averaged with decay {plan.ema_decay:g}, in half precision, "
        f"{training.get('weights', 'of the last step')}. "
        f"Chance of each distortion: {_distortions(recipe.augmentation)}."
    )


def _distortions(recipe: AugmentationRecipe) -> str:
    chances = recipe.model_dump()
    return ", ".join(f"{name.replace('_', ' ')} {chance:g}" for name, chance in chances.items() if chance > 0)


def _whose(facts: Facts) -> str:
    if facts.manifest["network"]["members"] == 1:
        return "Figures of the released file on the validation cases, all sequences given."
    return (
        "Cross-validation: each case is outlined by the one member that did not train on it. The ensemble itself has "
        "no case that is new to it, so it has no figures of its own."
    )


def _tuned(tuning: Tuning | None) -> str:
    if tuning is None:
        return "Nothing was tuned: thresholds and smallest volumes are the recipe's."
    tried = (
        f"Thresholds and smallest volumes were tried on the same {tuning.cases} validation case(s). A change needed "
        f"a gain of {LEAST_GAIN:g} in the region's mean Dice, and no fall when any one case is left out."
    )
    if not tuning.changes:
        return f"{tried} None was good enough: the recipe's values stand."
    gained = ", ".join(
        f"{region} {tuning.before[region]:.3f} to {tuning.after[region]:.3f}" for region in tuning.after
    )
    return f"{tried} Changed: {'; '.join(tuning.changes)}. Mean Dice on these cases: {gained}. That is optimistic."


def _listed(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)
