"""The run's curves as a picture: loss, learning rate and validation Dice over steps."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.runs import write_atomically

CURVES = "curves.png"
_FEW = 40  # points below which each is marked


def draw_curves(path: Path, rows: Sequence[Mapping[str, str]], regions: Sequence[str]) -> None:
    """Write a PNG of three panels from the rows of metrics.csv.

    Args:
        path: the picture.
        rows: words by column: step, loss, learning_rate and dice_REGION (empty where nothing was validated).
        regions: names of the regions in drawing order.
    """
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    loss, rate, dice = figure.subplots(1, 3, sharex=True)
    _line(loss, rows, "loss", "training loss")
    _line(rate, rows, "learning_rate", "learning rate")
    for region in regions:
        _line(dice, rows, f"dice_{region}", region)
    loss.set_title("training loss (one batch)")
    rate.set_title("learning rate")
    dice.set_title("validation Dice")
    dice.set_ylim(0, 1)
    if dice.lines:
        dice.legend(loc="lower right", frameon=False)
    for axes in (loss, rate, dice):
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
    figure.supxlabel("For research use only, not for diagnosis.", fontsize=8)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100)
    write_atomically(path, picture.getvalue())


def _line(axes: Axes, rows: Sequence[Mapping[str, str]], column: str, label: str) -> None:
    points = [(int(row["step"]), float(row[column])) for row in rows if row.get(column)]
    if points:
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, label=label, linewidth=1.5, marker="o" if len(points) < _FEW else "", markersize=3)
