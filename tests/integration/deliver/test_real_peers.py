"""Sending to dcmtk's storescp and to a real Orthanc."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from orthanc import OrthancServer
from pydicom import dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ImplicitVRLittleEndian,
    MRImageStorage,
    RLELossless,
    SegmentationStorage,
)

from bt_node.deliver.send import OutgoingFile, Peer, echo, send
from bt_node.simulate.node_process import free_port

pytestmark = pytest.mark.e2e

MakeFile = Callable[..., OutgoingFile]
UNKNOWN_TO_OLD_PACS = "1.2.840.10008.5.1.4.1.1.66.7"  # Label Map Segmentation Storage


@contextmanager
def run_storescp(program: str, folder: Path, *options: str) -> Iterator[tuple[Peer, Path]]:
    """dcmtk's storescp, started and listening, and the folder it writes to."""
    port = free_port()
    process = subprocess.Popen([program, *options, "-od", str(folder), "-aet", "DCMTK", str(port)])
    try:
        _wait_until_listening(port)
        yield Peer("DCMTK", "127.0.0.1", port), folder
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def storescp(peer: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Path]]:
    """One storescp for this module."""
    with run_storescp(peer("storescp"), tmp_path_factory.mktemp("dcmtk")) as running:
        yield running


def _wait_until_listening(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("storescp does not listen")


def test_dcmtk_stores_what_was_sent(storescp: tuple[Peer, Path], make_file: MakeFile) -> None:
    peer, folder = storescp
    files = [make_file(1), make_file(2, SegmentationStorage), make_file(3, syntax=ImplicitVRLittleEndian)]
    outcomes = send(peer, "BT_NODE", files, 20)
    assert [o.detail for o in outcomes] == ["stored"] * 3
    stored = {dataset.SOPInstanceUID: dataset for dataset in map(dcmread, folder.iterdir())}
    for file in files:
        assert stored[file.sop_instance_uid] == dcmread(file.path)


def test_dcmtk_that_takes_implicit_vr_only_gets_what_can_be_rewritten(
    peer: Callable[[str], str], make_file: MakeFile, tmp_path: Path
) -> None:
    with run_storescp(peer("storescp"), tmp_path, "+xi") as (implicit_only, folder):
        outcomes = send(implicit_only, "BT_NODE", [make_file(1, syntax=RLELossless), make_file(2)], 20)
    assert outcomes[0].detail == "presentation context not accepted: MR Image Storage, RLE Lossless"
    assert outcomes[1].delivered
    (stored,) = (dcmread(path) for path in folder.glob("MR*"))
    assert stored.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian


def test_many_small_objects_do_not_wait_for_delayed_acknowledgements(
    storescp: tuple[Peer, Path], make_file: MakeFile
) -> None:
    files = [make_file(number) for number in range(1, 101)]
    started = time.monotonic()
    assert all(outcome.delivered for outcome in send(storescp[0], "BT_NODE", files, 20))
    # With Nagle's algorithm each object costs about 40 ms: 4 s and more.
    assert time.monotonic() - started < 3.9


def test_orthanc_stores_and_serves_what_was_sent(orthanc: OrthancServer, make_file: MakeFile) -> None:
    orthanc.clear()
    peer = Peer(orthanc.ae_title, orthanc.host, orthanc.dicom_port)
    assert echo(peer, "BT_NODE").ok
    files = [make_file(1), make_file(2, SegmentationStorage), make_file(3, Comprehensive3DSRStorage)]
    assert [o.status for o in send(peer, "BT_NODE", files, 20)] == [0, 0, 0]
    assert [o.status for o in send(peer, "BT_NODE", files, 20)] == [0, 0, 0]  # again: the same objects
    assert orthanc.sop_instance_uids() == {file.sop_instance_uid for file in files}
    assert orthanc.dataset("2.25.70001") == dcmread(files[0].path)
    found = orthanc.qido("studies/2.25.71/instances")
    assert {item["00080018"]["Value"][0] for item in found} == orthanc.sop_instance_uids()


def test_orthanc_does_not_accept_a_class_it_does_not_know_and_takes_the_rest(
    orthanc: OrthancServer, make_file: MakeFile
) -> None:
    orthanc.clear()
    peer = Peer(orthanc.ae_title, orthanc.host, orthanc.dicom_port)
    unknown, known = send(peer, "BT_NODE", [make_file(1, UNKNOWN_TO_OLD_PACS), make_file(2, MRImageStorage)], 20)
    assert unknown.permanent
    assert unknown.detail.startswith("presentation context not accepted: ")
    assert known.delivered
