"""Volumes that the classifier's slices come from: any layout, labels by their meaning, one head on one side only."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from bt_node.convert.nifti import read_nifti, write_nifti, write_nifti_labels
from bt_node.domain.geometry import Grid, Volume
from bt_node.domain.study import Role
from bt_node.domain.tumour import LabelMap
from training.classifier.leaks import OnLeak
from training.classifier.recipe import VolumesRecipe
from training.classifier.volume_split import split_of_volumes
from training.classifier.volumes import find_volumes, read_volume
from training.segmenter.case import Case, CaseError
from training.segmenter.toy import write_toy_cases

WANTED = VolumesRecipe(validation_cases=1, split_seed=1)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volumes")
    write_toy_cases(folder, 4)
    return folder


@pytest.fixture(scope="module")
def with_a_copy(tmp_path_factory: pytest.TempPathFactory, toy: Path) -> Path:
    """The same four, and the one that validates once more under another name: mirrored, with other tones."""
    folder = tmp_path_factory.mktemp("planted")
    shutil.copytree(toy, folder, dirs_exist_ok=True)
    [original] = validates(cases_in(toy), OnLeak.STOP)
    for other in ("Zoe_A", "Zoe_B"):
        (folder / other).mkdir()
        for path in (folder / original).iterdir():
            volume = read_nifti(path)
            end = path.name.removeprefix(original)
            turned = np.ascontiguousarray(volume.array[:, :, ::-1])
            if end.startswith("_seg"):
                labels = np.select([turned == 4, turned > 0], [3, turned], 0).astype(np.uint8)
                write_nifti_labels(folder / other / f"{other}{end}", LabelMap(labels, volume.grid), enhancing=4)
            else:
                tones = (turned / turned.max()) ** 0.8 * 500
                write_nifti(folder / other / f"{other}{end}", Volume(tones.astype(np.float32), volume.grid))
    return folder


def cases_in(folder: Path) -> tuple[Case, ...]:
    return find_volumes(folder, WANTED)


def validates(cases: tuple[Case, ...], on_leak: OnLeak) -> tuple[str, ...]:
    return split_of_volumes(cases, WANTED, on_leak, {})[0].validation


def planted_apart(folder: Path) -> VolumesRecipe:
    """A seed with which one of the three equal heads validates and two train."""
    cases = cases_in(folder)
    for seed in range(100):
        wanted = VolumesRecipe(validation_cases=1, split_seed=seed)
        split, _ = split_of_volumes(cases, wanted, OnLeak.TELL, {})
        if split.validation[0].startswith("Zoe"):
            return wanted
    raise AssertionError


def test_different_heads_are_split_by_patient_and_nothing_is_said(toy: Path) -> None:
    split, facts = split_of_volumes(cases_in(toy), WANTED, OnLeak.STOP, {})
    assert len(split.training) == 3
    assert len(split.validation) == 1
    assert facts["volumes_split"]["heads_on_both_sides"] == []


def test_a_head_under_two_names_stops_the_run_with_a_list(with_a_copy: Path) -> None:
    wanted = planted_apart(with_a_copy)
    with pytest.raises(CaseError, match=r"2 pair.s. of names[\s\S]*Zoe_[AB] and Zoe_[AB][\s\S]*--on-leak drop"):
        split_of_volumes(cases_in(with_a_copy), wanted, OnLeak.STOP, {})


def test_a_copied_head_is_dropped_from_training_or_validates_too(with_a_copy: Path) -> None:
    cases, wanted = cases_in(with_a_copy), planted_apart(with_a_copy)
    told, _ = split_of_volumes(cases, wanted, OnLeak.TELL, {})
    dropped, facts = split_of_volumes(cases, wanted, OnLeak.DROP, {})
    regrouped, _ = split_of_volumes(cases, wanted, OnLeak.REGROUP, {})
    assert (len(told.training), len(dropped.training), len(regrouped.training)) == (5, 3, 3)
    assert dropped.validation == told.validation
    assert len(regrouped.validation) == 3
    assert len(facts["volumes_split"]["heads_on_both_sides"]) == 2


def test_the_run_keeps_its_split_and_misses_cases_that_are_gone(toy: Path) -> None:
    cases = cases_in(toy)
    split, facts = split_of_volumes(cases, WANTED, OnLeak.STOP, {"split_sha256": "x"})
    another_seed = VolumesRecipe(validation_cases=2, split_seed=9)
    again, same = split_of_volumes(cases, another_seed, OnLeak.STOP, facts)
    assert (again, same) == (split, facts)
    with pytest.raises(CaseError, match=split.validation[0]):
        split_of_volumes([c for c in cases if c.name not in split.validation], WANTED, OnLeak.STOP, facts)


def test_labels_and_axes_mean_the_same_in_every_layout(tmp_path: Path, toy: Path) -> None:
    """A file from left to right in the newer numbering is the same head as its twin in the older one."""
    [first, *_] = cases_in(toy)
    mine = read_volume(first)
    image = read_nifti(first.images[Role.T1C])
    x_step, *_ = image.grid.spacing[::-1]
    far = image.grid.index_to_world(np.array([[0.0, 0.0, image.grid.shape[2] - 1.0]]))[0]
    flipped = Grid(image.grid.shape, image.grid.spacing, tuple(far), (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    assert x_step > 0
    name = "BraTS-GLI-00001-000"
    (tmp_path / name).mkdir()
    write_nifti(tmp_path / name / f"{name}-t1c.nii.gz", Volume(np.ascontiguousarray(image.array[..., ::-1]), flipped))
    raw = read_nifti(first.labels).array[..., ::-1]
    labels = np.where(raw == 4, 3, raw).astype(np.uint8)
    write_nifti_labels(tmp_path / name / f"{name}-seg.nii.gz", LabelMap(labels, flipped), enhancing=3)
    [other] = cases_in(tmp_path)
    theirs = read_volume(other)
    assert mine.labels.any()
    np.testing.assert_array_equal(theirs.labels, mine.labels)
    np.testing.assert_allclose(theirs.t1c, mine.t1c, atol=1e-3)


def test_a_damaged_t1c_is_named(tmp_path: Path) -> None:
    write_toy_cases(tmp_path, 1)
    path = tmp_path / "Toy_001" / "Toy_001_t1ce.nii.gz"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CaseError, match="Toy_001"):
        read_volume(cases_in(tmp_path)[0])
