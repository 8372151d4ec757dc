"""What lies where a second way finds no brain is left out; the lesion itself never is."""

from __future__ import annotations

import numpy as np

from bt_node.domain.geometry import BoolArray
from bt_node.judge.stray_parts import find_stray_parts, left_out

SIZE = 60


def box(first: int, last: int) -> BoolArray:
    """A block of 10 × 10 voxels between two columns."""
    array = np.zeros((SIZE,) * 3, dtype=np.bool_)
    array[25:35, 25:35, first:last] = True
    return array


BRAIN = box(0, 40)


def test_a_small_part_outside_the_second_brain_is_stray_and_the_lesion_is_not() -> None:
    found = find_stray_parts(box(5, 20) | box(48, 55), BRAIN)
    assert np.array_equal(found.stray, box(48, 55))
    assert found.main_outside == 0


def test_a_second_lesion_inside_stays_however_small_and_far() -> None:
    assert not find_stray_parts(box(5, 20) | box(36, 38), BRAIN).stray.any()


def test_a_part_that_sticks_out_by_less_than_half_stays() -> None:
    """Of columns 36 to 47 the brain, widened by two, holds 36 to 41."""
    assert not find_stray_parts(box(5, 20) | box(36, 48), BRAIN).stray.any()
    assert find_stray_parts(box(5, 20) | box(36, 49), BRAIN).stray.any()


def test_the_largest_part_is_never_stray_and_its_share_outside_is_told() -> None:
    found = find_stray_parts(box(40, 60) | box(5, 10), BRAIN)
    assert not found.stray.any()
    assert found.main_outside == 0.9


def test_no_outline_no_stray_parts() -> None:
    found = find_stray_parts(np.zeros_like(BRAIN), BRAIN)
    assert not found.stray.any()
    assert found.main_outside == 0


def test_what_was_left_out_is_said() -> None:
    assert left_out(0.0) == ()
    assert left_out(4.81) == (
        "4.8 ml apart from the lesion were left out of the outline: they lie outside the brain.",
    )
