"""`bt-node predict`, as a researcher types it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bt_node.convert.nifti import read_nifti, write_nifti
from bt_node.domain.study import Role
from bt_node.domain.tumour import Region, TumourType
from bt_node.simulate.phantom import BratsCase, brats_like
from bt_node.simulate.tumour import TumourShape

REPOSITORY = Path(__file__).resolve().parents[3]
SHIPPED = REPOSITORY / "models" / "bt-segmenter-0.2"
OPTIONS = {Role.T1: "--t1", Role.T1C: "--t1c", Role.T2: "--t2", Role.FLAIR: "--flair"}


def predict(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bt_node", "predict", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, cwd=REPOSITORY)


@pytest.fixture(scope="module")
def case() -> BratsCase:
    return brats_like(seed=3, tumour=TumourShape())


@pytest.fixture(scope="module")
def files(case: BratsCase, tmp_path_factory: pytest.TempPathFactory) -> dict[Role, Path]:
    folder = tmp_path_factory.mktemp("case")
    for role, volume in case.volumes.items():
        write_nifti(folder / f"{role}.nii.gz", volume)
    return {role: folder / f"{role}.nii.gz" for role in case.volumes}


def test_a_brats_like_case_is_outlined_on_its_own_grid_with_its_own_labels(
    case: BratsCase, files: dict[Role, Path], tmp_path: Path
) -> None:
    arguments = [word for role, path in files.items() for word in (OPTIONS[role], str(path))]
    ran = predict("segmentation", *arguments, "--preprocessed", "--output", str(tmp_path / "labels.nii.gz"))
    assert ran.returncode == 0, ran.stderr
    assert "not for diagnosis" in ran.stdout
    found = read_nifti(tmp_path / "labels.nii.gz")
    assert found.grid.is_close(case.labels.grid)
    assert set(np.unique(found.array)) <= {0, 1, 2, 4}
    truth = case.labels.mask(Region.WT)
    dice = 2 * ((found.array > 0) & truth).sum() / ((found.array > 0).sum() + truth.sum())
    assert dice > 0.7


def test_a_release_that_needs_all_sequences_names_the_missing_file(files: dict[Role, Path], tmp_path: Path) -> None:
    release = tmp_path / "strict"
    shutil.copytree(SHIPPED, release)
    manifest = release / "manifest.toml"
    manifest.write_text(manifest.read_text().replace("needs_one_of = ", "needs_one_of = [] # "))
    arguments = [word for role, path in files.items() if role is not Role.T2 for word in (OPTIONS[role], str(path))]
    options = ("--model", str(release), "--output", str(tmp_path / "labels.nii.gz"))
    ran = predict("segmentation", *arguments, *options)
    assert ran.returncode == 1
    assert "cannot answer without T2. Add --t2 FILE." in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_release_that_can_do_without_answers_on_flair_alone_and_says_what_is_a_guess(
    case: BratsCase, files: dict[Role, Path], tmp_path: Path
) -> None:
    output = tmp_path / "labels.nii.gz"
    options = ("--preprocessed", "--model", str(SHIPPED), "--output", str(output))
    ran = predict("segmentation", "--flair", str(files[Role.FLAIR]), *options)
    assert ran.returncode == 0, ran.stderr
    assert "T1C was missing" in ran.stdout
    assert "(a guess)" in ran.stdout
    assert read_nifti(output).grid.is_close(case.volumes[Role.FLAIR].grid)
    refused = predict("segmentation", "--t2", str(files[Role.T2]), *options)
    assert refused.returncode == 1
    assert "cannot answer without T1C or FLAIR" in refused.stderr


def test_a_file_that_is_no_nifti_is_named_without_a_traceback(files: dict[Role, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.nii.gz"
    broken.write_text("nothing")
    arguments = [word for role, path in files.items() for word in (OPTIONS[role], str(path))]
    arguments[arguments.index(str(files[Role.T2]))] = str(broken)
    ran = predict("segmentation", *arguments, "--output", str(tmp_path / "labels.nii.gz"))
    assert ran.returncode == 1
    assert "broken.nii.gz" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_pictures_are_classified_one_by_one_as_json(case: BratsCase, tmp_path: Path) -> None:
    names = []
    for plane in (60, 90):
        array = case.volumes[Role.T1C].array[plane]
        names.append(str(tmp_path / f"{plane}.png"))
        Image.fromarray((255 * array / array.max()).astype(np.uint8)).save(names[-1])
    ran = predict("classification", *names, "--json")
    assert ran.returncode == 0, ran.stderr
    rows = json.loads(ran.stdout)
    assert [row["image"] for row in rows] == names
    for row in rows:
        assert set(row["probabilities"]) == set(TumourType)
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-3)
        assert (row["plane"], row["sequence"]) == ("unknown", "unknown")
        assert "Holds only if this is an axial T1C slice" in row["note"]
        assert row["tumour_type"] == max(row["probabilities"], key=row["probabilities"].get)
