"""The report's figures. Every one says that it is for research use only."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import ConfusionMatrixDisplay, roc_curve

from bt_node.domain.geometry import FloatArray
from training.classifier.metrics import Labels, reliability, softmax
from training.classifier.pictures import CLASSES
from training.runs import write_atomically

RESEARCH_ONLY = "For research use only, not for diagnosis."
_DPI = 110
_SHOWN = (
    ("val_balanced", "balanced accuracy, pictures"),
    ("val_three_tumours", "of the three tumours"),
    ("slices_balanced", "balanced accuracy, slices"),
)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG with the sentence that every page carries. Needs no display."""
    figure.supxlabel(RESEARCH_ONLY, fontsize=8, color="dimgray")
    FigureCanvasAgg(figure)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=_DPI)
    write_atomically(path, picture.getvalue())


def draw_confusion(matrix: Sequence[Sequence[int]], title: str) -> Figure:
    """Counts, coloured by their share of the true class."""
    counts = np.asarray(matrix)
    words = [kind.value for kind in CLASSES]
    figure = Figure(figsize=(6.2, 5.6), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shown = ConfusionMatrixDisplay(shares, display_labels=words)
    shown.plot(ax=axes, cmap="Blues", im_kw={"vmin": 0, "vmax": 1}, include_values=False)
    for true, named in np.ndindex(counts.shape):
        colour = "white" if shares[true, named] > 0.5 else "black"
        told = f"{counts[true, named]}\n{shares[true, named]:.0%}"
        axes.text(named, true, told, ha="center", va="center", color=colour)
    axes.set(title=title, xlabel="named", ylabel="true")
    return figure


def draw_roc(logits: FloatArray, labels: Labels, told: Mapping[str, str], title: str) -> Figure:
    """Each class against the rest.

    Args:
        logits: (N, classes).
        labels: (N).
        told: AUC with interval of each class, as text.
        title: over the figure.
    """
    figure = Figure(figsize=(6.2, 6.2), layout="constrained")
    axes = figure.subplots()
    probabilities = softmax(logits)
    for number, kind in enumerate(CLASSES):
        if 0 < (labels == number).sum() < len(labels):
            false, true, _ = roc_curve(labels == number, probabilities[:, number])
            axes.plot(false, true, label=f"{kind.value}: AUC {told.get(kind.value, '–')}")
    axes.plot([0, 1], [0, 1], ":", color="gray")
    axes.set(
        title=title, xlabel="1 − specificity", ylabel="sensitivity", aspect="equal", xlim=(-0.01, 1), ylim=(0, 1.01)
    )
    axes.legend(loc="lower right", fontsize=9)
    return figure


def draw_reliability(named: Mapping[str, FloatArray], labels: Labels, title: str) -> Figure:
    """Accuracy over certainty in 15 bins, and how many pictures each bin holds.

    Args:
        named: probabilities (N, classes) under the word that the legend tells, e.g. before and after calibration.
        labels: (N).
        title: over the figure.
    """
    figure = Figure(figsize=(6.2, 6.8), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], ":", color="gray")
    for word, probabilities in named.items():
        certainty, accuracy, count = reliability(probabilities, labels)
        line = upper.plot(certainty, accuracy, "o-", label=word, markersize=4)[0]
        lower.plot(certainty, count, "o-", color=line.get_color(), markersize=4)
    upper.set(title=title, ylabel="accuracy in the bin", xlim=(0, 1), ylim=(0, 1.02))
    upper.legend(loc="upper left")
    lower.set(xlabel="certainty: probability of the class that is named", ylabel="pictures")
    return figure


def draw_curves(table: Path) -> Figure | None:
    """Loss and validation figures over the epochs of `metrics.csv`; None where there is no such file."""
    rows = _rows(table)
    if not rows:
        return None
    figure = Figure(figsize=(8, 6.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    for name, word in (("loss", "training loss"), ("val_nll", "validation cross-entropy")):
        upper.plot(*_column(rows, name), "o-", label=word, markersize=3)
    for name, word in _SHOWN:
        steps, values = _column(rows, name)
        if values:
            lower.plot(steps, values, "o-", label=word, markersize=3)
    for axes in (upper, lower):
        for before, after in itertools.pairwise(rows):
            if before.get("size") != after.get("size"):
                axes.axvline(float(after["step"]) - 0.5, color="lightgray", zorder=0)
                if axes is upper:
                    place = (float(after["step"]) - 0.5, 1.0)
                    axes.annotate(
                        f" {after['size']} px", place, xycoords=("data", "axes fraction"), va="top", fontsize=8
                    )
        axes.legend()
    upper.set(title="Training", ylabel="nats")
    lower.set(xlabel="epoch", ylabel="share", ylim=(0, 1.02))
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _rows(table: Path) -> list[dict[str, str]]:
    if not table.exists():
        return []
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, restval=""))


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[list[float], list[float]]:
    """Steps and values of a column's cells that are filled."""
    filled = [row for row in rows if row.get(name)]
    return [float(row["step"]) for row in filled], [float(row[name]) for row in filled]
