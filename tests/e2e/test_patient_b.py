"""One real patient through the whole loop. Runs where the shared data is; nothing of it is kept.

Philips 1.5 T, 5 mm slices, T2- and FLAIR-bright lesion in the right frontal white matter. Nothing in the headers says
which T1 is after contrast: only the time tells.
"""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from orthanc import OrthancServer
from scipy import ndimage
from validators import outlines_by_dcmqi, validate

from bt_node.assemble.study import read_study
from bt_node.convert.stack import load_series
from bt_node.deliver.folder import find_files
from bt_node.deliver.peer import Peer
from bt_node.domain.states import JobState
from bt_node.simulate.node_process import NodePlan, NodeProcess

MODELS = Path(__file__).resolve().parents[2] / "models"
EXPECTED = {"T1": "SE000001", "T1C": "SE000008", "T2": "SE000002", "FLAIR": "SE000009"}

pytestmark = [pytest.mark.e2e, pytest.mark.shared_data, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def patient(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("patient")
    with zipfile.ZipFile(shared_data / "dicom" / "patient_b.zip") as archive:
        archive.extractall(folder)
    return folder


def series_uids(patient: Path) -> dict[str, str]:
    """SeriesInstanceUID by folder."""
    found = {}
    for folder in sorted(path for path in patient.rglob("SE*") if path.is_dir()):
        first = find_files(folder).files[0].path
        found[folder.name] = str(pydicom.dcmread(first, stop_before_pixels=True).SeriesInstanceUID)
    return found


def storescu(peer: Callable[[str], str], node: NodeProcess, *folders: Path) -> None:
    files = [str(file.path) for folder in folders for file in find_files(folder).files]
    subprocess.run(
        [peer("storescu"), "-aet", "MODALITY", "-aec", "BT_NODE", "127.0.0.1", str(node.port), *files],
        check=True,
        capture_output=True,
        timeout=200,
    )


def test_the_lesion_comes_back_outlined_on_its_side(
    patient: Path,
    orthanc: OrthancServer,
    peer: Callable[[str], str],
    tmp_path: Path,
    wait_for_job: Callable[..., Any],
) -> None:
    orthanc.clear()
    uids = series_uids(patient)
    plan = NodePlan(
        models=MODELS,
        sources=("MODALITY",),
        destinations={"orthanc": Peer(orthanc.ae_title, "127.0.0.1", orthanc.dicom_port)},
    )
    with NodeProcess(tmp_path / "node", plan) as node:
        node.wait_until_listening("MODALITY")
        folders = [path for path in sorted(patient.rglob("SE*")) if path.is_dir()]
        with ThreadPoolExecutor(len(folders)) as pool:  # each series in an association of its own, all at once
            list(pool.map(lambda folder: storescu(peer, node, folder), folders))
        study = str(pydicom.dcmread(find_files(patient).files[0].path, stop_before_pixels=True).StudyInstanceUID)
        view = wait_for_job(node, study, seconds=300)
    assert view["state"] == JobState.DONE, view["reason"]
    chosen = {entry["role"]: entry["series_instance_uid"] for entry in view["roles"]}
    assert chosen == {role: uids[folder] for role, folder in EXPECTED.items()}
    results = tmp_path / "results"
    results.mkdir()
    for result in view["results"]:
        (results / f"{result['kind']}.dcm").write_bytes(orthanc.file(result["sop_instance_uid"]))
    outline_lies_in_the_right_frontal_lobe(results / "SEG.dcm", patient, uids["SE000008"])
    assert validate(results, [patient], peer) == ()


def outline_lies_in_the_right_frontal_lobe(seg: Path, patient: Path, t1c_uid: str) -> None:
    """By dcmqi's reading, in patient coordinates: x grows to the patient's left, y to posterior."""
    files = {file.sop_instance_uid: file.path for file in find_files(patient).files}
    series = next(one for one in read_study(files).series if one.series_instance_uid == t1c_uid)
    volume = load_series(series, files).volume
    outline = np.any(outlines_by_dcmqi(seg, volume.grid), axis=0)
    head = volume.array > np.percentile(volume.array, 60)
    middle = volume.grid.index_to_world(np.argwhere(head)).mean(axis=0)
    points = volume.grid.index_to_world(np.argwhere(outline)) - middle
    assert 20 < outline.sum() * volume.grid.voxel_volume_mm3 / 1000 < 150
    right = (points[:, 0] < 0).mean()
    assert right > 0.99, f"only {right:.1%} of the outline is on the right"
    _, parts = ndimage.label(outline, structure=np.ones((3, 3, 3)))
    assert parts == 1, "something is outlined apart from the lesion"
