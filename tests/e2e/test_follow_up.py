"""The same patient twice, through a node as a process, with C-STORE in and out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bt_node.deliver.folder import send_folder
from bt_node.deliver.peer import Peer
from bt_node.domain.states import JobState
from bt_node.simulate.fake_pacs import FakePacs
from bt_node.simulate.mr_series import Patient
from bt_node.simulate.node_process import NodePlan, NodeProcess
from bt_node.simulate.phantom import make_phantom

MODELS = Path(__file__).resolve().parents[2] / "models"
JANE = Patient(name="Doe^Jane", patient_id="H-0815", birth_date="19610203", sex="F")


@pytest.mark.e2e
@pytest.mark.timeout(1800)
def test_the_second_report_in_the_archive_carries_both_volumes(
    tmp_path: Path, wait_for_job: Callable[..., Any]
) -> None:
    january = make_phantom(tmp_path / "january", patient=JANE, coarse=1.5)
    march = make_phantom(
        tmp_path / "march", patient=JANE, coarse=1.5, study_date="20260301", core_axes_mm=(18.0, 23.0, 18.0)
    )
    with FakePacs("ARCHIVE") as pacs:
        plan = NodePlan(
            models=MODELS,
            sources=("SCANNER",),
            destinations={"archive": Peer("ARCHIVE", "127.0.0.1", pacs.port)},
        )
        with NodeProcess(tmp_path / "node", plan) as node:
            node.wait_until_listening("SCANNER")
            views = []
            for phantom in (january, march):
                assert send_folder(node.peer, "SCANNER", phantom.folder).all_stored
                views.append(wait_for_job(node, phantom.study_instance_uid, seconds=900.0))
        reports = {str(each.StudyInstanceUID): each for each in pacs.datasets() if each.Modality == "SR"}
        outlines = [each for each in pacs.datasets() if each.Modality == "SEG"]
    assert [view["state"] for view in views] == [JobState.DONE] * 2
    told = views[1]["findings"]["follow_up"]
    assert told["former_job"] == views[0]["id"]
    assert told["volumes_ml"]["TC"]["former"] == views[0]["findings"]["volumes_ml"]["TC"]
    assert told["volumes_ml"]["TC"]["change"] > 0
    (former,) = reports[march.study_instance_uid].PertinentOtherEvidenceSequence
    assert former.StudyInstanceUID == january.study_instance_uid
    assert told["compared"] == "REGISTERED"
    tracked = {
        phantom.study_instance_uid: {
            (str(item.TrackingID), str(item.TrackingUID))
            for each in outlines
            if each.StudyInstanceUID == phantom.study_instance_uid
            for item in each.SegmentSequence
        }
        for phantom in (january, march)
    }
    assert tracked[january.study_instance_uid] == tracked[march.study_instance_uid]
    assert "PertinentOtherEvidenceSequence" not in reports[january.study_instance_uid]
    _kept_to_itself(tmp_path / "node")


def _kept_to_itself(folder: Path) -> None:
    """Neither log nor job book tells who it was; the key is the node's own."""
    assert (folder / "var" / "follow-up.key").stat().st_mode & 0o777 == 0o600
    for name in ("node.log", "jobs.sqlite"):
        content = (folder / name).read_bytes()
        for secret in (b"Doe", b"Jane", b"H-0815", b"19610203"):
            assert secret not in content, name
