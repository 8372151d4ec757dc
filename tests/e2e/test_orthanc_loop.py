"""A real Orthanc as the PACS: it sends the study, gets the results, and serves them by DICOMweb."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from orthanc import OrthancServer
from validators import outlines_by_dcmqi, validate

from bt_node.deliver.peer import Peer
from bt_node.domain.states import JobState
from bt_node.domain.study import Role
from bt_node.domain.tumour import Region
from bt_node.simulate.node_process import NodePlan, NodeProcess
from bt_node.simulate.phantom import PhantomStudy

MODELS = Path(__file__).resolve().parents[2] / "models"


@pytest.mark.e2e
@pytest.mark.timeout(420)
def test_a_study_sent_by_orthanc_comes_back_as_seg_and_report(
    orthanc: OrthancServer, phantom: PhantomStudy, tmp_path: Path, wait_for_job: Callable[..., Any], peer
) -> None:
    orthanc.clear()
    for path in phantom.paths:
        orthanc.upload(path)
    pacs = Peer(orthanc.ae_title, "127.0.0.1", orthanc.dicom_port)
    plan = NodePlan(models=MODELS, sources=(orthanc.ae_title,), destinations={"orthanc": pacs})
    with NodeProcess(tmp_path / "node", plan) as node:
        node.wait_until_listening(orthanc.ae_title)
        orthanc.add_modality("BT_NODE", node.port)
        orthanc.send_to("BT_NODE", [orthanc.orthanc_id(phantom.study_instance_uid)])
        view = wait_for_job(node, phantom.study_instance_uid)
    assert view["state"] == JobState.DONE, view["reason"]
    chosen = {entry["role"]: entry["series_instance_uid"] for entry in view["roles"]}
    assert chosen == {role.value: phantom.series[role].series_instance_uid for role in Role}
    _served_by_dicomweb(orthanc, phantom, view)
    folder = _fetched(orthanc, view, tmp_path / "results")
    assert validate(folder, [phantom.folder], peer) == ()
    _outline_lies_on_the_tumour(view, folder, phantom)


def _served_by_dicomweb(orthanc: OrthancServer, phantom: PhantomStudy, view: dict[str, Any]) -> None:
    series = orthanc.qido(f"studies/{phantom.study_instance_uid}/series")
    served = {entry["0020000E"]["Value"][0]: entry["00080060"]["Value"][0] for entry in series}
    for result in view["results"]:
        assert served[result["series_instance_uid"]] == ("SR" if result["kind"] == "SR" else "SEG")


def _fetched(orthanc: OrthancServer, view: dict[str, Any], folder: Path) -> Path:
    folder.mkdir()
    for result in view["results"]:
        (folder / f"{result['kind']}.dcm").write_bytes(orthanc.file(result["sop_instance_uid"]))
    return folder


def _outline_lies_on_the_tumour(view: dict[str, Any], folder: Path, phantom: PhantomStudy) -> None:
    """As dcmqi places it in the patient, not as we do."""
    masks = outlines_by_dcmqi(folder / "SEG.dcm", phantom.truth.grid)
    found = np.any(masks, axis=0)
    truth = phantom.truth.mask(Region.WT)
    dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
    assert dice > 0.7
    assert view["findings"]["volumes_ml"]["WT"] == pytest.approx(
        found.sum() * phantom.truth.grid.voxel_volume_mm3 / 1000, rel=0.01
    )
