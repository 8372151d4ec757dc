"""The Orthanc that tests start is there, empties itself, and does not take what Debian's default refuses."""

from __future__ import annotations

import pytest
from orthanc import OrthancServer

pytestmark = pytest.mark.e2e


def test_orthanc_answers_on_rest_and_dicomweb(orthanc: OrthancServer) -> None:
    orthanc.clear()
    assert orthanc.get_json("system")["DicomAet"] == "ORTHANC"
    assert orthanc.qido("studies") == []
    assert orthanc.sop_instance_uids() == set()


def test_a_modality_added_while_it_runs_is_known(orthanc: OrthancServer) -> None:
    orthanc.add_modality("BT_NODE", 11112)
    assert "BT_NODE" in orthanc.get_json("modalities")
