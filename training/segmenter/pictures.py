"""Pictures of outlines over the images, for the eye. They show patients: they stay in the run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bt_node.domain.geometry import LabelArray
from bt_node.domain.study import Role
from training.segmenter.evaluate import REGIONS, CaseScore
from training.segmenter.prepared import PreparedCase, nested_regions

_COLOURS = ("yellow", "red", "cyan")  # WT, TC, ET
_PLANES = ("axial", "coronal", "sagittal")  # slices along Z, Y and X
_SHOWN = (Role.FLAIR, Role.T1C)  # oedema shows on the first, enhancement on the second


def overlay(path: Path, case: PreparedCase, predicted: LabelArray, score: CaseScore, roles: Sequence[Role]) -> None:
    """Write a PNG: expert and segmenter side by side, on two sequences, in three planes.

    Each plane shows the slice where the two differ in most voxels (where they agree all over, the one with most
    tumour).

    Args:
        path: target.
        case: images and the expert's labels.
        predicted: labels (Z, Y, X) of the segmenter.
        score: of these labels, for the title.
        roles: sequences of the case, in its channel order.
    """
    true = np.asarray(case.labels)
    shown = [role for role in _SHOWN if role in roles] or list(roles[:1])
    figure = Figure(figsize=(4 * 2 * len(shown), 12.6))
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(_PLANES), 2 * len(shown), squeeze=False)
    columns = [(role, who, labels) for role in shown for who, labels in (("expert", true), ("segmenter", predicted))]
    for row, (plane, axis) in enumerate(zip(_PLANES, range(3), strict=True)):
        index = most_different_slice(predicted, true, axis)
        for cell, (role, who, labels) in zip(axes[row], columns, strict=True):
            image = np.take(case.inputs[roles.index(role)], index, axis=axis).astype(np.float32)
            _outlined(cell, image, np.take(nested_regions(labels), index, axis=axis + 1), upright=axis > 0)
            cell.set_title(f"{who} · {role.value} · {plane} {index}", fontsize=10)
    figure.suptitle(
        f"{case.name} · Dice {_dice(score)} · WT yellow, TC red, ET cyan\n"
        "For research use only, not for diagnosis. Shows a patient: do not pass on.",
        fontsize=11,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=60)


def most_different_slice(predicted: LabelArray, true: LabelArray, axis: int) -> int:
    """Index along `axis` of the slice with most differing voxels; without any, of the one with most tumour."""
    differing = predicted != true
    counted = differing if differing.any() else true > 0
    return int(counted.sum(axis=tuple({0, 1, 2} - {axis})).argmax())


def worst(scores: Sequence[CaseScore], count: int) -> list[int]:
    """Places of the `count` cases with the lowest mean Dice, the worst first."""
    return sorted(range(len(scores)), key=lambda place: scores[place].mean_dice)[:count]


def _dice(score: CaseScore) -> str:
    return ", ".join(f"{region.value} {score.dice[region]:.2f}" for region in REGIONS)


def _outlined(axes: Axes, image: npt.NDArray[np.float32], regions: npt.NDArray[np.float32], *, upright: bool) -> None:
    # Axial rows run to posterior, so they are drawn from the top; the others run to superior, from the bottom.
    axes.imshow(image, cmap="gray", vmin=-2.0, vmax=4.0, origin="lower" if upright else "upper")
    axes.set_axis_off()
    for mask, colour in zip(regions, _COLOURS, strict=True):
        if mask.any():
            axes.contour(mask, levels=[0.5], colors=colour, linewidths=1.0)
