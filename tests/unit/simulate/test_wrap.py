"""A brain in a synthetic head: the skull is as it should be, and the node's brain mask finds the brain in it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bt_node.convert.brainmask import find_brain
from bt_node.domain.geometry import Grid, Volume
from bt_node.domain.study import Role
from bt_node.simulate.phantom import BratsCase, brats_like
from bt_node.simulate.tumour import TumourShape
from bt_node.simulate.wrap import WrappedHead, in_thick_slices, wrap_in_head


@pytest.fixture(scope="module")
def stripped() -> BratsCase:
    return brats_like(seed=2, tumour=TumourShape(), shape=(75, 95, 80), spacing_mm=2.0)


@pytest.fixture(scope="module")
def head(stripped: BratsCase) -> WrappedHead:
    return wrap_in_head(stripped.volumes, seed=4, shading=0.1)


def test_the_nodes_mask_finds_the_brain_in_the_head(head: WrappedHead) -> None:
    found, truth = find_brain(head.volumes).array, head.brain.array
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.93


def test_a_mask_of_the_whole_head_would_not_pass(head: WrappedHead) -> None:
    whole = ndimage.binary_fill_holes(head.volumes[Role.T1].array > 0.3 * np.median(head.volumes[Role.T1].array))
    assert 2 * (whole & head.brain.array).sum() / (whole.sum() + head.brain.array.sum()) < 0.8


def test_fat_is_bright_bone_dark_and_fluid_as_each_sequence_shows_it(stripped: BratsCase) -> None:
    head = wrap_in_head(stripped.volumes, seed=4, shading=0.0)
    away = ndimage.distance_transform_edt(~head.brain.array) * head.brain.grid.spacing[0]
    upper = np.zeros(away.shape, dtype=bool)
    upper[away.shape[0] * 2 // 3 :] = True  # the vault: no face, no neck
    median = {role: np.median(volume.array[head.brain.array]) for role, volume in head.volumes.items()}

    def level(role: Role, low: float, high: float, percent: float) -> float:
        ring = head.volumes[role].array[upper & (away > low) & (away < high)]
        return float(np.percentile(ring, percent) / median[role])

    for role in Role:
        assert level(role, 2.0, 12.0, 2) < 0.35, "compact bone is dark everywhere, even in voxels of 2 mm"
    for role in (Role.T1, Role.T1C):
        assert level(role, 6.0, 22.0, 99) > 1.3, "fat is bright on T1"
        assert level(role, 25.0, 30.0, 50) < 0.15, "outside is air"
    assert level(Role.T2, 0.5, 4.0, 90) > 1.2, "fluid is bright on T2"
    assert level(Role.FLAIR, 0.5, 4.0, 50) < 0.8, "and dark on FLAIR"


def test_the_brain_itself_and_its_place_stay(stripped: BratsCase, head: WrappedHead) -> None:
    assert head.brain.volume_ml == pytest.approx((stripped.volumes[Role.T1].array > 0).sum() * 0.008, rel=0.01)
    inside = np.argwhere(ndimage.binary_erosion(head.brain.array, iterations=2))[::501]
    world = head.brain.grid.index_to_world(inside)
    source = stripped.volumes[Role.T2]
    before = source.array[tuple(np.rint(source.grid.world_to_index(world)).astype(int).T)]
    after = head.volumes[Role.T2].array[tuple(inside.T)]
    assert np.corrcoef(before, after)[0, 1] > 0.9


def test_the_same_seed_is_the_same_head_and_another_is_another(stripped: BratsCase, head: WrappedHead) -> None:
    again, other = (wrap_in_head(stripped.volumes, seed=seed, shading=0.1) for seed in (4, 5))
    for role in Role:
        np.testing.assert_array_equal(again.volumes[role].array, head.volumes[role].array)
        assert not np.array_equal(other.volumes[role].array, head.volumes[role].array)


def test_thick_slices_lie_where_their_voxels_lay(head: WrappedHead) -> None:
    for role, thick in in_thick_slices(head.volumes, 5).items():
        fine = head.volumes[role]
        first = round(float(fine.grid.world_to_index(thick.grid.index_to_world((0, 0, 0)))[0]) - 2)
        assert thick.grid.spacing == (2.0, 2.0, 10.0)
        np.testing.assert_allclose(thick.array[3], fine.array[first + 15 : first + 20].mean(axis=0), rtol=1e-5)


def test_a_brain_on_another_grid_is_refused() -> None:
    grid = Grid((4, 4, 4), (1.0, 1.0, 5.0), (0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="isotropic"):
        wrap_in_head({Role.T1: Volume(np.ones((4, 4, 4), np.float32), grid)})
    upright = Grid((4, 4, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="no brain"):
        wrap_in_head({Role.T1: Volume(np.zeros((4, 4, 4), np.float32), upright)})
