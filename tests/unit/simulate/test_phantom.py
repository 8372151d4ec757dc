"""The phantom: known volumes, readable headers, geometry that another library reads the same way, repeatable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK

from bt_node.domain.geometry import Grid
from bt_node.domain.study import Role
from bt_node.domain.tumour import LABEL_OF, Region
from bt_node.simulate.mr_series import Patient
from bt_node.simulate.phantom import BratsCase, PhantomStudy, brats_like, make_phantom
from bt_node.simulate.sequences import grid_points
from bt_node.simulate.tumour import Head, TumourShape


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> PhantomStudy:
    return make_phantom(tmp_path_factory.mktemp("phantom"), coarse=2)


@pytest.fixture(scope="module")
def case() -> BratsCase:
    return brats_like(tumour=TumourShape(), shape=(80, 112, 88), spacing_mm=2.0)


def itk_volume(study: PhantomStudy, role: Role) -> SimpleITK.Image:
    reader = SimpleITK.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(str(study.series[role].folder))
    reader.SetFileNames(names)
    return reader.Execute()


# ---------------------------------------------------------------- volumes


def test_a_smooth_core_has_the_volume_of_the_ellipsoid_by_formula() -> None:
    shape = TumourShape(core_axes_mm=(15, 18, 14), irregularity_mm=0.0)
    grid = Grid((40, 50, 42), (1.0, 1.0, 1.0), (9.5, -8.5, 2.5))
    labels = Head.draw(1, shape).labels(grid_points(grid))
    core_ml = 4 / 3 * np.pi * 15 * 18 * 14 / 1000
    assert np.isin(labels, [1, 3]).sum() / 1000 == pytest.approx(core_ml, rel=0.01)
    assert (labels == 1).sum() / 1000 == pytest.approx(core_ml * shape.necrosis_share**3, rel=0.01)


def test_the_truth_on_thick_slices_agrees_with_the_same_head_sampled_finely(study: PhantomStudy) -> None:
    fine = Grid((140, 150, 120), (0.6, 0.6, 0.6), (-6.0, -32.0, -22.0))
    labels = Head.draw(1, TumourShape()).labels(grid_points(fine))
    for region in (Region.NCR, Region.ET, Region.ED):
        true_ml = float((labels == LABEL_OF[region]).sum()) * fine.voxel_volume_mm3 / 1000
        assert study.volumes_ml[region] == pytest.approx(true_ml, rel=0.06), region


def test_nested_regions_add_up_and_all_three_are_there(study: PhantomStudy) -> None:
    volumes = study.volumes_ml
    assert min(volumes.values()) > 2
    assert volumes[Region.TC] == pytest.approx(volumes[Region.NCR] + volumes[Region.ET])
    assert volumes[Region.WT] == pytest.approx(volumes[Region.TC] + volumes[Region.ED])


def test_without_a_tumour_the_truth_is_empty(tmp_path: Path) -> None:
    study = make_phantom(tmp_path, tumour=False, coarse=3)
    assert study.truth.is_empty
    assert set(study.volumes_ml.values()) == {0.0}
    assert study.tumour_centre_mm is None


# ---------------------------------------------------------------- geometry


def test_another_library_reads_each_series_on_the_grid_that_the_phantom_states(study: PhantomStudy) -> None:
    for role in Role:
        image, grid = itk_volume(study, role), study.grids[role]
        assert image.GetSize() == grid.shape[::-1]
        np.testing.assert_allclose(image.GetSpacing(), grid.spacing, atol=1e-4)
        np.testing.assert_allclose(image.GetOrigin(), grid.origin, atol=1e-3)
        np.testing.assert_allclose(image.GetDirection(), grid.direction, atol=1e-5)


def test_the_bright_ring_lies_where_the_truth_says_in_lps(study: PhantomStudy) -> None:
    image = itk_volume(study, Role.T1C)
    array = SimpleITK.GetArrayFromImage(image).astype(float)
    index = [round(v) for v in image.TransformPhysicalPointToIndex(study.tumour_centre_mm)][::-1]
    near = tuple(slice(max(i - 7, 0), i + 8) for i in index)
    found, true = array[near], study.truth.mask(Region.ET)[near]
    assert found[true].mean() > 1.25 * found[study.truth.array[near] == 0].mean()
    centroid_index = np.argwhere(study.truth.mask(Region.TC)).mean(axis=0)
    centroid = image.TransformContinuousIndexToPhysicalPoint([float(v) for v in centroid_index[::-1]])
    np.testing.assert_allclose(centroid, study.tumour_centre_mm, atol=2.5)


def test_the_tumour_moves_to_where_it_is_asked_for(tmp_path: Path) -> None:
    study = make_phantom(tmp_path, tumour_centre_mm=(-32, -20, 24), irregularity_mm=0, coarse=3)
    voxels = np.argwhere(study.truth.mask(Region.TC))
    np.testing.assert_allclose(study.truth.grid.index_to_world(voxels).mean(axis=0), (-32, -20, 24), atol=1.5)


def test_flair_was_taken_after_the_stated_motion(study: PhantomStudy) -> None:
    """Oedema is bright on FLAIR at the moved place, and less so where it was before."""
    points = study.truth.grid.index_to_world(np.argwhere(study.truth.mask(Region.ED)))
    image, motion = itk_volume(study, Role.FLAIR), study.motion[Role.FLAIR]
    assert 1 < np.linalg.norm(motion[:3, 3]) < 5

    def mean_at(world: np.ndarray) -> float:
        array, grid = SimpleITK.GetArrayFromImage(image), study.grids[Role.FLAIR]
        index = np.rint(grid.world_to_index(world)).astype(int).T
        return float(array[tuple(index)].mean())

    assert mean_at(points @ motion[:3, :3].T + motion[:3, 3]) > 1.02 * mean_at(points)
    np.testing.assert_array_equal(study.motion[Role.T1C], np.eye(4))


def test_the_four_grids_differ_and_are_oblique_unless_told_otherwise(study: PhantomStudy, tmp_path: Path) -> None:
    grids = list(study.grids.values())
    assert len({(grid.shape, grid.direction) for grid in grids}) == 4
    assert all(abs(grid.direction_matrix[2, 1]) > 0.1 for grid in grids)
    upright = make_phantom(tmp_path, coarse=4, oblique=False)
    assert all(np.array_equal(grid.direction_matrix, np.eye(3)) for grid in upright.grids.values())


# ---------------------------------------------------------------- headers


def test_headers_tell_the_four_sequences_apart(study: PhantomStudy) -> None:
    heads = {role: pydicom.dcmread(study.series[role].paths[0]) for role in Role}
    assert [role for role, head in heads.items() if "ContrastBolusAgent" in head] == [Role.T1C]
    assert heads[Role.T1C].AcquisitionTime > heads[Role.T1].AcquisitionTime
    assert heads[Role.FLAIR].InversionTime > 2000
    assert heads[Role.T2].EchoTime > 80
    assert heads[Role.T1].EchoTime < 30
    assert len({head.StudyInstanceUID for head in heads.values()}) == 1
    assert len({head.FrameOfReferenceUID for head in heads.values()}) == 1
    assert len({head.SeriesInstanceUID for head in heads.values()}) == 4
    assert str(heads[Role.T1].PatientName) == "PHANTOM^BRAIN"


def test_without_a_hint_at_contrast_only_time_and_number_tell_the_t1_series_apart(tmp_path: Path) -> None:
    study = make_phantom(tmp_path, contrast_named=False, coarse=4)
    before, after = (pydicom.dcmread(study.series[role].paths[0]) for role in (Role.T1, Role.T1C))
    for word in ("SeriesDescription", "ProtocolName", "EchoTime", "RepetitionTime"):
        assert before[word].value == after[word].value
    assert "ContrastBolusAgent" not in after
    assert (after.AcquisitionTime, after.SeriesNumber) > (before.AcquisitionTime, before.SeriesNumber)


def test_the_survey_has_three_planes_in_one_series(study: PhantomStudy) -> None:
    orientations = {tuple(pydicom.dcmread(path).ImageOrientationPatient) for path in study.localizer.paths}
    assert len(orientations) == 3
    assert len(study.localizer.paths) == 9


def test_every_file_is_listed_once_under_its_own_uid(study: PhantomStudy) -> None:
    written = set(study.folder.rglob("*.dcm"))
    assert set(study.paths) == written
    for uid, path in list(study.paths_by_uid.items())[::10]:
        assert pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID == uid
    assert len(study.paths_by_uid) == len(written)


# ---------------------------------------------------------------- repeatable


def test_the_same_seed_writes_the_same_bytes_and_another_writes_other_uids(tmp_path: Path) -> None:
    one, two = (make_phantom(tmp_path / name, seed=5, coarse=4) for name in "ab")
    assert [p.read_bytes() for p in one.paths] == [p.read_bytes() for p in two.paths]
    other = make_phantom(tmp_path / "c", seed=6, coarse=4)
    assert not set(other.paths_by_uid) & set(one.paths_by_uid)


@pytest.mark.parametrize(
    "change",
    [{"tumour": False}, {"contrast_named": False}, {"motion": False}, {"patient": Patient(name="Doe^Jane")}],
)
def test_other_content_never_travels_under_known_uids(tmp_path: Path, change: dict[str, object]) -> None:
    plain = make_phantom(tmp_path / "plain", coarse=4)
    changed = make_phantom(tmp_path / "changed", coarse=4, **change)
    assert not set(plain.paths_by_uid) & set(changed.paths_by_uid)


def test_a_shape_that_is_no_tumour_is_refused() -> None:
    with pytest.raises(ValueError, match="necrosis_share"):
        TumourShape(necrosis_share=1.0)
    with pytest.raises(ValueError, match="oedema axes"):
        TumourShape(core_axes_mm=(40, 40, 40))


# ---------------------------------------------------------------- like BraTS


def test_a_brats_like_case_is_stripped_and_as_bright_as_real_ones_are(case: BratsCase) -> None:
    brain = case.volumes[Role.T1].array > 0
    assert 1200 < brain.sum() * case.labels.grid.voxel_volume_mm3 / 1000 < 1700
    for role in Role:
        assert np.array_equal(case.volumes[role].array > 0, brain)

    def z(role: Role, region: Region) -> float:
        array = case.volumes[role].array
        return float((np.median(array[case.labels.mask(region)]) - array[brain].mean()) / array[brain].std())

    # Ranges of the medians of 15 cases of BraTS 2018.
    assert 0.6 < z(Role.FLAIR, Region.ED) < 3.3
    assert 0.1 < z(Role.T2, Region.ED) < 1.6
    assert 1.0 < z(Role.T1C, Region.ET) < 2.9
    assert -1.3 < z(Role.T1C, Region.NCR) < 0.3
    assert -1.3 < z(Role.T1, Region.NCR) < 0.0
