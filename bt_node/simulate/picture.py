"""A picture of the outline over MR slices, for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bt_node.domain.geometry import BoolArray, ImageArray, LabelArray
from bt_node.domain.tumour import LABEL_OF, LabelMap, Region

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOTICE = "For research use only, not for diagnosis"
_COLOURS = {Region.ED: "#4fd15a", Region.ET: "#ff5a3c", Region.NCR: "#ffd23c"}
_NAMES = {Region.ED: "oedema (ED)", Region.ET: "enhancing tumour (ET)", Region.NCR: "necrotic core (NCR)"}
# An outline encloses the regions inside it too, or each edge between two regions would be drawn twice.
_ENCLOSED = {
    Region.ED: (Region.ED, Region.ET, Region.NCR),
    Region.ET: (Region.ET, Region.NCR),
    Region.NCR: (Region.NCR,),
}
_BLACK, _BRIGHT = 1.0, 99.0  # percentiles of the grey window, zeros left out


@dataclass(frozen=True, eq=False)
class Panel:
    """One near-axial slice with its outline.

    Attributes:
        title: the sequence.
        image: (Y, X); columns run from the patient's right to the left, rows from anterior to posterior, so that
            the patient's right is on the picture's left, as radiologists look at it.
        spacing_mm: (between rows, between columns).
        labels: (Y, X), 0 background, 1 NCR, 2 ED, 3 ET.
        truth: labels known to be true, drawn dashed; None when there are none.
    """

    title: str
    image: ImageArray
    spacing_mm: tuple[float, float]
    labels: LabelArray
    truth: LabelArray | None = None

    def __post_init__(self) -> None:
        for labels in (self.labels, self.truth):
            if labels is not None and labels.shape != self.image.shape:
                raise ValueError(f"labels {labels.shape} do not fit the slice {self.image.shape}")


def largest_plane(labels: LabelMap) -> int:
    """Index z of the plane with the most tumour; the middle plane when there is none."""
    areas = (labels.array > 0).sum(axis=(1, 2))
    return int(areas.argmax()) if areas.any() else len(areas) // 2


def outline_png(path: Path, panels: Sequence[Panel]) -> None:
    """Draw panels side by side with contours of the regions, a legend, orientation letters and the notice.

    Args:
        path: PNG to write; its folder must be there.
        panels: at least one.

    Raises:
        ValueError: no panel.
    """
    if not panels:
        raise ValueError("a picture needs at least one panel")
    # matplotlib takes half a second to load; only a picture needs it. Figure draws without any display.
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.lines import Line2D  # noqa: PLC0415

    figure = Figure(figsize=(5.2 * len(panels), 6.2), facecolor="black", layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_panel(axes, panel)
    handles = [Line2D([], [], color=colour, label=_NAMES[region]) for region, colour in _COLOURS.items()]
    if any(panel.truth is not None for panel in panels):
        handles.append(Line2D([], [], color="white", linestyle="--", label="truth"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, labelcolor="white")
    figure.suptitle(NOTICE, color="#ff9b9b", fontsize=12)
    figure.savefig(path, format="png", dpi=110)


def _draw_panel(axes: Axes, panel: Panel) -> None:
    rows, columns = panel.image.shape
    row_mm, column_mm = panel.spacing_mm
    lit = panel.image[panel.image > 0]
    low, high = np.percentile(lit, [_BLACK, _BRIGHT]) if lit.size else (0.0, 1.0)
    axes.imshow(panel.image, cmap="gray", vmin=min(low, 0.0), vmax=high, aspect=row_mm / column_mm)
    if panel.truth is not None:
        _contour(axes, panel.truth > 0, "white", "--")
    for region, colour in _COLOURS.items():
        inner = [LABEL_OF[part] for part in _ENCLOSED[region]]
        if (panel.labels == LABEL_OF[region]).any():
            _contour(axes, np.isin(panel.labels, inner), colour, "-")
    axes.set_title(panel.title, color="white", fontsize=13)
    axes.axis("off")
    letters = {"R": (0.02, 0.5), "L": (0.98, 0.5), "A": (0.5, 0.98), "P": (0.5, 0.02)}
    for letter, (x, y) in letters.items():
        axes.text(x, y, letter, transform=axes.transAxes, ha="center", va="center", color="#ffe08a", fontsize=12)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)


def _contour(axes: Axes, inside: BoolArray, colour: str, style: str) -> None:
    if inside.any():
        axes.contour(inside.astype(np.float32), levels=[0.5], colors=[colour], linewidths=1.3, linestyles=style)
