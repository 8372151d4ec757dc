"""The listener: who may come in, how many at once, and the beginnings and ends of associations."""

from __future__ import annotations

import itertools
import logging
import socket
import threading
from collections import Counter
from functools import partial

import pydicom.config

from bt_node.receive.admission import Rejection, admit, counted_as
from bt_node.receive.association import Association, Deadlines, Exchange, Who
from bt_node.receive.command import Command
from bt_node.receive.commitment import Commitment
from bt_node.receive.errors import ListenError
from bt_node.receive.negotiation import AcceptedContext, Agreement, AssociateRequest, agree, supported_contexts
from bt_node.receive.pdu import WireLimits
from bt_node.receive.ports import ReceiptBook
from bt_node.receive.promises import Promises
from bt_node.receive.reconcile import reconcile
from bt_node.receive.reporter import Reporter
from bt_node.receive.server import Address, Connections, Refused, Server
from bt_node.receive.settings import ListenerSettings
from bt_node.receive.spool import Spool
from bt_node.receive.store import StoreScp
from bt_node.receive.verbs import Verbs

_log = logging.getLogger(__name__)

# Beyond the associations so many connections are heard and told why they are rejected; more are closed at once.
_CONNECTIONS_TO_REJECT = 32
_CONNECTIONS_TO_REJECT_PER_SOURCE = 8
_TOO_MANY = Rejection(2, 3, 2, "too many associations")  # PS3.8 Table 9-21: transient, local limit exceeded
_TOO_MANY_OF_SOURCE = Rejection(2, 3, 2, "too many associations from this address")


class Listener:
    """DICOM SCP. `start` returns when it listens; `stop` ends every association."""

    def __init__(
        self, settings: ListenerSettings, spool: Spool, book: ReceiptBook, refused: Refused = lambda *_: None
    ) -> None:
        # pydicom would warn of each wrong UID of a request, in the peer's words, and remember every warning for ever.
        pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
        self._settings = settings
        self._spool = spool
        self._book = book
        self._refused = refused
        promises = Promises(spool, book)
        self._commitment = Commitment(promises, book, self._wake_reporter)
        self._reporter = Reporter(settings, promises, self._commitment.is_under_way)
        self._verbs = Verbs(StoreScp(spool, book), self._commitment)
        self._contexts = supported_contexts()
        self._wire_limits = WireLimits(settings.max_pdu_bytes, settings.network_timeout_seconds)
        self._deadlines = Deadlines(
            settings.acse_timeout_seconds, settings.network_timeout_seconds, settings.dimse_timeout_seconds
        )
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._names: dict[Association, Who] = {}
        self._by_source: Counter[str] = Counter()
        self._server: Server | None = None

    @property
    def port(self) -> int:
        """The bound port, also when the settings said 0."""
        if self._server is None:
            raise RuntimeError("the listener has not been started")
        return self._server.port

    @property
    def is_listening(self) -> bool:
        """Whether connections are being accepted."""
        return self._server is not None and self._server.is_accepting

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
        server = self._bind()
        try:
            self._book.listener_started(self._settings.name)
            reconcile(self._spool, self._book)
            server.start()
            self._reporter.start()
        except BaseException:
            server.close()
            raise
        self._server = server
        _log.info("listening as %s on %s:%d", self._settings.ae_title, self._settings.host, self.port)

    def stop(self, grace_s: float = 5.0) -> None:
        """Accept nothing more, let open associations finish for `grace_s` seconds, then abort them."""
        if self._server is None:
            return
        self._reporter.stop()
        self._server.close()
        self._server.wait(grace_s)
        for association in self._open():
            association.stop()
        self._server.end_all()
        self._server.wait(grace_s)
        self._server = None

    def _bind(self) -> Server:
        settings = self._settings
        try:
            return Server(
                Address(settings.host, settings.port, settings.share_port),
                Connections(
                    settings.max_associations + _CONNECTIONS_TO_REJECT,
                    settings.max_associations_per_source + _CONNECTIONS_TO_REJECT_PER_SOURCE,
                    partial(counted_as, settings),
                ),
                self._serve,
                tls=settings.tls,
                hello_seconds=settings.acse_timeout_seconds,
                refused=self._refused,
            )
        except OSError as error:
            raise ListenError(settings.host, settings.port, error) from error

    def _serve(self, connection: socket.socket, address: str, begun: float) -> None:
        Association(
            connection, address, self, self._wire_limits, self._deadlines, self._settings.max_instance_bytes
        ).run(begun)

    def _wake_reporter(self) -> None:
        self._reporter.wake()

    def _open(self) -> list[Association]:
        with self._lock:
            return list(self._names)

    # ------------------------------------------------------------ what an association asks

    def admit(self, request: AssociateRequest, address: str) -> Rejection | None:
        """None when the peer may come in."""
        rejection = admit(self._settings, request.calling, request.called, address)
        if rejection is not None:
            self._refused(request.calling, address, rejection.detail)
        return rejection

    def refused(self, address: str, why: str) -> None:
        """A peer sent something else than a request for an association, or one that cannot be read or answered."""
        self._refused("", address, why)

    def agree(self, request: AssociateRequest) -> Agreement:
        """Negotiate."""
        return agree(request, self._contexts, self._settings.max_pdu_bytes)

    def opened(self, association: Association, request: AssociateRequest, address: str) -> Who | Rejection:
        """Count an association in, under a name; a rejection where there are too many."""
        with self._lock:
            if len(self._names) >= self._settings.max_associations:
                return _TOO_MANY
            if self._by_source[address] >= self._settings.max_associations_per_source:
                return _TOO_MANY_OF_SOURCE
            name = f"{self._settings.name}/{next(self._numbers)}"
            who = self._names[association] = Who(request.calling, request.called, address, name)
            self._by_source[address] += 1
            return who

    def begin(self, command: Command, context_id: int, context: AcceptedContext, who: Who) -> Exchange:
        """A request (or a response to one of ours) has begun."""
        return self._verbs.begin(command, context_id, context, who)

    def closed(self, association: Association, who: Who) -> None:
        """The association ended, in whatever way."""
        self._commitment.closed(who.name)
        try:
            self._book.association_closed(who.name, who.address)
        except Exception as error:  # noqa: BLE001 - the edge of this thread; the stale-association sweep mends it
            _log.error("the end of association %s could not be noted: %s", who.name, type(error).__name__)
        with self._lock:
            self._names.pop(association, None)
            self._by_source[who.address] -= 1
            if not self._by_source[who.address]:
                del self._by_source[who.address]
