"""The report of an evaluated run: `RUN/report/` with text, tables, figures and Grad-CAM pages.

The Grad-CAM pages show patients, so the folder stays with the run.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.classifier import gradcam, plots
from training.classifier.evaluate import Answers, Evaluation
from training.classifier.metrics import softmax
from training.classifier.recipe import ClassifierRecipe
from training.classifier.wording import (
    BY_CLASS,
    class_table,
    confusion_table,
    control_told,
    intervals_told,
    key_table,
    split_told,
    with_interval,
)
from training.runs import write_atomically, write_json

REPORT = "report"
TITLES = {"pictures": "Validation pictures", "slices": "Validation slices of volumes"}


def write_report(recipe: ClassifierRecipe, evaluation: Evaluation, run: Path) -> Path:
    """Write everything into `RUN/report/`; returns that folder."""
    folder = run / REPORT
    folder.mkdir(parents=True, exist_ok=True)
    metrics = evaluation.metrics
    write_json(folder / "report.json", {"note": plots.RESEARCH_ONLY, **metrics})
    write_atomically(folder / "report.csv", _as_csv(metrics).encode())
    images: dict[str, list[str]] = {}
    for part, answers in evaluation.parts.items():
        images[part] = _draw_part(folder, part, answers, metrics[part])
    curves = plots.draw_curves(run / "metrics.csv")
    if curves is not None:
        plots.save(curves, folder / "curves.png")
    shown = evaluation.parts["pictures"]
    pages = gradcam.write_pages(
        evaluation.network,
        shown.pictures,
        softmax(shown.logits, shown.temperature),
        recipe.input.normalisation,
        folder,
    )
    text = _markdown(recipe, metrics, images, [page.name for page in pages], curves=curves is not None)
    write_atomically(folder / "report.md", text.encode())
    return folder


def _draw_part(folder: Path, part: str, answers: Answers, numbers: Mapping[str, Any]) -> list[str]:
    """Confusion matrix, ROC and reliability; names without prefix for the pictures, `slices-…` for the slices."""
    prefix, title = "" if part == "pictures" else f"{part}-", TITLES[part]
    labels, logits = answers.pictures.labels, answers.logits
    areas = {kind: with_interval(numbers, f"auc.{kind}", value) for kind, value in numbers.get("auc", {}).items()}
    before, after = softmax(logits), softmax(logits, answers.temperature)
    lines = {f"before temperature (ECE {numbers['ece_uncalibrated']:.3f})": before}
    lines[f"after, {answers.temperature:.2f} (ECE {numbers['ece']:.3f})"] = after
    figures = {
        f"{prefix}confusion.png": plots.draw_confusion(numbers["confusion"], title),
        f"{prefix}roc.png": plots.draw_roc(logits, labels, areas, f"{title}: each class against the rest"),
        f"{prefix}reliability.png": plots.draw_reliability(
            lines, labels, f"{title}: certainty and accuracy{_apart(numbers)}"
        ),
    }
    for name, figure in figures.items():
        plots.save(figure, folder / name)
    return list(figures)


def _apart(numbers: Mapping[str, Any]) -> str:
    found = numbers.get("ece_cross_fitted")
    return "" if found is None else f"\nECE {found:.3f} with temperatures fitted on other groups"


def _as_csv(metrics: Mapping[str, Any]) -> str:
    """One row for each figure: part, figure, class, value, low, high, number of pictures and groups."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["part", "figure", "class", "value", "low", "high", "pictures", "groups", "note"])
    for part in TITLES:
        if part not in metrics:
            continue
        numbers = metrics[part]
        intervals = numbers["intervals"]
        flat: dict[tuple[str, str], Any] = {
            (name, ""): value for name, value in numbers.items() if isinstance(value, float)
        }
        flat |= {(name, kind): value for name in BY_CLASS for kind, value in numbers.get(name, {}).items()}
        flat |= {(f"control.{name}", ""): value for name, value in numbers["control"].items()}
        for (name, kind), value in flat.items():
            low, high = intervals.get(f"{name}.{kind}" if kind else name, ("", ""))
            told = "" if value is None else value
            row = [part, name, kind, told, low, high, numbers["pictures"], numbers["groups"], plots.RESEARCH_ONLY]
            writer.writerow(row)
    return text.getvalue()


def _markdown(
    recipe: ClassifierRecipe,
    metrics: Mapping[str, Any],
    images: Mapping[str, Sequence[str]],
    pages: Sequence[str],
    *,
    curves: bool,
) -> str:
    answer = "the mean of the logits of a picture and its mirror image" if metrics["mirror_average"] else "one pass"
    parts = [
        f"# Report: {recipe.name} {recipe.version}",
        f"**{plots.RESEARCH_ONLY}**",
        (
            f"{recipe.network.architecture}, epoch {metrics['epoch']}, weights (half precision) with SHA-256 "
            f"{metrics['weights_sha256']}; {recipe.input.size}×{recipe.input.size} pixels, {answer}; temperature "
            f"{metrics['temperature']:.3f}. Learned from {metrics['train_pictures']} pictures and "
            f"{metrics['train_slices']} slices of volumes. The best epoch was chosen on the validation pictures, so "
            "their figures are a little too good."
        ),
        split_told(metrics["data"]),
    ]
    for part, names in images.items():
        parts += _part(part, metrics[part], metrics["classes"], names)
    if curves:
        parts += ["## Training", "![curves](curves.png)"]
    parts += [
        "## Where the network looked",
        (
            "Grad-CAM of the class that was named: four right answers from unsure to sure, and the wrong ones, the "
            "surest first. These pages show patients: they stay in this folder."
        ),
        *(f"![{page}]({page})" for page in pages),
    ]
    return "\n\n".join(parts) + "\n"


def _part(part: str, numbers: Mapping[str, Any], classes: Sequence[str], images: Sequence[str]) -> list[str]:
    text = [
        f"## {TITLES[part]} ({numbers['pictures']})",
        intervals_told(numbers),
        key_table(numbers),
        class_table(numbers, classes),
        confusion_table(numbers, classes),
    ]
    control = control_told(numbers)
    if control is not None:
        text += [f"### How much is confound: {TITLES[part].lower()}", control]
    return [*text, *(f"![{name}]({name})" for name in images)]
