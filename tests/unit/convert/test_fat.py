"""Fat that the mask cut into goes; an old bleeding inside the brain stays."""

import numpy as np
import pytest

from bt_node.convert.fat import without_fat
from bt_node.domain.geometry import Grid, Mask
from bt_node.domain.study import Role

SHAPE = (90, 100, 90)
GRID = Grid(SHAPE, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))


def ball(centre, radius):
    z, y, x = np.ogrid[tuple(slice(0, size) for size in SHAPE)]
    return (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < radius**2


@pytest.fixture
def head():
    """A brain of 100, a socket full of fat in front of it, and a bleeding at the brain's surface."""
    brain, fat, bleeding = ball((45, 60, 45), 32), ball((40, 20, 45), 15), ball((45, 60, 18), 5)
    heads = {}
    for number, role in enumerate((Role.T1, Role.T1C)):
        noise = np.random.default_rng(number).normal(0, 3, SHAPE)
        values = np.where(brain, 100.0, 20.0) + np.where(fat & ~brain, 160.0, 0.0) + np.where(bleeding, 120.0, 0.0)
        heads[role] = (values + noise).astype(np.float32)
    return heads, brain, fat & ~brain, bleeding & brain


def test_a_socket_that_the_mask_cut_into_is_taken_off(head) -> None:
    heads, brain, fat, _ = head
    kept = fat & ball((40, 28, 45), 9)
    assert kept.sum() > 1000
    refined = without_fat(heads, Mask(brain | kept, GRID)).array
    assert (refined & kept).sum() < 0.15 * kept.sum()
    assert (refined & brain).sum() > 0.99 * brain.sum()


def test_a_bleeding_at_the_surface_stays(head) -> None:
    heads, brain, _, bleeding = head
    assert without_fat(heads, Mask(brain, GRID)).array[bleeding].all()


def test_what_enhances_after_contrast_alone_stays(head) -> None:
    heads, brain, _, _ = head
    tumour = ball((45, 90, 45), 12)
    heads[Role.T1C][tumour] += 200
    refined = without_fat(heads, Mask(brain, GRID)).array
    assert refined[tumour & brain].all()


def test_without_both_sequences_nothing_changes(head) -> None:
    heads, brain, fat, _ = head
    mask = Mask(brain | fat, GRID)
    assert without_fat({Role.T1: heads[Role.T1]}, mask) is mask
