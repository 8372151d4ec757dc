"""Small DICOM files to send, a fake PACS, and the real Orthanc of the session."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from orthanc import orthanc
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from bt_node.deliver.send import OutgoingFile, Peer, echo
from bt_node.simulate.fake_pacs import FakePacs
from bt_node.simulate.node_process import end_process, free_port

__all__ = ["orthanc"]

MakeFile = Callable[..., OutgoingFile]


@pytest.fixture
def make_file(tmp_path: Path) -> MakeFile:
    """Write a small object; `number` makes its UIDs."""

    def make(
        number: int,
        sop_class: str = MRImageStorage,
        syntax: str = ExplicitVRLittleEndian,
        side: int = 64,
        name: str | None = None,
    ) -> OutgoingFile:
        dataset = Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, f"2.25.7000{number}"
        dataset.PatientName, dataset.PatientID = "Doe^Jane", "42"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.71", "2.25.72"
        dataset.Modality, dataset.InstanceNumber = "MR", number
        dataset.Rows = dataset.Columns = side
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
        pixels = np.random.default_rng(number).integers(0, 4096, (side, side)).astype("<u2")
        dataset.add_new("PixelData", "OW", pixels.tobytes())
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        if syntax == "1.2.840.10008.1.2.5":
            dataset.compress(syntax, generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = syntax
        path = tmp_path / "outgoing" / (name or f"{number:04d}.dcm")
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
        return OutgoingFile(path, sop_class, dataset.SOPInstanceUID)

    return make


@pytest.fixture
def pacs() -> Iterator[FakePacs]:
    """A fake PACS that behaves until it is told otherwise."""
    with FakePacs() as running:
        yield running


@pytest.fixture
def fake_peer(pacs: FakePacs) -> Peer:
    """Where the fake PACS listens."""
    return Peer(pacs.ae_title, "127.0.0.1", pacs.port)


@pytest.fixture
def dcmqrscp(peer: Callable[[str], str], tmp_path: Path) -> Iterator[Peer]:
    """dcmtk's image archive; it knows no NumberOfSeriesRelatedInstances."""
    port, store = free_port(), tmp_path / "archive"
    store.mkdir()
    config = tmp_path / "dcmqrscp.cfg"
    config.write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
        "HostTable BEGIN\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f'AETable BEGIN\nARCHIVE "{store}" RW (200, 1024mb) ANY\nAETable END\n'
    )
    process = subprocess.Popen([peer("dcmqrscp"), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        archive = Peer("ARCHIVE", "127.0.0.1", port)
        for _ in range(100):
            if echo(archive, "BT_NODE", 5.0).ok:
                break
            time.sleep(0.05)
        yield archive
    finally:
        end_process(process, 10.0)
