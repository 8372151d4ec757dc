"""Opening an association as requestor, and saying in words why one could not be opened."""

from __future__ import annotations

import errno
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from bt_node.deliver.cut import cut
from bt_node.deliver.peer import Peer, check_ae_title

_PROBE_SECONDS = 5.0
_REJECTED_PERMANENT = 1  # PS3.8 Table 9-21
_LARGEST_PDU = 16 * 1024 * 1024  # we ask for 16 KiB; some send what they like
_AT_ONCE = 64 * 1024
_MOST_RECEIVED = 512 * 1024 * 1024  # in one association; answers are small, and the library keeps each in memory

OnEventReport = Callable[[evt.Event], tuple[int, None]]


class NoAssociationError(Exception):
    """The peer could not be reached or did not want us; the message says which, in an operator's words."""


@contextmanager
def associate(
    peer: Peer,
    calling_ae_title: str,
    contexts: Sequence[PresentationContext],
    timeout_s: float,
    on_event_report: OnEventReport | None = None,
) -> Iterator[Association]:
    """An open association, released at the end (aborted when that is no longer possible).

    Over TLS where the peer has a context for it. `on_event_report` answers N-EVENT-REPORT requests of the peer on
    this association with a status; without it the library does (0x0110, processing failure).

    An association on which the peer accepted no context at all is yielded too, closed, so that the caller can
    report each context.

    Raises:
        NoAssociationError: no connection, a refusal, or no answer.
        ValueError: `calling_ae_title` is not an AE title.
    """
    entity = AE(ae_title=check_ae_title(calling_ae_title))
    entity.acse_timeout = entity.connection_timeout = entity.dimse_timeout = timeout_s
    entity.network_timeout = timeout_s
    opened: list[Association] = []
    started = time.monotonic()

    def on_open(event: evt.Event) -> None:
        opened.append(event.assoc)
        _limit_blocking(event, timeout_s)
        _leave_in_time(event.assoc, timeout_s)
        _set_option(event, "TCP_NODELAY")  # a small last fragment must not wait for the peer's acknowledgement
        request_when_awaited(event, timeout_s)

    handlers: list[evt.EventHandlerType] = [(evt.EVT_CONN_OPEN, on_open), (evt.EVT_DATA_SENT, _acknowledge_at_once)]
    if on_event_report is not None:
        handlers.append((evt.EVT_N_EVENT_REPORT, on_event_report))
    tls = None if peer.tls is None else (peer.tls, peer.host)
    try:
        association = entity.associate(
            peer.host, peer.port, list(contexts), ae_title=peer.ae_title, tls_args=tls, evt_handlers=handlers
        )
    except OSError as trouble:  # the host name is looked up before anything else
        raise NoAssociationError(_system_word(trouble)) from trouble
    except Exception as trouble:
        _cut_off(opened)
        raise NoAssociationError(_unreadable(type(trouble).__name__)) from trouble
    if not association.is_established and not association.rejected_contexts:
        raise NoAssociationError(_why_not(association, peer, bool(opened), time.monotonic() - started, timeout_s))
    if not all(context.transfer_syntax for context in association.accepted_contexts):
        _cut_off([association])
        raise NoAssociationError(_unreadable("a context accepted without a transfer syntax"))
    _keep_answers_for_the_sender(association)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def _cut_off(associations: Sequence[Association]) -> None:
    """End what the library may have left half open, with its thread."""
    for association in associations:
        with suppress(Exception):  # whatever state it is in
            association.abort()


def _unreadable(what: str) -> str:
    return f"its answer to our request for an association cannot be used ({what})"


def request_when_awaited(event: evt.Event, timeout_s: float) -> None:
    """Send the association's request only when the caller waits for its answer; to be called at EVT_CONN_OPEN.

    pynetdicom 3.0.4 connects, sends and receives in one thread; the caller's thread, once it is told of the
    connection, asks whether it is still there and only then for the answer. A peer that rejects at once is faster now
    and then: the connection is closed by then, the caller aborts "for want of a connection", and the A-ASSOCIATE-RJ
    that came is never read.
    """
    dul, transport, awaited = event.assoc.dul, event.assoc.dul.socket, threading.Event()
    receive = dul.receive_pdu

    def receive_pdu(wait: bool = False, timeout: float | None = None) -> object:
        awaited.set()
        return receive(wait, timeout)

    setattr(dul, "receive_pdu", receive_pdu)  # noqa: B010 - one instance, not the class
    if transport is not None:
        transport._ready.set()  # noqa: SLF001 - what tells the caller of the connection; the library sets it after this
        awaited.wait(timeout_s)


def _keep_answers_for_the_sender(association: Association) -> None:
    """Stop the library's reactor thread from taking the answer that a send_c_*() call waits for.

    pynetdicom 3.0.4 pauses its reactor before it sends, but may read the flag "paused" in the moment when the reactor
    goes on: the reactor then takes the C-STORE-RSP, logs "unexpected", and the caller waits for its whole timeout
    (seen about once in a hundred objects on a busy machine). The reactor asks without blocking, a sender with; as a
    requestor we have nothing for it to find: reports of storage commitment never reach this queue, the library
    serves them at once from a thread of their own.
    """
    take = association.dimse.get_msg

    def only_for_senders(block: bool = False) -> object:
        return take(block=True) if block else (None, None)

    setattr(association.dimse, "get_msg", only_for_senders)  # noqa: B010 - one instance, not the class


def _limit_blocking(event: evt.Event, timeout_s: float) -> None:
    """Let no single read or write take longer than the timeout, nor a PDU's header or body in all.

    The library leaves its socket without one: a peer that stops reading in the middle of an object, or sends a byte
    of its answer now and then, would hold the thread of the association, and with it everyone who waits for its end,
    for ever. It also reads a PDU of any length into memory.
    """
    transport = event.assoc.dul.socket
    if transport is not None and transport.socket is not None:
        transport.socket.settimeout(timeout_s)
        whole = partial(_receive, transport.socket, timeout_s, Counter())
        setattr(transport, "recv", whole)  # noqa: B010 - one instance, not the class


def _leave_in_time(association: Association, timeout_s: float) -> None:
    """Cut the connection where an association does not end by itself.

    An A-ABORT waits its turn behind the whole object: a peer that takes it bit by bit would hold us for hours.
    """
    kill = association.kill

    def kill_in_time() -> None:
        transport = association.dul.socket
        connection = None if transport is None else transport.socket
        if connection is None:
            kill()
            return
        timer = threading.Timer(timeout_s, cut, (connection,))
        timer.daemon = True
        timer.start()
        try:
            kill()
        finally:
            timer.cancel()

    setattr(association, "kill", kill_in_time)  # noqa: B010 - one instance, not the class


def _receive(connection: socket.socket, timeout_s: float, so_far: Counter[str], wanted: int) -> bytearray:
    """So many bytes, fewer where the peer closes; the library takes an OSError for the end of the connection."""
    so_far["bytes"] += wanted
    if wanted > _LARGEST_PDU or so_far["bytes"] > _MOST_RECEIVED:
        raise OSError(errno.EMSGSIZE, "a PDU beyond the limit")
    received, deadline = bytearray(), time.monotonic() + timeout_s
    while len(received) < wanted:
        if time.monotonic() > deadline:
            raise TimeoutError
        part = connection.recv(min(_AT_ONCE, wanted - len(received)))
        if not part:
            break
        received += part
    return received


def _acknowledge_at_once(event: evt.Event) -> None:
    """Let the answer's first bytes be acknowledged without delay.

    dcmtk writes a PDU's header and its body separately, with Nagle's algorithm on: the body waits for our kernel's
    delayed acknowledgement, 40 ms for each object. Linux forgets this option by itself, so it is set after each PDU.
    """
    _set_option(event, "TCP_QUICKACK")


def _set_option(event: evt.Event, name: str) -> None:
    option, transport = getattr(socket, name, None), event.assoc.dul.socket
    if option is not None and transport is not None and transport.socket is not None:
        with suppress(OSError):  # the peer may have gone by now, which the association finds out by itself
            transport.socket.setsockopt(socket.IPPROTO_TCP, option, 1)


def _why_not(association: Association, peer: Peer, connected: bool, seconds: float, timeout_s: float) -> str:
    if association.is_rejected:
        return f"refused: {_rejection(association)}"
    if not connected:
        return _connection_trouble(peer, timeout_s)
    if seconds >= timeout_s:
        return f"no answer to the association request within {timeout_s:g} s"
    return "the peer closed the connection during negotiation"


def _rejection(association: Association) -> str:
    """Reason of the A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""
    answer = association.acceptor.primitive
    if answer is None:
        return "no reason given"
    lasting = "permanent" if answer.result == _REJECTED_PERMANENT else "transient"
    reason = answer.reason_str
    return f"{reason[:1].lower()}{reason[1:]} ({lasting})"


def _connection_trouble(peer: Peer, timeout_s: float) -> str:
    """The system's word for why no connection came about; the library keeps it to its log, so ask once more."""
    try:
        with socket.create_connection((peer.host, peer.port), min(timeout_s, _PROBE_SECONDS)) as plain:
            if peer.tls is not None:
                peer.tls.wrap_socket(plain, server_hostname=peer.host).close()
    except TimeoutError:
        return f"no {'TLS handshake' if peer.tls else 'connection'} within {timeout_s:g} s"
    except ssl.SSLCertVerificationError as trouble:
        return f"TLS: the certificate is not trusted ({trouble.verify_message})"
    except ssl.SSLError as trouble:
        return f"TLS: {(trouble.reason or 'handshake failed').replace('_', ' ').lower()}"
    except OSError as trouble:
        return _system_word(trouble)
    return "connection failed"


def _system_word(trouble: OSError) -> str:
    if isinstance(trouble, socket.gaierror):
        return "host name not known"
    return (trouble.strerror or type(trouble).__name__).lower()
