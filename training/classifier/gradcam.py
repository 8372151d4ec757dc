"""Where a network looked: Grad-CAM (Selvaraju 2017, arXiv:1610.02391) over right and wrong answers.

The pages show patients: they stay in the run folder and go into no release.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from monai.visualize.class_activation_maps import GradCAM
from torch import nn

from bt_node.domain.geometry import FloatArray
from bt_node.infer.picture import to_network
from training.classifier.metrics import Labels
from training.classifier.pictures import CLASSES, Pictures
from training.classifier.plots import save

RIGHT, WRONG = 4, 8  # cases shown of each class
_COLUMNS = 4


@dataclass(frozen=True)
class Case:
    """One picture of a page: its place, what was named, and the probability of that."""

    place: int
    named: int
    probability: float


def chosen_cases(probabilities: FloatArray, labels: Labels, kind: int) -> tuple[list[Case], list[Case]]:
    """Four right answers from the least to the most sure one, and the wrong answers, the surest first.

    Args:
        probabilities: (N, classes), calibrated.
        labels: (N), place in `CLASSES`.
        kind: the true class whose cases are wanted.
    """
    named, certainty = probabilities.argmax(axis=1), probabilities.max(axis=1)
    order = [int(place) for place in np.argsort(certainty, kind="stable") if labels[place] == kind]
    right = [place for place in order if named[place] == kind]
    wrong = [place for place in reversed(order) if named[place] != kind][:WRONG]
    spread = sorted({round(k) for k in np.linspace(0, len(right) - 1, RIGHT)}) if right else []
    return (
        [Case(right[k], kind, float(certainty[right[k]])) for k in spread],
        [Case(place, int(named[place]), float(certainty[place])) for place in wrong],
    )


def write_pages(
    network: nn.Module,
    pictures: Pictures,
    probabilities: FloatArray,
    normalisation: str,
    folder: Path,
    progress: Callable[[str], None] = print,
) -> list[Path]:
    """One PNG for each class that occurs: right and wrong answers, each beside the map of the class that was named.

    The map is that of the picture itself, also where the release averages with its mirror image.

    Args:
        network: on any device; stays as it was.
        pictures: framed, at the size of the release.
        probabilities: (N, classes) of these pictures, calibrated.
        normalisation: of the release's input.
        folder: where `gradcam-CLASS.png` go.
        progress: told each page as it is written.
    """
    cam = _grad_cam(network)
    device = next(network.parameters()).device
    written = []
    for kind in np.unique(pictures.labels):
        shown = chosen_cases(probabilities, pictures.labels, int(kind))
        maps = {}
        for case in (*shown[0], *shown[1]):
            grey = torch.from_numpy(pictures.grey[case.place : case.place + 1]).float().to(device) / 255.0
            maps[case.place] = activation_map(cam, to_network(grey, normalisation), case.named)
        path = folder / f"gradcam-{CLASSES[kind].value}.png"
        save(_page(pictures, shown, maps, CLASSES[kind].value), path)
        written.append(path)
        progress(f"{path.name}: {len(shown[0])} right and {len(shown[1])} wrong answers")
    return written


def activation_map(cam: GradCAM, picture: torch.Tensor, kind: int) -> FloatArray:
    """How much each place of a normalised picture (1, 3, S, S) speaks for a class: (S, S), 0 to 1."""
    with torch.enable_grad():
        # The picture itself asks for gradients, so that they flow through layers without any weights as well.
        asked = picture.detach().clone().requires_grad_()
        found = cam(x=asked, class_idx=kind)[0, 0].detach().cpu().numpy().astype(np.float64)
    top = float(found.max())
    return np.asarray(found / top if top > 0 else found, dtype=np.float64)


def _grad_cam(network: nn.Module) -> GradCAM:
    """Grad-CAM of monai on a copy (its hooks stay), at the network's last layer with places."""
    copied = copy.deepcopy(network).eval().requires_grad_(requires_grad=True)
    # monai's own post-processing would turn the map upside down: its largest value becomes 0.
    return GradCAM(copied, target_layers=str(network.last_features), postprocessing=_as_it_is)


def _as_it_is(found: torch.Tensor) -> torch.Tensor:
    return found


def _page(
    pictures: Pictures, shown: tuple[list[Case], list[Case]], maps: Mapping[int, FloatArray], kind: str
) -> Figure:
    """A row of right answers, then rows of wrong ones; each case is the picture and, right of it, its map."""
    right, wrong = shown
    rows = [("right", right)] + [("wrong", wrong[k : k + _COLUMNS]) for k in range(0, len(wrong), _COLUMNS)]
    figure = Figure(figsize=(4.0 * _COLUMNS, 2.6 * len(rows) + 0.9), layout="constrained")
    figure.suptitle(f"{kind}: answers and where the network looked (Grad-CAM of the class that was named)")
    axes = figure.subplots(len(rows), 2 * _COLUMNS, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for row, (word, cases) in zip(axes, rows, strict=True):
        for column, case in enumerate(cases):
            _draw(row[2 * column], row[2 * column + 1], pictures, case, maps[case.place], word)
    return figure


def _draw(plain: Axes, overlaid: Axes, pictures: Pictures, case: Case, found: FloatArray, word: str) -> None:
    grey = pictures.grey[case.place]
    for axis in (plain, overlaid):
        axis.imshow(grey, cmap="gray", vmin=0, vmax=255)
    overlaid.imshow(found, cmap="inferno", vmin=0, vmax=1, alpha=0.5)
    plain.set_title(pictures.names[case.place], fontsize=8)
    colour = "darkgreen" if word == "right" else "darkred"
    overlaid.set_title(f"{CLASSES[case.named].value} {case.probability:.2f}", fontsize=8, color=colour)
