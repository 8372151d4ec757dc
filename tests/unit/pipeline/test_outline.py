"""A part that a second brain mask does not hold is not outlined; without a second mask nothing is taken off."""

from __future__ import annotations

import numpy as np
from tiny_models import bright_parts_segmenter

from bt_node.convert.prepare import PreparedStudy
from bt_node.convert.register import reference_report
from bt_node.domain.geometry import Grid, Mask, Volume
from bt_node.domain.study import Role
from bt_node.pipeline.outline import tumour_probabilities

SHAPE = (48, 64, 64)
GRID = Grid(SHAPE, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
LESION, EYE = np.s_[20:34, 24:38, 24:38], np.s_[4:14, 50:62, 10:20]


def study(second: Mask | None) -> PreparedStudy:
    """A brain mask that holds an eye, and two bright parts: a lesion, and what lies behind the eye."""
    brain = Mask(np.ones(SHAPE, dtype=np.bool_), GRID)
    bright = np.zeros(SHAPE, dtype=np.float32)
    bright[LESION] = bright[EYE] = 5.0
    inputs = {role: Volume(bright, GRID) for role in Role}
    return PreparedStudy(inputs, brain, inputs, {role: reference_report(role) for role in Role}, second)


def without_the_eye() -> Mask:
    array = np.ones(SHAPE, dtype=np.bool_)
    array[:16, 46:, :] = False
    return Mask(array, GRID)


def test_what_lies_behind_the_eye_is_left_out_and_counted() -> None:
    found = tumour_probabilities(study(without_the_eye()), bright_parts_segmenter())
    assert found.left_out_ml == 1.2
    assert not found.probabilities[:, *EYE].any()
    assert (found.probabilities[0][LESION] > 0.5).all()
    assert found.main_outside == 0


def test_without_a_second_mask_nothing_is_left_out() -> None:
    found = tumour_probabilities(study(None), bright_parts_segmenter())
    assert found.left_out_ml == 0
    assert found.main_outside is None
    assert (found.probabilities[0][EYE] > 0.5).all()
