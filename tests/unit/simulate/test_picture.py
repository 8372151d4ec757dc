"""The picture of the outline."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bt_node.domain.geometry import Grid
from bt_node.domain.tumour import LabelMap
from bt_node.simulate.picture import Panel, largest_plane, outline_png


def a_panel(labelled: bool = True) -> Panel:
    image = np.zeros((80, 64), np.float32)
    image[10:70, 8:56] = 100
    labels = np.zeros((80, 64), np.uint8)
    if labelled:
        labels[20:50, 40:54], labels[28:42, 44:52], labels[32:38, 46:50] = 2, 3, 1
    return Panel("T1C", image, (1.0, 1.25), labels, truth=labels)


def test_the_contours_have_their_colours_and_lie_on_the_patients_left_which_is_the_pictures_right(
    tmp_path: Path,
) -> None:
    outline_png(tmp_path / "outline.png", [a_panel(), a_panel()])
    pixels = np.asarray(Image.open(tmp_path / "outline.png").convert("RGB")).astype(int)
    panel = pixels[:, : pixels.shape[1] // 2]
    top = panel[: int(panel.shape[0] * 0.9)]  # the legend below has the same colours
    red = (top[..., 0] > 230) & (top[..., 1] < 120) & (top[..., 2] < 90)
    assert red.sum() > 50
    assert np.argwhere(red)[:, 1].mean() > 0.55 * panel.shape[1]


def test_a_slice_without_tumour_and_an_empty_slice_are_drawn_too(tmp_path: Path) -> None:
    blank = Panel("T1", np.zeros((8, 8), np.float32), (1.0, 1.0), np.zeros((8, 8), np.uint8))
    outline_png(tmp_path / "outline.png", [a_panel(labelled=False), blank])
    assert (tmp_path / "outline.png").stat().st_size > 1000


def test_labels_that_do_not_fit_the_slice_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Panel("T1", np.zeros((8, 8), np.float32), (1.0, 1.0), np.zeros((8, 9), np.uint8))


def test_no_panel_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="panel"):
        outline_png(tmp_path / "outline.png", [])


def test_the_largest_plane_is_found_and_the_middle_one_stands_in_without_a_tumour() -> None:
    grid = Grid((5, 4, 4), (1, 1, 1), (0, 0, 0))
    array = np.zeros(grid.shape, np.uint8)
    assert largest_plane(LabelMap(array.copy(), grid)) == 2
    array[1, 0, 0], array[3, :2, :2] = 1, 2
    assert largest_plane(LabelMap(array, grid)) == 3


def test_importing_the_picture_does_not_load_matplotlib() -> None:
    code = "import sys, bt_node.simulate.picture; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
