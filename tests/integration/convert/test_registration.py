"""Registration under exactly known motions: at most 1 mm off inside the brain, or it says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bt_node.assemble.study import read_study
from bt_node.convert import register as module
from bt_node.convert.itk import resample, volume_to_itk
from bt_node.convert.nifti import read_nifti
from bt_node.convert.prepare import prepare
from bt_node.convert.register import register, register_all
from bt_node.convert.regrid import axis_aligned_grid
from bt_node.convert.stack import load_series
from bt_node.domain.errors import BrainMaskError, RegistrationError
from bt_node.domain.geometry import Volume
from bt_node.domain.study import Role
from bt_node.simulate.motion import KnownMotion, covered, middle, moved, slab
from bt_node.simulate.phantom import PhantomStudy, make_phantom
from bt_node.simulate.tumour import Head, TumourShape

pytestmark = pytest.mark.integration

MOST_MM = 1.0


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> PhantomStudy:
    return make_phantom(tmp_path_factory.mktemp("phantom"), coarse=1.0)


@pytest.fixture(scope="module")
def volumes(phantom: PhantomStudy) -> Mapping[Role, Volume]:
    facts = {series.series_instance_uid: series for series in read_study(phantom.paths_by_uid).series}
    return {
        role: load_series(facts[phantom.series[role].series_instance_uid], phantom.paths_by_uid).volume
        for role in (Role.T1C, Role.T2, Role.FLAIR)
    }


@pytest.fixture(scope="module")
def brain(volumes: Mapping[Role, Volume]) -> np.ndarray:
    """Points all over the brain, LPS mm in the world of T1c."""
    grid = volumes[Role.T1C].grid
    points = grid.index_to_world(np.indices(grid.shape).reshape(3, -1).T)
    return points[Head.draw(1, TumourShape()).brain(points.T) < 0][::97]


def true_way(phantom: PhantomStudy, role: Role, motion: KnownMotion, points: np.ndarray) -> np.ndarray:
    before = phantom.motion[role]
    return motion.apply(points @ before[:3, :3].T + before[:3, 3])


@pytest.mark.parametrize(
    ("motion", "part"),
    [
        (KnownMotion(20, (0, 0, 1), (20, 20, 10)), (0, 1)),
        (KnownMotion(20, (1, 0, 0), (10, -20, 20)), (0, 1)),
        (KnownMotion(8, (0, 1, 0), (60, -150, 400)), (0, 1)),
        (KnownMotion(20, (1, 0, 0), (10, -20, 20)), (0.25, 0.8)),
        (KnownMotion(6, (0, 1, 1), (4, 3, -5)), (0, 1)),
    ],
    ids=[
        "20 degrees turned, 30 mm",
        "20 degrees nodded, 30 mm",
        "another frame of reference",
        "a slab, moved",
        "a small motion",
    ],
)
def test_a_known_motion_is_found_within_a_millimetre(
    phantom: PhantomStudy,
    volumes: Mapping[Role, Volume],
    brain: np.ndarray,
    motion: KnownMotion,
    part: tuple[float, float],
) -> None:
    moving = moved(slab(volumes[Role.FLAIR], *part), motion)
    report = register(volumes[Role.T1C], moving, Role.FLAIR)
    truth = true_way(phantom, Role.FLAIR, motion, brain)
    seen = covered(moving, truth)
    assert report.applied
    assert np.linalg.norm(report.motion.apply(brain) - truth, axis=1)[seen].max() <= MOST_MM
    assert report.overlap == pytest.approx(seen.mean(), abs=0.2)


def test_thick_slices_are_brought_onto_a_volume_of_1_mm(
    phantom: PhantomStudy, volumes: Mapping[Role, Volume], brain: np.ndarray
) -> None:
    t1c = volumes[Role.T1C]
    ends = t1c.grid.index_to_world(np.array(np.meshgrid(*[(0, n - 1) for n in t1c.grid.shape])).reshape(3, -1).T)
    grid = axis_aligned_grid(ends.min(axis=0), ends.max(axis=0))
    thin = Volume(resample(volume_to_itk(t1c), grid), grid)
    motion = KnownMotion(8, (1, 1, 0), (6, -3, 9))
    report = register(thin, moved(volumes[Role.T2], motion), Role.T2)
    assert volumes[Role.T2].grid.spacing[2] >= 4
    truth = true_way(phantom, Role.T2, motion, brain)
    assert np.linalg.norm(report.motion.apply(brain) - truth, axis=1).max() <= MOST_MM


def test_the_scanner_s_geometry_is_kept_where_nobody_moved(volumes: Mapping[Role, Volume]) -> None:
    report = register(volumes[Role.T1C], volumes[Role.T2], Role.T2)
    assert not report.applied
    assert report.translation_mm == 0
    assert report.metric_after == report.metric_before


def test_a_series_that_covers_a_sliver_of_the_head_is_refused_with_how_much(volumes: Mapping[Role, Volume]) -> None:
    with pytest.raises(RegistrationError, match=r"FLAIR .* it covers \d+% of the reference head"):
        register(volumes[Role.T1C], slab(volumes[Role.FLAIR], 0.45, 0.7), Role.FLAIR)


def _few(volume: Volume, count: int) -> Volume:
    grid = volume.grid
    return Volume(volume.array[:count].copy(), replace(grid, shape=(count, *grid.shape[1:])))


def _blank(volume: Volume, value: float) -> Volume:
    return Volume(np.full_like(volume.array, value), volume.grid)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda volume: _few(volume, 1), "1 slices or rows only"),
        (lambda volume: _few(volume, 3), "3 slices or rows only"),
        (lambda volume: _blank(volume, 0.0), "shows nothing"),
        (lambda volume: _blank(volume, 500.0), "shows nothing"),
    ],
    ids=["one slice", "three slices", "black", "grey"],
)
def test_what_cannot_be_compared_is_refused_in_words(
    volumes: Mapping[Role, Volume], spoil: Callable[[Volume], Volume], said: str
) -> None:
    with pytest.raises(RegistrationError, match=f"T2 .* it .*{said}"):
        register_all(volumes[Role.T1C], {Role.T2: spoil(volumes[Role.T2])})
    with pytest.raises(RegistrationError, match=f"T2 .* the reference .*{said}"):
        register(spoil(volumes[Role.T1C]), volumes[Role.T2], Role.T2)


def test_a_lone_blank_series_has_no_brain(volumes: Mapping[Role, Volume]) -> None:
    with pytest.raises(BrainMaskError):
        prepare({Role.T1C: _blank(volumes[Role.T1C], 0.0)})


def test_a_result_that_every_new_start_beats_is_refused(
    volumes: Mapping[Role, Volume], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = module._Pair(module._Fixed.of(volumes[Role.T1C]), module._prepare(volumes[Role.FLAIR]), Role.FLAIR)
    far = pair._rigid(np.array([0.0, 15.0, 0.0]))
    other = pair._rigid(np.array([0.0, 16.0, 0.0]))
    scores = iter(range(1, 1000))
    monkeypatch.setattr(pair, "_around", lambda _: [far])
    monkeypatch.setattr(pair, "_optimise", lambda start, levels=None: start)
    monkeypatch.setattr(pair, "_coarse_information", lambda one: 0.0 if one is other else 1.0)
    monkeypatch.setattr(pair, "_best_of", lambda _: (float(next(scores)), other))
    with pytest.raises(RegistrationError, match="each better than before"):
        pair._confirmed(0.5, other)


@pytest.mark.shared_data
@pytest.mark.parametrize(("role", "axis"), [(Role.T2, (0, 0, 1)), (Role.FLAIR, (1, 0, 0))], ids=["turned", "nodded"])
def test_a_known_motion_of_a_real_head_is_found_within_a_millimetre(
    shared_data: Path, role: Role, axis: tuple[float, float, float]
) -> None:
    folder = shared_data / "native"
    names = {Role.T1C: "t1c", Role.T2: "t2", Role.FLAIR: "flair"}
    reference, other = (read_nifti(folder / f"{names[one]}.nii.gz") for one in (Role.T1C, role))
    mask = read_nifti(folder / "t1c_brain_mask.nii.gz")
    points = mask.grid.index_to_world(np.argwhere(mask.array > 0.5)[::997])
    motion = KnownMotion(20, axis, (10, -20, 20), middle(reference))
    still, found = (register(reference, volume, role).motion for volume in (other, moved(other, motion)))
    off = np.linalg.norm(found.apply(points) - motion.apply(still.apply(points)), axis=1)
    assert off.max() <= MOST_MM
