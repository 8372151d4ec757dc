"""Real images, roles known: right ones are never contradicted, and any two that are exchanged are seen."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import pytest

from bt_node.assemble.roles import choose_roles
from bt_node.assemble.study import read_study
from bt_node.convert.nifti import read_nifti
from bt_node.convert.prepare import PreparedStudy, prepare, prepare_preprocessed
from bt_node.convert.stack import load_series
from bt_node.deliver.folder import find_files
from bt_node.domain.geometry import Volume
from bt_node.domain.study import Role
from bt_node.judge.witness import Opinion, Statement, look_at

pytestmark = [pytest.mark.integration, pytest.mark.shared_data, pytest.mark.timeout(900)]

BRATS = {Role.T1: "t1", Role.T1C: "t1ce", Role.T2: "t2", Role.FLAIR: "flair"}
NATIVE = {Role.T1: "t1", Role.T1C: "t1c", Role.T2: "t2", Role.FLAIR: "flair"}
# The hardest of the fifteen: least fluid and most like a T2, a FLAIR cut off at 0, the faintest contrast, noisy T1c.
HARDEST = ("Brats18_TCIA10_639_1", "Brats18_2013_20_1", "Brats18_TCIA10_628_1", "Brats18_TCIA02_370_1")


def statements(study: PreparedStudy, *pair: Role) -> Mapping[Role, Statement]:
    """With the names of two sequences exchanged, if a pair is given."""
    names = dict(zip(pair, reversed(pair), strict=True))
    inputs = {role: study.inputs[names.get(role, role)].array for role in Role}
    return look_at(inputs, study.brain.array)


def right_roles_agree_and_exchanged_ones_are_seen(study: PreparedStudy) -> None:
    assert {said.opinion for said in statements(study).values()} == {Opinion.AGREES}
    for pair in combinations(Role, 2):
        said = statements(study, *pair)
        against = {role for role in said if said[role].opinion is Opinion.CONTRADICTS}
        assert against == set(pair), pair


@pytest.mark.parametrize("name", HARDEST)
def test_a_stripped_brain(shared_data: Path, name: str) -> None:
    case = shared_data / "segmentation" / name
    volumes = {role: read_nifti(next(case.glob(f"*_{word}.nii*"))) for role, word in BRATS.items()}
    right_roles_agree_and_exchanged_ones_are_seen(prepare_preprocessed(volumes))


def native(shared_data: Path, _: Path) -> dict[Role, Volume]:
    return {role: read_nifti(shared_data / "native" / f"{word}.nii.gz") for role, word in NATIVE.items()}


def philips(shared_data: Path, folder: Path) -> dict[Role, Volume]:
    with zipfile.ZipFile(shared_data / "dicom" / "patient_b.zip") as archive:
        archive.extractall(folder)
    files = {file.sop_instance_uid: file.path for file in find_files(folder).files}
    choices = choose_roles(read_study(files)).choices
    return {role: load_series(choice.series, files).volume for role, choice in choices.items()}


@pytest.mark.parametrize("scanned", [native, philips])
def test_a_head_as_scanned(shared_data: Path, tmp_path: Path, scanned: object) -> None:
    assert callable(scanned)
    right_roles_agree_and_exchanged_ones_are_seen(prepare(scanned(shared_data, tmp_path)))
