"""Pieces of Markdown that report and model card share: figures with intervals, confusion matrix, the control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.classifier.control import THREE_TUMOURS, TUMOUR_OR_NONE
from training.classifier.metrics import TUMOURS

KEY_FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy, all classes",
    "balanced_accuracy_tumour_or_none": "balanced accuracy, tumour or none",
    "balanced_accuracy_three_tumours": 'balanced accuracy, three tumour types ("no_tumour" counts as wrong)',
    "balanced_accuracy_three_tumours_forced": "balanced accuracy, three tumour types (one of them must be named)",
    "macro_precision": "precision, mean of classes",
    "macro_recall": "recall, mean of classes",
    "macro_f1": "F1, mean of classes",
    "macro_auc": "ROC-AUC one against the rest, mean of classes",
    "ece_cross_fitted": "expected calibration error, temperature fitted on other groups",
    "ece": "expected calibration error, temperature of the release",
    "ece_uncalibrated": "expected calibration error, before temperature",
    "brier_cross_fitted": "Brier score (0 to 2), temperature fitted on other groups",
    "brier": "Brier score (0 to 2), temperature of the release",
    "nll": "cross-entropy, mean of classes (nats)",
}
BY_CLASS = ("precision", "recall", "f1", "auc")
_CHANCE_OF_TWO = 0.5


def number(value: float | None) -> str:
    """Three digits, or a dash where there is nothing to measure."""
    return "–" if value is None else f"{value:.3f}"


def interval(numbers: Mapping[str, Any], name: str) -> str:
    """The 95 % interval of a figure in brackets, or nothing."""
    found = numbers.get("intervals", {}).get(name)
    return "" if found is None else f"[{found[0]:.3f}, {found[1]:.3f}]"


def with_interval(numbers: Mapping[str, Any], name: str, value: float | None) -> str:
    """`0.812 [0.770, 0.850]`."""
    return f"{number(value)} {interval(numbers, name)}".strip()


def intervals_told(numbers: Mapping[str, Any]) -> str:
    """What the brackets are, or why there are none."""
    if numbers.get("intervals"):
        return (
            f"In brackets: 95 % intervals from {numbers['intervals_from']} bootstrap draws of whole groups within "
            f"each class ({numbers['groups']} groups: {numbers['group_is']}). With few groups of a class they are "
            "too narrow."
        )
    reason = numbers.get("no_intervals", "they were not computed")
    groups, words = numbers.get("groups", "unknown"), numbers.get("group_is", "unknown")
    return f"No intervals: {reason} (groups: {groups}, {words})."


def key_table(numbers: Mapping[str, Any]) -> str:
    """Figures of all classes together."""
    lines = ["| figure | value | 95 % interval |", "|---|---|---|"]
    for name, words in KEY_FIGURES.items():
        if name in numbers:
            lines.append(f"| {words} | {number(numbers[name])} | {interval(numbers, name) or '–'} |")
    return "\n".join(lines)


def class_table(numbers: Mapping[str, Any], classes: Sequence[str]) -> str:
    """Precision, recall, F1 and AUC of each class."""
    names = [name for name in BY_CLASS if name in numbers]
    lines = [f"| class | pictures | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for kind, row in zip(classes, numbers["confusion"], strict=True):
        cells = [with_interval(numbers, f"{name}.{kind}", numbers[name][kind]) for name in names]
        lines.append(f"| {kind} | {sum(row)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def confusion_table(numbers: Mapping[str, Any], classes: Sequence[str]) -> str:
    """Counts: rows are the truth, columns the answers."""
    lines = [
        f"| true \\ named | {' | '.join(classes)} | recall |",
        f"|---|{'---|' * (len(classes) + 1)}",
    ]
    for kind, row in zip(classes, numbers["confusion"], strict=True):
        lines.append(f"| {kind} | {' | '.join(map(str, row))} | {number(numbers['recall'][kind])} |")
    return "\n".join(lines)


def split_told(facts: Mapping[str, Any]) -> str:
    """The split's hash, and what the leakage guard found; runs older than the guard compared contents only."""
    guard = facts.get("guard", {}).get("words", "No file lies, by its content, in both parts.")
    return f"SHA-256 of the split: {facts.get('split_sha256', 'unknown')}. {guard}"


def control_told(numbers: Mapping[str, Any]) -> str | None:
    """How well tones alone answer the same questions, beside the network; None where they were not asked."""
    control = {name: value for name, value in numbers.get("control", {}).items() if value is not None}
    if not control:
        return None
    occurring = sum(1 for tumour in TUMOURS if sum(numbers["confusion"][tumour]))
    asked = (
        (TUMOUR_OR_NONE, TUMOUR_OR_NONE, "tumour or none", _CHANCE_OF_TWO),
        (THREE_TUMOURS, f"{THREE_TUMOURS}_forced", "which of the tumour types", 1 / max(occurring, 1)),
    )
    lines = ["| question | chance | eleven histogram numbers | this network |", "|---|---|---|---|"]
    sentences = []
    for name, own, words, chance in asked:
        if name in control and numbers.get(own) is not None:
            there = with_interval(numbers, f"control.{name}", control[name])
            here = with_interval(numbers, own, numbers[own])
            lines.append(f"| {words} | {chance:.3f} | {there} | {here} |")
            sentences.append(_share(words, control[name], numbers[own], chance))
    text = (
        "A random forest that gets eleven numbers of the histogram of what the network sees (the framed head), and "
        "neither place nor shape, was trained and measured on the same pictures. What it can do needs no tumour to "
        "be seen: source, sequence and tones are enough. "
    )
    sentences.append(
        "That is a floor of the confound, not its measure: texture, compression and field of view also tell sources."
    )
    return "\n".join([text + " ".join(sentences), "", "Balanced accuracies:", "", *lines])


def _share(words: str, control: float, network: float, chance: float) -> str:
    if network <= chance:
        return f'For "{words}" the network is no better than chance.'
    share = min(1.0, max(0.0, (control - chance) / (network - chance)))
    return f'For "{words}", tones alone reach {share:.0%} of what the network shows above chance.'
