"""The listener: one association server, its associations' beginnings and ends, and the verbs they may use."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from typing import Any, cast

from pydicom.dataset import Dataset
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.events import Event

from bt_node.receive.admission import admit
from bt_node.receive.echo import answer_echo
from bt_node.receive.errors import ListenError
from bt_node.receive.negotiation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, supported_contexts
from bt_node.receive.ports import ReceiptBook
from bt_node.receive.pressure import bound_instance, hold_back
from bt_node.receive.reconcile import reconcile
from bt_node.receive.settings import ListenerSettings
from bt_node.receive.spool import Spool
from bt_node.receive.store import StoreRequest, StoreScp
from bt_node.receive.transport import GuardedServer, WireLimits

_log = logging.getLogger(__name__)

_ACCEPT_POLL_S = 0.1
# Beyond max_associations so many connections are heard and told why they are rejected; more are closed at once.
_CONNECTIONS_TO_REJECT = 32


class Listener:
    """DICOM SCP for C-ECHO and C-STORE. `start` returns when it listens; `stop` ends every association."""

    def __init__(self, settings: ListenerSettings, spool: Spool, book: ReceiptBook) -> None:
        self._settings = settings
        self._spool = spool
        self._book = book
        self._store = StoreScp(spool, book)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._names: dict[Association, str] = {}
        self._watchers: set[threading.Thread] = set()
        self._server: GuardedServer | None = None
        self._accepting: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The bound port, also when the settings said 0."""
        if self._server is None:
            raise RuntimeError("the listener has not been started")
        return int(self._server.server_address[1])

    @property
    def open_associations(self) -> int:
        """Number of established associations whose end has not been noted yet."""
        with self._lock:
            return len(self._names)

    def start(self) -> None:
        """Bind, mend what an earlier life left behind, and accept associations.

        Raises:
            ListenError: the port is taken, or the address cannot be ours.
        """
        # Bound first: a second listener started by mistake must not make the book forget what the first has open.
        self._server = self._bind()
        try:
            self._book.listener_started(self._settings.name)
            reconcile(self._spool, self._book)
        except BaseException:
            self._server.server_close()
            self._server = None
            raise
        self._accepting = threading.Thread(
            target=self._server.serve_forever, args=(_ACCEPT_POLL_S,), name="accept", daemon=True
        )
        self._accepting.start()
        _log.info("listening as %s on %s:%d", self._settings.ae_title, self._settings.host, self.port)

    def stop(self, grace_s: float = 5.0) -> None:
        """Accept nothing more, let open associations finish for `grace_s` seconds, then abort them."""
        if self._server is None or self._accepting is None:
            return
        self._server.shutdown()
        self._accepting.join()
        self._wait_for_associations(grace_s)
        for association in self._open():
            association.abort()
        self._wait_for_associations(grace_s)
        self._server = self._accepting = None

    # ------------------------------------------------------------ set-up

    def _bind(self) -> GuardedServer:
        settings = self._settings
        # pynetdicom's own event log prints what it receives; names in it would reach our log. Global, hence here.
        _config.LOG_HANDLER_LEVEL = "none"
        entity = self._application_entity()
        try:
            server = entity.make_server(
                (settings.host, settings.port),
                contexts=supported_contexts(),
                evt_handlers=[
                    (evt.EVT_REQUESTED, self._requested),
                    (evt.EVT_ESTABLISHED, self._established),
                    (evt.EVT_PDU_RECV, bound_instance, [settings.max_instance_bytes]),
                    (evt.EVT_DIMSE_RECV, hold_back),
                    (evt.EVT_C_ECHO, answer_echo),
                    (evt.EVT_C_STORE, self._c_store),
                ],
                server_class=GuardedServer,
                limits=WireLimits(
                    max_pdu_bytes=settings.max_pdu_bytes,
                    pdu_seconds=settings.network_timeout_seconds,
                    max_connections=settings.max_associations + _CONNECTIONS_TO_REJECT,
                ),
            )
        except OSError as error:
            raise ListenError(settings.host, settings.port, error) from error
        return cast(GuardedServer, server)

    def _application_entity(self) -> AE:
        settings = self._settings
        entity = AE(ae_title=settings.ae_title)
        entity.maximum_associations = settings.max_associations
        entity.maximum_pdu_size = settings.max_pdu_bytes
        entity.acse_timeout = settings.acse_timeout_seconds
        entity.dimse_timeout = settings.dimse_timeout_seconds
        entity.network_timeout = settings.network_timeout_seconds
        entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        return entity

    # ------------------------------------------------------------ life of an association

    def _requested(self, event: Event) -> None:
        association = event.assoc
        calling, called = _ae_titles(association)
        peer = association.requestor.address
        rejection = admit(self._settings, calling, called, peer)
        if rejection is None:
            return
        _log.warning("association from %s at %s rejected: %s", calling, peer, rejection.detail)
        association.acse.send_reject(rejection.result, rejection.source, rejection.reason)
        association.kill()  # waits until the rejection is on the wire; the socket is closed after this handler

    def _established(self, event: Event) -> None:
        """Name the association and have its end watched.

        pynetdicom tells of a release or an abort, but not of every lost connection. An association is a thread, and
        a thread ends exactly once: after its last C-STORE was answered.
        """
        association = event.assoc
        name = f"{self._settings.name}/{next(self._numbers)}"
        watcher = threading.Thread(target=self._watch, args=(association, name), name=f"watch {name}", daemon=True)
        with self._lock:
            self._names[association] = name
            self._watchers.add(watcher)
        watcher.start()

    def _watch(self, association: Association, name: str) -> None:
        association.join()
        try:
            self._book.association_closed(name)
        except Exception as error:  # noqa: BLE001 - the edge of this thread; the stale-association sweep mends it
            _log.error("the end of association %s could not be noted: %s", name, type(error).__name__)
        with self._lock:
            self._names.pop(association, None)
            self._watchers.discard(threading.current_thread())

    def _open(self) -> list[Association]:
        with self._lock:
            return list(self._names)

    def _wait_for_associations(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self._lock:
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher.join(max(deadline - time.monotonic(), 0))

    # ------------------------------------------------------------ verbs

    def _c_store(self, event: Event) -> Dataset:
        with self._lock:
            association = self._names[event.assoc]
        return self._store.answer(_store_request(event), association)


def _store_request(event: Event) -> StoreRequest:
    request: Any = event.request
    calling, called = _ae_titles(event.assoc)
    return StoreRequest(
        sop_class_uid=str(request.AffectedSOPClassUID),
        sop_instance_uid=str(request.AffectedSOPInstanceUID),
        context_class_uid=str(event.context.abstract_syntax),
        transfer_syntax_uid=str(event.context.transfer_syntax),
        data=request.DataSet.getvalue() if request.DataSet else b"",
        calling_ae_title=calling,
        called_ae_title=called,
    )


def _ae_titles(association: Association) -> tuple[str, str]:
    """Calling and called AE title of the request, padding removed; empty when the peer sent something else."""
    request: Any = association.requestor.primitive
    calling, called = getattr(request, "calling_ae_title", ""), getattr(request, "called_ae_title", "")
    return calling.strip(), called.strip()
