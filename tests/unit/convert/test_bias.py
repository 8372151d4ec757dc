"""Shading goes, anatomy stays."""

import numpy as np
import pytest

from bt_node.convert.bias import without_shading
from bt_node.convert.itk import one_itk_thread
from bt_node.domain.geometry import Grid, Mask, Volume

GRID = Grid((96, 112, 96), (1.0, 1.0, 1.0), (-48.0, -56.0, -48.0))


@pytest.fixture(scope="module")
def head() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two tissues in a ball, the ball, and a shading that doubles from one end to the other."""
    world = GRID.index_to_world(np.stack(np.indices(GRID.shape), axis=-1))
    brain = (world**2).sum(axis=-1) < 44.0**2
    ripple = np.sin(world[..., 0] / 4) * np.sin(world[..., 1] / 5) * np.sin(world[..., 2] / 4.5)
    tissue = np.where(ripple > 0, 100.0, 70.0) * brain + np.random.default_rng(1).normal(0, 1, GRID.shape)
    shading = 2.0 ** (world[..., 1] / 88.0)
    return tissue.astype(np.float32), brain, shading.astype(np.float32)


def spread_between_ends(array: np.ndarray, brain: np.ndarray) -> float:
    front = np.median(array[:, :40][brain[:, :40]])
    back = np.median(array[:, -40:][brain[:, -40:]])
    return float(back / front)


def test_a_shading_that_doubles_across_the_head_is_taken_out(head) -> None:
    tissue, brain, shading = head
    shaded = tissue * shading
    assert spread_between_ends(shaded, brain) > 1.3
    corrected = without_shading(Volume(shaded, GRID), Mask(brain, GRID))
    assert spread_between_ends(corrected, brain) == pytest.approx(1.0, abs=0.06)


def test_a_bright_lesion_is_not_taken_for_shading(head) -> None:
    tissue, brain, _ = head
    world = GRID.index_to_world(np.stack(np.indices(GRID.shape), axis=-1))
    lesion = ((world - (15.0, -12.0, 8.0)) ** 2).sum(axis=-1) < 14.0**2
    array = np.where(lesion, 180.0, tissue).astype(np.float32)
    corrected = without_shading(Volume(array, GRID), Mask(brain, GRID))
    contrast = np.median(corrected[lesion]) / np.median(corrected[brain & ~lesion])
    assert contrast > 0.85 * 180.0 / np.median(tissue[brain & ~lesion])


def test_the_same_head_gives_the_same_bits(head) -> None:
    tissue, brain, shading = head
    volume, mask = Volume(tissue * shading, GRID), Mask(brain, GRID)
    with one_itk_thread:
        first, second = without_shading(volume, mask), without_shading(volume, mask)
    np.testing.assert_array_equal(first, second)


def test_too_small_a_brain_is_left_as_it_is() -> None:
    grid = Grid((8, 8, 8), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    array = np.random.default_rng(2).uniform(1, 2, grid.shape).astype(np.float32)
    corrected = without_shading(Volume(array, grid), Mask(np.ones(grid.shape, np.bool_), grid))
    np.testing.assert_array_equal(corrected, array)
