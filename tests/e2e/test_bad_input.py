"""Bad input: a clear reason in the job book, nothing lost, and the node goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from dicom_builder import ramp_volume, write_series

from bt_node.deliver.folder import send_folder
from bt_node.domain.states import JobState
from bt_node.domain.study import Role
from bt_node.simulate.node_process import NodePlan, NodeProcess
from bt_node.simulate.phantom import PhantomStudy, make_phantom

MODELS = Path(__file__).resolve().parents[2] / "models"

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    plan = NodePlan(models=MODELS, sources=("PACS",), overrides={"completeness": {"quiet_seconds": 1}})
    with NodeProcess(tmp_path_factory.mktemp("node"), plan) as running:
        running.wait_until_listening("PACS")
        yield running


@pytest.fixture(scope="module")
def small_phantom(tmp_path_factory: pytest.TempPathFactory) -> PhantomStudy:
    return make_phantom(tmp_path_factory.mktemp("small"), seed=5, coarse=2.0)


def damaged_copy(phantom: PhantomStudy, folder: Path, study: str) -> dict[Role, list[Path]]:
    """The phantom as another study, one folder for each series; returns the copies by role."""
    copies: dict[Role, list[Path]] = {}
    for role, series in phantom.series.items():
        (folder / role).mkdir(parents=True)
        copies[role] = []
        for number, path in enumerate(series.paths):
            dataset = pydicom.dcmread(path)
            dataset.StudyInstanceUID = study
            dataset.SeriesInstanceUID = f"{study}.{list(Role).index(role) + 1}"
            dataset.SOPInstanceUID = f"{dataset.SeriesInstanceUID}.{number + 1}"
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            copies[role].append(folder / role / f"{number:03}.dcm")
            dataset.save_as(copies[role][-1])
    return copies


def test_a_missing_slice_is_rejected_with_the_place_of_the_gap(
    node: NodeProcess, small_phantom: PhantomStudy, tmp_path: Path, wait_for_job: Callable[..., Any]
) -> None:
    copies = damaged_copy(small_phantom, tmp_path, "1.2.840.1")
    copies[Role.T2][len(copies[Role.T2]) // 2].unlink()
    assert send_folder(node.peer, "PACS", tmp_path).all_stored
    view = wait_for_job(node, "1.2.840.1")
    assert view["state"] == JobState.REJECTED
    assert "mm apart" in view["reason"]
    assert "1.2.840.1.3" in view["reason"], "the series is not named"


def test_truncated_pixel_data_is_rejected_and_the_instance_named(
    node: NodeProcess, small_phantom: PhantomStudy, tmp_path: Path, wait_for_job: Callable[..., Any]
) -> None:
    copies = damaged_copy(small_phantom, tmp_path, "1.2.840.2")
    victim = copies[Role.T1][3]
    dataset = pydicom.dcmread(victim)
    dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 2]
    dataset.save_as(victim)
    assert send_folder(node.peer, "PACS", tmp_path).all_stored
    view = wait_for_job(node, "1.2.840.2")
    assert view["state"] == JobState.REJECTED
    assert dataset.SOPInstanceUID in str(view)


def test_a_ct_is_kept_set_aside_and_named(
    node: NodeProcess, tmp_path: Path, wait_for_job: Callable[..., Any]
) -> None:
    write_series(
        tmp_path,
        ramp_volume(),
        study_uid="1.2.840.3",
        series_uid="1.2.840.3.1",
        series_number=1,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2",
        Modality="CT",
        PatientName="Doe^Jane",
        PatientID="PID-4711",
        SeriesDescription="Doe Jane head",
    )
    assert send_folder(node.peer, "PACS", tmp_path).all_stored
    view = wait_for_job(node, "1.2.840.3")
    assert view["state"] == JobState.REJECTED
    assert all(role in view["reason"] for role in ("T1", "T1C", "T2", "FLAIR"))
    assert "CT" in view["set_aside"][0]["reason"]


def test_a_localizer_alone_is_rejected_until_the_missing_series_arrive(
    node: NodeProcess, small_phantom: PhantomStudy, wait_for_job: Callable[..., Any], tmp_path: Path
) -> None:
    survey = tmp_path / "survey"
    survey.mkdir()
    for path in small_phantom.localizer.paths:
        shutil.copy(path, survey / path.name)
    assert send_folder(node.peer, "PACS", survey).all_stored
    view = wait_for_job(node, small_phantom.study_instance_uid)
    assert view["state"] == JobState.REJECTED
    assert "FLAIR" in view["reason"]
    assert send_folder(node.peer, "PACS", small_phantom.folder).all_stored
    done = wait_for_job(node, small_phantom.study_instance_uid, frozenset({JobState.DONE}))
    assert len(done["roles"]) == len(Role)


def test_nothing_of_a_patient_is_in_the_job_book_or_the_log(node: NodeProcess) -> None:
    """Runs last in this file: the CT above was Jane Doe's."""
    kept = [path for path in node.folder.rglob("*") if path.is_file() and "spool" not in path.parts]
    assert {path.name for path in kept} >= {"jobs.sqlite", "node.log"}
    for path in kept:
        content = path.read_bytes()
        for secret in (b"Doe", b"PID-4711", b"PHANTOM"):
            assert secret not in content, f"{secret!r} in {path.name}"
