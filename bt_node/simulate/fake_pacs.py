"""A PACS that keeps what it gets, and misbehaves when told to: for tests and for the demo."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from pydicom import Dataset, dcmread
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.transport import ThreadedAssociationServer

from bt_node.simulate.fake_commitment import STORAGE_COMMITMENT, Commitment, CommitmentDesk
from bt_node.simulate.fake_index import matches

_VERIFICATION = "1.2.840.10008.1.1"
_STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_ALL_SYNTAXES = (
    "1.2.840.10008.1.2.1",  # Explicit VR Little Endian first: the acceptor's order decides
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.5",
)


@dataclass(frozen=True)
class Faults:
    """What goes wrong. The default is nothing.

    Attributes:
        refuse_association: answer every A-ASSOCIATE-RQ with "calling AE title not recognised".
        refused_sop_classes: SOP class UIDs whose presentation contexts are not accepted.
        only_syntaxes: transfer syntaxes accepted; empty for all.
        status: answer this instead of success, and keep nothing (a warning 0xBxxx is kept).
        status_for: SOPInstanceUID -> status, for single objects.
        forget: answer success and keep nothing.
        times: after so many faulty answers or drops it behaves; None is for ever.
        drop_after_bytes: reset the connection when an association has sent so many bytes.
        answer_after_seconds: wait so long before each answer to C-STORE or C-FIND.
        find_status: end each C-FIND with this status, without a match.
        no_counts: leave NumberOfSeriesRelatedInstances empty, as many archives do.
        counts: SeriesInstanceUID -> number of instances that it claims to have.
        no_find: do not offer C-FIND.
        commitment: how it commits; None does not offer storage commitment.
    """

    refuse_association: bool = False
    refused_sop_classes: frozenset[str] = frozenset()
    only_syntaxes: tuple[str, ...] = ()
    status: int = 0x0000
    status_for: dict[str, int] = field(default_factory=dict)
    forget: bool = False
    times: int | None = None
    drop_after_bytes: int | None = None
    answer_after_seconds: float = 0.0
    find_status: int = 0x0000
    no_counts: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    no_find: bool = False
    commitment: Commitment | None = None


class FakePacs:
    """A C-ECHO, C-STORE and C-FIND (Study Root) SCP on loopback, and of storage commitment where `faults` say so.

    Use as a context manager, or call `start` and `stop`. `faults` may be set anew at any time and holds for
    associations that begin after that.
    """

    def __init__(
        self, ae_title: str = "FAKE_PACS", port: int = 0, *, faults: Faults | None = None, folder: Path | None = None
    ) -> None:
        self.ae_title = ae_title
        self.folder = folder
        self.associations = 0
        self.store_requests = 0
        self.find_requests = 0
        self.calling_ae_titles: list[str] = []
        self._wanted_port = port
        self._faults = faults or Faults()
        self._misbehaved = 0
        self._kept: dict[str, bytes] = {}
        self.stored: list[str] = []
        self._received_bytes: dict[int, int] = {}
        self._news = threading.Condition()
        self._entity = AE(ae_title=ae_title)
        self._entity.maximum_associations = 50
        self._server: ThreadedAssociationServer | None = None
        self.commitments = CommitmentDesk(ae_title, lambda: self.sop_instance_uids)

    # ------------------------------------------------------------ running

    def start(self) -> Self:
        """Listen; returns itself."""
        self._server = self._entity.start_server(
            ("127.0.0.1", self._wanted_port),
            block=False,
            contexts=_contexts(self._faults),
            evt_handlers=[
                (evt.EVT_C_STORE, self._on_store),
                (evt.EVT_C_ECHO, lambda _event: 0x0000),
                (evt.EVT_C_FIND, self._on_find),
                (evt.EVT_N_ACTION, self._on_action),
                (evt.EVT_REQUESTED, self._on_request),
                (evt.EVT_DATA_RECV, self._on_data),
            ],
        )
        self.faults = self._faults
        return self

    def stop(self) -> None:
        """Stop listening and end open associations. What was kept stays readable."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port it listens on."""
        if self._server is None or self._server.socket is None:
            raise RuntimeError("the fake PACS is not running")
        number: int = self._server.socket.getsockname()[1]
        return number

    @property
    def faults(self) -> Faults:
        """What goes wrong now."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults, self._misbehaved = faults, 0
        self._entity.require_calling_aet = ["NOBODY"] if faults.refuse_association else []
        if self._server is not None:
            self._server.contexts = _contexts(faults)

    # ------------------------------------------------------------ what it got

    @property
    def sop_instance_uids(self) -> tuple[str, ...]:
        """UIDs of everything it keeps, in order of first arrival."""
        with self._news:
            return tuple(self._kept)

    def file(self, sop_instance_uid: str) -> bytes:
        """The object as a Part 10 file: the data set's bytes are those that came over the wire."""
        with self._news:
            return self._kept[sop_instance_uid]

    def dataset(self, sop_instance_uid: str) -> Dataset:
        """The object, read."""
        return dcmread(BytesIO(self.file(sop_instance_uid)))

    def datasets(self) -> list[Dataset]:
        """All objects, in order of arrival."""
        return [self.dataset(uid) for uid in self.sop_instance_uids]

    def take(self, *paths: Path) -> None:
        """Put files into it, as if they had been stored long ago."""
        for path in paths:
            self._keep(str(dcmread(path, stop_before_pixels=True).SOPInstanceUID), path.read_bytes())

    def wait_for(self, count: int, timeout_s: float) -> bool:
        """Wait until it keeps at least `count` objects; False when the time is over first."""
        with self._news:
            return self._news.wait_for(lambda: len(self._kept) >= count, timeout_s)

    def clear(self) -> None:
        """Forget everything."""
        with self._news:
            self._kept.clear()
            self.store_requests = self.associations = 0

    # ------------------------------------------------------------ events

    def _on_request(self, event: evt.Event) -> None:
        self.associations += 1
        request = event.assoc.requestor.primitive
        if request is not None:
            self.calling_ae_titles.append(str(request.calling_ae_title))

    def _on_data(self, event: evt.Event) -> None:
        limit = self._faults.drop_after_bytes
        if limit is None:
            return
        key = id(event.assoc)
        self._received_bytes[key] = self._received_bytes.get(key, 0) + len(event.data)
        if self._received_bytes[key] > limit and self._may_misbehave():
            self._received_bytes.pop(key)
            if event.assoc.dul.socket is not None:
                event.assoc.dul.socket.close()

    def _on_store(self, event: evt.Event) -> int:
        with self._news:
            self.store_requests += 1
        uid = str(cast(C_STORE, event.request).AffectedSOPInstanceUID)
        time.sleep(self._faults.answer_after_seconds)
        status = self._faults.status_for.get(uid, self._faults.status)
        if status and not self._may_misbehave():
            status = 0x0000
        if status == 0x0000 or status >> 12 == 0xB:
            self.stored.append(uid)
            if not (self._faults.forget and self._may_misbehave()):
                self._keep(uid, event.encoded_dataset())
        return status

    def _on_action(self, event: evt.Event) -> tuple[int, Dataset | None]:
        return self.commitments.on_action(event, self._faults.commitment or Commitment(status=0x0122))

    def _on_find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        with self._news:
            self.find_requests += 1
        faults = self._faults
        if faults.find_status and self._may_misbehave():
            time.sleep(faults.answer_after_seconds)
            yield faults.find_status, None
            return
        for match in matches(event.identifier, self.datasets(), counts=faults.counts, no_counts=faults.no_counts):
            time.sleep(faults.answer_after_seconds)
            yield 0xFF00, match

    def _keep(self, uid: str, content: bytes) -> None:
        with self._news:
            self._kept[uid] = content
            if self.folder is not None:
                self.folder.mkdir(parents=True, exist_ok=True)
                (self.folder / f"{uid}.dcm").write_bytes(content)
            self._news.notify_all()

    def _may_misbehave(self) -> bool:
        with self._news:
            if self._faults.times is not None and self._misbehaved >= self._faults.times:
                return False
            self._misbehaved += 1
            return True


def _contexts(faults: Faults) -> list[PresentationContext]:
    wanted: Iterable[str] = (str(context.abstract_syntax) for context in AllStoragePresentationContexts)
    syntaxes = list(faults.only_syntaxes or _ALL_SYNTAXES)
    storage = [build_context(uid, syntaxes) for uid in wanted if uid not in faults.refused_sop_classes]
    others = [_VERIFICATION]
    if not faults.no_find:
        others.append(_STUDY_ROOT_FIND)
    if faults.commitment is not None:
        others.append(STORAGE_COMMITMENT)
    return [*storage, *(build_context(uid) for uid in others if uid not in faults.refused_sop_classes)]
