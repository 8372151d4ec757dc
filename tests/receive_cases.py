"""Instances, a running listener and an SCU for the tests of the receive stage."""

from __future__ import annotations

import io
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from fakes.receipt_book import FakeReceiptBook
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE

from bench.trials.raw_peer import encoded
from bt_node.deliver.association import request_when_awaited
from bt_node.receive.listener import Listener
from bt_node.receive.settings import AllowedSource, ListenerSettings
from bt_node.receive.spool import Spool

STUDY, SERIES = "1.2.826.0.1.42", "1.2.826.0.1.42.1"
NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
)


def mr_slice(number: int = 1, *, seed: int | None = None, side: int = 64, **attributes: Any) -> Dataset:
    """A small MR slice with nested sequences, private elements and a patient who must not show up in logs."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID = uid.MRImageStorage
    ds.SOPInstanceUID = f"{SERIES}.{number}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = STUDY, SERIES
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = "Doe^Jane", "SECRET-7", "19700101"
    ds.SeriesDescription, ds.Modality, ds.EchoTime = "t1 Doe", "MR", "4.6"
    inner = Dataset()
    inner.ReferencedSOPClassUID, inner.ReferencedSOPInstanceUID = uid.MRImageStorage, "1.2.3"
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = "121311", "DCM", "Localizer"
    inner.PurposeOfReferenceCodeSequence = [purpose]
    ds.ReferencedImageSequence = [inner]
    private = ds.private_block(0x0019, "BT TEST", create=True)
    private.add_new(0x01, "US", 513)
    private.add_new(0x02, "SQ", [Dataset()])
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = side, side
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.SmallestImagePixelValue, ds.LargestImagePixelValue = 0, 4095
    noise = np.random.default_rng(number if seed is None else seed).integers(0, 4096, (side, side), dtype=np.uint16)
    ds.PixelData = noise.tobytes()
    ds["PixelData"].VR = "OW"
    for keyword, value in attributes.items():
        if value is None:
            del ds[keyword]
        else:
            setattr(ds, keyword, value)
    return with_syntax(ds, uid.ExplicitVRLittleEndian)


def with_syntax(ds: Dataset, syntax: str) -> Dataset:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = uid.UID(syntax)
    return ds


def in_syntax(ds: Dataset, syntax: str) -> Dataset:
    """A copy to be sent in a transfer syntax; where nothing here can compress to it, fragments of noise stand in."""
    syntax = uid.UID(syntax)
    copy = _copy(ds)
    if syntax == uid.ExplicitVRBigEndian:
        copy.PixelData = np.frombuffer(copy.PixelData, "<u2").astype(">u2").tobytes()
    elif syntax in {uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless}:
        copy.compress(syntax, generate_instance_uid=False)
    elif syntax.is_encapsulated:
        copy.PixelData = encapsulate([b"\xff\xd8 stands in for a code stream \xff\xd9" * 9])
        copy["PixelData"].VR = "OB"
        copy["PixelData"].is_undefined_length = True
    return with_syntax(copy, syntax)


def _copy(ds: Dataset) -> Dataset:
    from copy import deepcopy

    return deepcopy(ds)


def save(ds: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


TEST_SETTINGS = ListenerSettings(
    host="127.0.0.1",
    port=0,
    sources=(AllowedSource("SCANNER"),),
    acse_timeout_seconds=5,
    dimse_timeout_seconds=5,
    network_timeout_seconds=5,
)


class Node:
    """A listener on loopback with its spool and a fake book."""

    def __init__(self, folder: Path, book: FakeReceiptBook | None = None, **settings: Any) -> None:
        self.book = book or FakeReceiptBook()
        self.spool = Spool(folder / "spool", settings.pop("min_free_mib", 0))
        self.refused: list[tuple[str, str, str]] = []
        told = lambda *who: self.refused.append(who)  # noqa: E731
        self.listener = Listener(replace(TEST_SETTINGS, **settings), self.spool, self.book, told)

    @property
    def port(self) -> int:
        return self.listener.port

    def files(self) -> list[Path]:
        """Every file below the spool, temporary ones too."""
        return sorted(path for path in self.spool.root.rglob("*") if path.is_file())

    def path_of(self, ds: Dataset) -> Path:
        name = f"{ds.SOPInstanceUID}.dcm"
        return self.spool.root / "instances" / ds.StudyInstanceUID / ds.SeriesInstanceUID / name


@contextmanager
def running(folder: Path, **settings: Any) -> Iterator[Node]:
    node = Node(folder, **settings)
    node.listener.start()
    try:
        yield node
    finally:
        node.listener.stop(grace_s=0.5)


def associate(
    port: int,
    contexts: Sequence[tuple[str, Sequence[str]]] = (),
    *,
    calling: str = "SCANNER",
    called: str = "BT_NODE",
) -> Association:
    """An association as SCU; contexts are (SOP class, transfer syntaxes), MR in Explicit VR LE by default."""
    entity = AE(ae_title=calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 10
    for sop_class, syntaxes in contexts or [(uid.MRImageStorage, [uid.ExplicitVRLittleEndian])]:
        entity.add_requested_context(sop_class, list(syntaxes))
    answers: queue.Queue[Dataset] = queue.Queue()
    handlers = [
        (evt.EVT_DIMSE_RECV, lambda event: answers.put(event.message.command_set)),
        (evt.EVT_CONN_OPEN, lambda event: request_when_awaited(event, 10)),
    ]
    association = entity.associate("127.0.0.1", port, ae_title=called, evt_handlers=handlers)
    association.answers = answers
    return association


def send(association: Association, ds: Dataset, **command: Any) -> Dataset:
    """C-STORE of a data set; see `send_bytes`."""
    return send_bytes(
        association,
        encoded(ds),
        syntax=ds.file_meta.TransferSyntaxUID,
        **{"sop_class": str(ds.get("SOPClassUID", "")), "sop_instance": str(ds.get("SOPInstanceUID", ""))} | command,
    )


def send_bytes(
    association: Association,
    data: bytes,
    *,
    sop_class: str,
    sop_instance: str,
    syntax: str,
    context: int | None = None,
    timeout: float = 20,
) -> Dataset:
    """C-STORE of any bytes under any command UIDs; gives the response's command set."""
    request = C_STORE()
    request.MessageID = 1
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = sop_class, sop_instance
    request.DataSet = io.BytesIO(data)
    if context is None:
        context = next(c.context_id for c in association.accepted_contexts if c.transfer_syntax[0] == syntax)
    association.dimse.send_msg(request, context)
    return association.answers.get(timeout=timeout)


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something another thread will do."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)
