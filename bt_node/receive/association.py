"""One association as its acceptor: the state machine of PS3.8 chapter 9.2, run by one thread with blocking reads.

Sta2 (awaiting A-ASSOCIATE-RQ) is `_negotiate`, Sta6 (data transfer) is `_transfer`, Sta13 (awaiting the end of the
connection) is `PduStream.drain`. A PDU that a state does not expect is answered with A-ABORT (Table 9-10, AA-8).
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import struct
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from bt_node.receive import pdu
from bt_node.receive.admission import Rejection
from bt_node.receive.answers import Message
from bt_node.receive.command import MAX_COMMAND_BYTES, Command, CommandError, decode_command
from bt_node.receive.negotiation import AcceptedContext, Agreement, AssociateRequest, read_request
from bt_node.receive.pdu import AbortReason, PduStream, PeerGoneError, ProtocolError, WireLimits

_log = logging.getLogger(__name__)

_PDV = struct.Struct(">LBB")  # PS3.8 9.3.5.1 and E.2: length of what follows, context, control header
_CONTROL_BYTES = 2
_IS_COMMAND, _IS_LAST = 1, 2
_ARTIM_S = 5.0  # PS3.8 9.1.5: how long the peer may take to close after the end
_SLOWEST_BYTES_PER_SECOND = 1024  # of a message on average, once its first `message_seconds` are over
_SMALLEST_ANSWER_PDU = 64  # a peer that asks for less gets this


@dataclass(frozen=True)
class Who:
    """Peer of an association: AE titles, address, and the name the job book has for the association."""

    calling: str
    called: str
    address: str
    name: str


class Exchange(Protocol):
    """One DIMSE request while its data set arrives."""

    def write(self, part: memoryview) -> None:
        """Take bytes of the data set; the view is overwritten afterwards."""

    def finish(self) -> Iterator[Message]:
        """All of it is there: what is to be sent, in order."""

    def discard(self) -> None:
        """The exchange is over, in whatever way; called once or more."""


class Services(Protocol):
    """What an association needs of the listener; every method may be called from many threads."""

    def admit(self, request: AssociateRequest, address: str) -> Rejection | None:
        """None when the peer may come in."""

    def refused(self, address: str, why: str) -> None:
        """A peer sent something else than a request for an association, or one that cannot be read or answered."""

    def agree(self, request: AssociateRequest) -> Agreement:
        """Negotiate."""

    def opened(self, association: Association, request: AssociateRequest, address: str) -> Who | Rejection:
        """Count an association in, under a name; a rejection where there are too many."""

    def begin(self, command: Command, context_id: int, context: AcceptedContext, who: Who) -> Exchange:
        """A request (or a response to one of ours) has begun."""

    def closed(self, association: Association, who: Who) -> None:
        """The association ended, in whatever way."""


@dataclass(frozen=True)
class Deadlines:
    """Seconds: to the whole A-ASSOCIATE-RQ, of silence, between parts of one message."""

    request_seconds: float
    idle_seconds: float
    message_seconds: float


@dataclass
class _Incoming:
    """The message being read."""

    context_id: int
    begun: float
    command: bytearray
    exchange: Exchange | None = None
    received: int = 0


class Association:
    """One connection from its first byte to its last; `run` blocks until it is over and closes it."""

    def __init__(
        self,
        connection: socket.socket,
        address: str,
        services: Services,
        limits: WireLimits,
        deadlines: Deadlines,
        max_data_set_bytes: int,
    ) -> None:
        self._connection = connection
        self._address = address
        self._services = services
        self._stream = PduStream(connection, limits)
        self._limits = limits
        self._deadlines = deadlines
        self._max_data_set_bytes = max_data_set_bytes
        self._contexts: dict[int, AcceptedContext] = {}
        self._peer_takes = 0
        self._who: Who | None = None
        self._message: _Incoming | None = None
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End it from another thread: its read wakes up and the peer gets an A-ABORT."""
        self._stopping.set()
        with contextlib.suppress(OSError):  # it has just ended by itself
            socket.socket.shutdown(self._connection, socket.SHUT_RD)  # that of TLS forgets its keys

    def run(self, begun: float) -> None:
        """Serve the connection, which was accepted at `begun` (monotonic clock). Never raises."""
        last_words = b""
        try:
            last_words = self._serve(begun)
        except ProtocolError as error:
            _log.warning("association from %s aborted: %s", self._address, error.detail)
            last_words = pdu.abort_pdu(error.reason)
        except TimeoutError:
            last_words = pdu.abort_pdu(AbortReason.NOT_SPECIFIED)
        except OSError:
            if self._stopping.is_set():
                last_words = pdu.abort_pdu(AbortReason.NOT_SPECIFIED)
        except Exception as error:  # noqa: BLE001 - the edge of this thread; others go on
            where = traceback.extract_tb(error.__traceback__)[-1]
            _log.error("association aborted: %s in %s:%s", type(error).__name__, where.filename, where.lineno)
            last_words = pdu.abort_pdu(AbortReason.NOT_SPECIFIED)
        self._end(last_words)

    def _serve(self, begun: float) -> bytes:
        """Until the association is over; the last PDU to send."""
        answer = self._negotiate(begun + self._deadlines.request_seconds)
        if answer is not None:
            return answer
        return self._transfer()

    def _end(self, last_words: bytes) -> None:
        if self._message is not None and self._message.exchange is not None:
            self._message.exchange.discard()
        if self._who is not None:
            self._services.closed(self, self._who)
        try:
            if last_words:
                self._stream.send(last_words)
                if last_words[0] == pdu.ABORT and not isinstance(self._connection, ssl.SSLSocket):
                    self._connection.shutdown(socket.SHUT_WR)  # after other last words the peer closes
                if not self._stopping.is_set():
                    self._stream.drain(_ARTIM_S)
        except OSError:
            pass  # the peer was faster
        finally:
            self._connection.close()

    # ------------------------------------------------------------ Sta2

    def _negotiate(self, deadline: float) -> bytes | None:
        """Take the request; None when the association stands, else what ends it."""
        try:
            request = self._read_request(deadline)
        except ProtocolError as error:
            self._services.refused(self._address, error.detail)
            raise
        if request is None:
            return b""
        rejection = self._services.admit(request, self._address)
        if rejection is None:
            return self._accept(request)
        return self._rejected(rejection, request)

    def _read_request(self, deadline: float) -> AssociateRequest | None:
        """The request; None where the peer thinks better of it."""
        pdu_type, body = self._stream.read(deadline, max(deadline - time.monotonic(), 0))
        if pdu_type == pdu.ABORT:
            return None
        if pdu_type != pdu.ASSOCIATE_RQ:
            raise ProtocolError(AbortReason.UNEXPECTED_PDU, "no A-ASSOCIATE-RQ")
        try:
            return read_request(bytes(body))
        except ValueError as error:
            raise ProtocolError(AbortReason.INVALID_PARAMETER, str(error)) from error

    def _accept(self, request: AssociateRequest) -> bytes | None:
        try:
            agreement = self._services.agree(request)
        except ValueError as error:
            self._services.refused(self._address, str(error))
            raise ProtocolError(AbortReason.INVALID_PARAMETER, str(error)) from error
        who = self._services.opened(self, request, self._address)
        if isinstance(who, Rejection):
            return self._rejected(who, request)
        self._who = who
        self._contexts = agreement.contexts
        most = self._limits.max_pdu_bytes
        self._peer_takes = max(min(agreement.max_pdu_bytes or most, most), _SMALLEST_ANSWER_PDU)
        self._stream.send(agreement.pdu)
        return None

    def _rejected(self, rejection: Rejection, request: AssociateRequest) -> bytes:
        _log.warning("association from %s at %s rejected: %s", request.calling, self._address, rejection.detail)
        return pdu.HEADER.pack(pdu.ASSOCIATE_RJ, 4) + bytes((0, rejection.result, rejection.source, rejection.reason))

    # ------------------------------------------------------------ Sta6

    def _transfer(self) -> bytes:
        """Serve requests until the peer ends; the last PDU to send."""
        while not self._stopping.is_set():
            pdu_type, body = self._stream.read(self._next_deadline())
            if pdu_type == pdu.P_DATA:
                self._take(body)
            elif pdu_type == pdu.RELEASE_RQ:
                return pdu.RELEASE_RESPONSE
            elif pdu_type == pdu.ABORT:
                return b""
            else:
                raise ProtocolError(AbortReason.UNEXPECTED_PDU, f"a PDU of type {pdu_type} in an association")
        raise PeerGoneError

    def _next_deadline(self) -> float:
        """When the first byte of the next PDU must be there."""
        message, now = self._message, time.monotonic()
        if message is None:
            return now + self._deadlines.idle_seconds
        earned = message.received / _SLOWEST_BYTES_PER_SECOND
        return min(now, message.begun + earned) + self._deadlines.message_seconds

    def _take(self, body: memoryview) -> None:
        """The presentation data values of one P-DATA-TF (PS3.8 9.3.5)."""
        position = 0
        while position < len(body):
            if len(body) - position < _PDV.size:
                raise ProtocolError(AbortReason.INVALID_PARAMETER, "a PDV is cut off")
            length, context_id, control = _PDV.unpack_from(body, position)
            end = position + _PDV.size - _CONTROL_BYTES + length
            if length < _CONTROL_BYTES or end > len(body):
                raise ProtocolError(AbortReason.INVALID_PARAMETER, "the length of a PDV lies")
            self._take_value(context_id, control, body[position + _PDV.size : end])
            position = end

    def _take_value(self, context_id: int, control: int, value: memoryview) -> None:
        message = self._message
        if message is None:
            if context_id not in self._contexts:
                raise ProtocolError(AbortReason.INVALID_PARAMETER, "a context that was not accepted")
            message = self._message = _Incoming(context_id, time.monotonic(), bytearray())
        elif context_id != message.context_id:
            raise ProtocolError(AbortReason.INVALID_PARAMETER, "another context within a message")
        if bool(control & _IS_COMMAND) != (message.exchange is None):
            raise ProtocolError(AbortReason.INVALID_PARAMETER, "command and data set in the wrong order")
        if message.exchange is None:
            self._take_command(message, value, last=bool(control & _IS_LAST))
        else:
            self._take_data(message, message.exchange, value, last=bool(control & _IS_LAST))

    def _take_command(self, message: _Incoming, value: memoryview, *, last: bool) -> None:
        if len(message.command) + len(value) > MAX_COMMAND_BYTES:
            raise ProtocolError(AbortReason.INVALID_PARAMETER, "a command set beyond the limit")
        message.command += value
        if not last:
            return
        try:
            command = decode_command(message.command)
        except CommandError as error:
            raise ProtocolError(AbortReason.INVALID_PARAMETER, f"a command set with {error}") from error
        assert self._who is not None  # noqa: S101 - Sta6 has one
        context = self._contexts[message.context_id]
        message.exchange = self._services.begin(command, message.context_id, context, self._who)
        if not command.has_data_set:
            self._finish(message.exchange)

    def _take_data(self, message: _Incoming, exchange: Exchange, value: memoryview, *, last: bool) -> None:
        message.received += len(value)
        if message.received > self._max_data_set_bytes:
            raise ProtocolError(
                AbortReason.NOT_SPECIFIED, f"a data set of more than {self._max_data_set_bytes} bytes is not taken"
            )
        exchange.write(value)
        if last:
            self._finish(exchange)

    def _finish(self, exchange: Exchange) -> None:
        try:
            for answer in exchange.finish():
                self._stream.send(self._encode(answer))
        finally:
            exchange.discard()
        self._message = None

    def _encode(self, message: Message) -> bytes:
        """P-DATA-TF PDUs no longer than the peer takes."""
        room = self._peer_takes - _PDV.size
        parts = [(message.command, _IS_COMMAND)] + ([(message.data, 0)] if message.data else [])
        out = bytearray()
        for data, kind in parts:
            for start in range(0, len(data), room):
                piece = data[start : start + room]
                last = _IS_LAST if start + room >= len(data) else 0
                out += pdu.HEADER.pack(pdu.P_DATA, len(piece) + _PDV.size)
                out += _PDV.pack(len(piece) + _CONTROL_BYTES, message.context_id, kind | last) + piece
        return bytes(out)
