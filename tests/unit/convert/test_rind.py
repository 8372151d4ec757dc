"""Bone at the rim goes; fluid, cortex and the core of a deep tumour stay."""

import numpy as np
import pytest

from bt_node.convert.rind import without_rind
from bt_node.domain.geometry import Grid, Mask
from bt_node.domain.study import Role

SHAPE = (100, 110, 100)
GRID = Grid(SHAPE, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
BRAIN_MM, MASK_MM = 36.0, 44.0


@pytest.fixture(scope="module")
def head():
    """A ball of brain in a mask that keeps 8 mm of bone on one side, a fluid pocket and a deep dark core."""
    place = np.stack(np.indices(SHAPE), axis=-1) - np.array([50.0, 55.0, 50.0])
    distance = np.linalg.norm(place, axis=-1)
    back = place[..., 1] > 12
    brain = distance < BRAIN_MM
    bone = (distance < MASK_MM) & ~brain & back
    fluid = (np.linalg.norm(place - (0.0, -30.0, 0.0), axis=-1) < 5) & brain
    core = np.linalg.norm(place, axis=-1) < 8
    inputs = {role: np.random.default_rng(1).normal(0.3, 0.2, SHAPE).astype(np.float32) for role in Role}
    for role, in_bone, in_fluid, in_core in (
        (Role.T1, -1.6, -2.0, -1.5),
        (Role.T1C, -1.8, -2.0, -1.5),
        (Role.T2, -0.6, 3.0, -0.3),
    ):
        inputs[role][bone], inputs[role][fluid], inputs[role][core] = in_bone, in_fluid, in_core
    return inputs, brain, bone, fluid, core


def test_bone_that_the_mask_kept_is_taken_off(head) -> None:
    inputs, brain, bone, _, _ = head
    refined = without_rind(inputs, Mask(brain | bone, GRID)).array
    assert (refined & bone).sum() < 0.1 * bone.sum()
    assert (refined & brain).sum() > 0.97 * brain.sum()


def test_fluid_at_the_surface_and_a_dark_core_in_the_depth_stay(head) -> None:
    inputs, brain, bone, fluid, core = head
    refined = without_rind(inputs, Mask(brain | bone, GRID)).array
    assert refined[fluid].mean() > 0.95
    assert refined[core].all()


def test_nothing_is_added_and_a_missing_sequence_changes_nothing(head) -> None:
    inputs, brain, bone, _, _ = head
    mask = Mask(brain | bone, GRID)
    assert not (without_rind(inputs, mask).array & ~mask.array).any()
    fewer = {role: array for role, array in inputs.items() if role is not Role.T2}
    np.testing.assert_array_equal(without_rind(fewer, mask).array, mask.array)
