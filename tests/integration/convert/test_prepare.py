"""A whole study through registration, brain mask and regridding: a phantom whose motion and brain are known."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from bt_node.assemble.study import read_study
from bt_node.convert import prepare as preparation
from bt_node.convert.prepare import PreparedStudy, prepare, prepare_preprocessed
from bt_node.convert.register import register
from bt_node.convert.regrid import to_source_grid
from bt_node.convert.stack import load_series
from bt_node.domain.errors import BrainMaskError, RegistrationError
from bt_node.domain.geometry import Grid, Volume
from bt_node.domain.study import Role
from bt_node.domain.tumour import LABEL_OF, Region
from bt_node.infer.brain import load_brain_finder
from bt_node.simulate.phantom import PhantomStudy, brats_like, make_phantom
from bt_node.simulate.tumour import Head, TumourShape

pytestmark = pytest.mark.integration

Volumes = Mapping[Role, Volume]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> PhantomStudy:
    return make_phantom(tmp_path_factory.mktemp("phantom"), coarse=2.0)


@pytest.fixture(scope="module")
def volumes(phantom: PhantomStudy) -> Volumes:
    study = read_study(phantom.paths_by_uid)
    facts = {series.series_instance_uid: series for series in study.series}
    return {
        role: load_series(facts[phantom.series[role].series_instance_uid], phantom.paths_by_uid).volume
        for role in Role
    }


@pytest.fixture(scope="module")
def prepared(volumes: Volumes) -> PreparedStudy:
    return prepare(volumes)


def _true_brain(grid: Grid) -> np.ndarray:
    points = grid.index_to_world(np.indices(grid.shape).reshape(3, -1).T)
    return (Head.draw(1, TumourShape()).brain(points.T) < 0).reshape(grid.shape)


def _brain_points(prepared: PreparedStudy) -> np.ndarray:
    return prepared.grid.index_to_world(np.argwhere(prepared.brain.array)[::997])


def _worst_mm(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(found - truth, axis=1).max())


def test_a_moved_series_is_brought_back_within_a_millimetre(phantom: PhantomStudy, prepared: PreparedStudy) -> None:
    points = _brain_points(prepared)
    for role in Role:
        motion = phantom.motion[role]
        truth = points @ motion[:3, :3].T + motion[:3, 3]
        assert _worst_mm(prepared.registrations[role].motion.apply(points), truth) < 1.0, role
    report = prepared.registrations[Role.FLAIR]
    assert report.applied
    assert report.metric_after > report.metric_before
    assert report.rotation_deg == pytest.approx(3.1, abs=0.6)
    assert report.overlap > 0.9


def test_the_reference_itself_stays_where_it_is(prepared: PreparedStudy) -> None:
    report = prepared.registrations[Role.T1C]
    assert not report.applied
    assert report.translation_mm == 0
    assert report.rotation_deg == 0


def test_registration_gives_the_same_numbers_every_time(volumes: Volumes) -> None:
    first, second = (register(volumes[Role.T1C], volumes[Role.FLAIR], Role.FLAIR) for _ in range(2))
    assert first == second


def test_another_frame_of_reference_is_found_again(
    phantom: PhantomStudy, volumes: Volumes, prepared: PreparedStudy
) -> None:
    shift = np.array([60.0, -150.0, 400.0])
    flair = volumes[Role.FLAIR]
    x, y, z = (float(value) for value in np.array(flair.grid.origin) + shift)
    elsewhere = Volume(flair.array, dataclasses.replace(flair.grid, origin=(x, y, z)))
    report = register(volumes[Role.T1C], elsewhere, Role.FLAIR)
    points, motion = _brain_points(prepared), phantom.motion[Role.FLAIR]
    assert report.metric_before == 0
    assert _worst_mm(report.motion.apply(points), points @ motion[:3, :3].T + motion[:3, 3] + shift) < 1.5


def test_noise_is_refused_and_named(volumes: Volumes) -> None:
    grid = volumes[Role.T2].grid
    noise = np.random.default_rng(3).random(grid.shape, dtype=np.float32) * 100
    with pytest.raises(RegistrationError, match="T2"):
        register(volumes[Role.T1C], Volume(noise, grid), Role.T2)


def test_the_brain_is_found_in_a_head_with_skull(prepared: PreparedStudy) -> None:
    truth, found = _true_brain(prepared.grid), prepared.brain.array
    assert 2 * (truth & found).sum() / (truth.sum() + found.sum()) > 0.93


def test_the_whole_tumour_is_inside_the_brain_mask(phantom: PhantomStudy, prepared: PreparedStudy) -> None:
    on_source = to_source_grid(prepared.brain.array[None].astype(np.float32), prepared.grid, phantom.truth.grid)
    tumour = phantom.truth.mask(Region.WT)
    assert (on_source[0][tumour] >= 0.5).mean() > 0.99


def test_the_models_grid_is_one_millimetre_along_the_patients_axes(prepared: PreparedStudy) -> None:
    assert prepared.grid.spacing == (1.0, 1.0, 1.0)
    np.testing.assert_array_equal(prepared.grid.direction_matrix, np.eye(3))
    for volume in (*prepared.heads.values(), *prepared.inputs.values()):
        assert volume.grid == prepared.grid


def test_inputs_are_scaled_inside_the_brain_and_empty_outside(prepared: PreparedStudy) -> None:
    for volume in prepared.inputs.values():
        inside = volume.array[prepared.brain.array]
        assert inside.mean() == pytest.approx(0, abs=1e-3)
        assert inside.std() == pytest.approx(1, abs=1e-3)
        assert not volume.array[~prepared.brain.array].any()


def test_the_tumour_is_bright_where_the_truth_says(phantom: PhantomStudy, prepared: PreparedStudy) -> None:
    """Turned, shifted or flipped data would put the enhancing rim elsewhere."""
    points = phantom.truth.grid.index_to_world(np.argwhere(phantom.truth.array == LABEL_OF[Region.ET]))
    index = np.rint(prepared.grid.world_to_index(points)).astype(int)
    assert prepared.inputs[Role.T1C].array[tuple(index.T)].mean() > 1.5


def test_a_bottle_is_no_brain() -> None:
    grid = Grid((60, 60, 60), (3.0, 3.0, 3.0), (0.0, 0.0, 0.0))
    z, y, x = np.ogrid[:60, :60, :60]
    bottle = (((z - 30) ** 2 + (y - 30) ** 2 + (x - 30) ** 2) < 14**2).astype(np.float32) * 500
    with pytest.raises(BrainMaskError):
        prepare({role: Volume(bottle, grid) for role in Role})


# ---------------------------------------------------------------- already prepared input (BraTS)


def _turned(volume: Volume) -> Volume:
    """The same voxels in the same world, stored as RAS with axes (x, z, y)."""
    array = np.ascontiguousarray(volume.array[:, ::-1, ::-1].transpose(1, 0, 2))
    depth, height, width = volume.grid.shape
    x, y, z = (float(value) for value in volume.grid.index_to_world((0, height - 1, width - 1)))
    direction = (-1.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 1.0, 0.0)
    return Volume(array, Grid((height, depth, width), (1.0, 1.0, 1.0), (x, y, z), direction))


@pytest.fixture(scope="module")
def stripped() -> Volumes:
    return brats_like(shape=(150, 190, 160)).volumes


def test_preprocessed_input_is_used_voxel_by_voxel_in_any_orientation(stripped: Volumes) -> None:
    upright = prepare_preprocessed(stripped)
    turned = prepare_preprocessed({role: _turned(volume) for role, volume in stripped.items()})
    assert turned.grid.is_close(upright.grid, 1e-6)
    for role, volume in stripped.items():
        np.testing.assert_array_equal(upright.heads[role].array, volume.array)
        np.testing.assert_array_equal(turned.inputs[role].array, upright.inputs[role].array)


def test_labels_of_preprocessed_input_return_to_the_inputs_own_grid_exactly(stripped: Volumes) -> None:
    own = _turned(stripped[Role.T1C])
    study = prepare_preprocessed({role: _turned(volume) for role, volume in stripped.items()})
    marked = (study.heads[Role.T1C].array > 0).astype(np.float32)
    back = to_source_grid(marked[None], study.grid, own.grid)
    np.testing.assert_array_equal(back[0] >= 0.5, own.array > 0)


def test_preprocessed_input_on_two_grids_is_refused(stripped: Volumes) -> None:
    flair = stripped[Role.FLAIR]
    cut = Volume(flair.array[1:].copy(), dataclasses.replace(flair.grid, shape=(149, 190, 160)))
    with pytest.raises(RegistrationError, match="FLAIR"):
        prepare_preprocessed({**stripped, Role.FLAIR: cut})


# ---------------------------------------------------------------- two ways of finding the brain


def _box(heads: Mapping[Role, np.ndarray]) -> np.ndarray:
    """In the network's place: a box of 1.7 l in the middle of the head."""
    found = np.zeros(next(iter(heads.values())).shape, dtype=np.float32)
    middle = tuple(slice(size // 2 - 60, size // 2 + 60) for size in found.shape)
    found[middle] = 1.0
    return found


@pytest.fixture
def aligned(monkeypatch: pytest.MonkeyPatch, prepared: PreparedStudy) -> None:
    """Registration as found before, and no shading: neither is what is tried here."""
    known = prepared.registrations
    monkeypatch.setattr(preparation, "register_all", lambda _, others: {role: known[role] for role in others})
    monkeypatch.setattr(preparation, "without_shading", lambda head, _: head.array)


@pytest.mark.usefixtures("aligned")
def test_brightness_and_shape_give_a_second_brain_where_a_network_finds_the_first(volumes: Volumes) -> None:
    study = prepare(volumes, _box)
    assert study.second_brain is not None
    assert study.second_brain.grid == study.grid
    truth, found = _true_brain(study.grid), study.second_brain.array
    assert 2 * (truth & found).sum() / (truth.sum() + found.sum()) > 0.9
    assert study.brain_agreement is not None
    assert 0.3 < study.brain_agreement < 0.9


@pytest.mark.usefixtures("aligned")
def test_without_t1_there_is_no_second_brain_since_enhancement_would_pass_for_fat(volumes: Volumes) -> None:
    study = prepare({role: volume for role, volume in volumes.items() if role is not Role.T1}, _box)
    assert study.second_brain is None
    assert study.brain_agreement is not None


@pytest.mark.usefixtures("aligned")
def test_where_the_network_cannot_tell_brightness_and_shape_decide(volumes: Volumes, prepared: PreparedStudy) -> None:
    study = prepare(volumes, lambda _: None)
    assert study.brain_agreement is None
    assert study.second_brain is None
    assert study.grid == prepared.grid


# ---------------------------------------------------------------- a real head


@pytest.mark.shared_data
def test_the_brain_of_a_real_head_agrees_with_another_tools_mask(shared_data: Path) -> None:
    from bt_node.convert.nifti import read_nifti

    folder = shared_data / "native"
    names = {Role.T1: "t1", Role.T1C: "t1c", Role.T2: "t2", Role.FLAIR: "flair"}
    heads = {role: read_nifti(folder / f"{name}.nii.gz") for role, name in names.items()}
    study = prepare(heads, load_brain_finder(torch.device("cpu")).predict)
    truth = read_nifti(folder / "t1c_brain_mask.nii.gz")
    found = to_source_grid(study.brain.array[None].astype(np.float32), study.grid, truth.grid)[0] >= 0.5
    agreed = 2 * (found & (truth.array > 0.5)).sum() / (found.sum() + (truth.array > 0.5).sum())
    assert agreed > 0.95
