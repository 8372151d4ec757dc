"""Connected parts, and which of a former study's they are."""

from __future__ import annotations

import numpy as np
import pytest

from bt_node.convert.lesions import Parts, same_lesions, split
from bt_node.convert.register import RigidMotion
from bt_node.domain.geometry import BoolArray, Grid

GRID = Grid((20, 40, 50), (1.0, 1.0, 2.0), (-20.0, 10.0, 5.0))
STILL = RigidMotion()


def boxes(*corners: tuple[slice, slice, slice], grid: Grid = GRID) -> BoolArray:
    mask = np.zeros(grid.shape, dtype=bool)
    for corner in corners:
        mask[corner] = True
    return mask


def parts(*corners: tuple[slice, slice, slice], grid: Grid = GRID) -> Parts:
    return split(boxes(*corners, grid=grid), grid)


BIG = np.s_[4:10, 5:15, 5:15]
SMALL = np.s_[12:16, 25:31, 30:36]
SPECK = np.s_[1:2, 1:3, 1:3]


def test_parts_are_numbered_from_the_largest_and_specks_are_left_out():
    found = parts(SMALL, BIG, SPECK)
    assert found.volumes_ml == pytest.approx((1.2, 0.288))
    assert np.array_equal(found.array == 1, boxes(BIG))
    assert np.array_equal(found.array == 2, boxes(SMALL))
    assert found.centres_mm[0] == pytest.approx((-20 + 9.5, 10 + 9.5, 5 + 2 * 6.5))


def test_a_lone_speck_is_a_lesion_and_nothing_is_none():
    assert parts(SPECK).count == 1
    assert parts().count == 0
    assert same_lesions(parts(), parts(BIG), STILL) == {}


def test_voxels_that_share_a_corner_are_one_part():
    assert parts(np.s_[4:6, 4:6, 4:6], np.s_[6:8, 6:8, 6:8]).count == 1


def test_a_lesion_that_grew_is_the_same_and_a_new_one_is_new():
    grown = np.s_[3:12, 4:17, 4:18]
    assert same_lesions(parts(grown, SMALL), parts(BIG), STILL) == {1: 1}


def test_order_by_size_does_not_matter():
    """The small one outgrew the big one."""
    outgrown = np.s_[8:19, 20:38, 26:46]
    assert same_lesions(parts(BIG, outgrown), parts(BIG, SMALL), STILL) == {1: 2, 2: 1}


def test_of_two_that_merged_the_one_that_shares_more_goes_on():
    left, right = np.s_[4:10, 5:15, 5:13], np.s_[4:10, 5:15, 20:24]
    assert same_lesions(parts(np.s_[4:10, 5:15, 5:24]), parts(left, right), STILL) == {1: 1}


def test_of_two_halves_the_one_that_shares_more_goes_on():
    left, right = np.s_[4:10, 5:15, 5:11], np.s_[4:10, 5:15, 13:22]
    assert same_lesions(parts(left, right), parts(np.s_[4:10, 5:15, 5:22]), STILL) == {1: 1}


def test_a_touch_of_less_than_a_tenth_is_no_sameness():
    moved = np.s_[9:15, 14:24, 5:15]
    assert same_lesions(parts(moved), parts(BIG), STILL) == {}


def test_small_ones_side_by_side_are_the_same_by_nearness():
    was, now = np.s_[5:7, 10:13, 10:13], np.s_[7:9, 10:13, 10:13]
    assert same_lesions(parts(now), parts(was), STILL) == {1: 1}
    far = np.s_[9:11, 10:13, 10:13]
    assert same_lesions(parts(far), parts(was), STILL) == {}


def test_the_motion_between_the_studies_is_undone():
    """The former study's world is shifted by 30 mm, and its grid is another one."""
    coarse = Grid((20, 20, 25), (2.0, 2.0, 2.0), (10.0, 10.0, 5.0))
    former = split(boxes(np.s_[4:10, 2:8, 2:8], grid=coarse), coarse)
    shift = RigidMotion(translation=(30.0, 0.0, 0.0))
    assert same_lesions(parts(BIG, SMALL), former, shift) == {1: 1}
    assert same_lesions(parts(BIG, SMALL), former, STILL) == {}
