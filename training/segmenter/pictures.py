"""Pictures of outlines over the images, for the eye. They show patients: they stay in the run folder."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bt_node.domain.geometry import LabelArray
from training.segmenter.prepared import PreparedCase, nested_regions

_COLOURS = ("yellow", "red", "cyan")  # WT, TC, ET


def overlay(path: Path, case: PreparedCase, predicted: LabelArray, channels: tuple[int, int]) -> None:
    """Write a PNG: two sequences with the segmenter's and the expert's outlines, axial and coronal.

    Slices are those where the union of both outlines is largest.

    Args:
        path: target.
        case: images and the expert's labels.
        predicted: labels (Z, Y, X) of the segmenter.
        channels: which two sequences of the case are shown.
    """
    mpl.use("Agg")
    true = np.asarray(case.labels)
    marked = (predicted > 0) | (true > 0)
    figure = Figure(figsize=(16, 8))
    axes = figure.subplots(2, 4)
    for row, axis in enumerate((0, 1)):
        index = int(marked.sum(axis=tuple({0, 1, 2} - {axis})).argmax())
        for column, (channel, labels) in enumerate((c, x) for c in channels for x in (predicted, true)):
            image: npt.NDArray[np.float32] = np.take(case.inputs[channel], index, axis=axis).astype(np.float32)
            _outlined(
                axes[row, column], image, np.take(nested_regions(labels), index, axis=axis + 1), coronal=axis == 1
            )
            axes[row, column].set_title("segmenter" if labels is predicted else "expert")
    figure.suptitle(f"{case.name}: WT yellow, TC red, ET cyan")
    figure.tight_layout()
    figure.savefig(path, dpi=60)


def _outlined(axes: Axes, image: npt.NDArray[np.float32], regions: npt.NDArray[np.float32], *, coronal: bool) -> None:
    # Axial rows run to posterior, so they are drawn from the top; coronal rows run to superior, from the bottom.
    axes.imshow(image, cmap="gray", vmin=-2.0, vmax=4.0, origin="lower" if coronal else "upper")
    axes.set_axis_off()
    for mask, colour in zip(regions, _COLOURS, strict=True):
        if mask.any():
            axes.contour(mask, levels=[0.5], colors=colour, linewidths=1.0)
